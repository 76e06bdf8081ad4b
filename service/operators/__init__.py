"""Models elsewhere that the operator registered, as functions of the members."""

from service.operators.registry import RegisteredModel
from service.operators.umbridge import Operators

__all__ = ["Operators", "RegisteredModel"]
