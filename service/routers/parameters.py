"""What people write into bodies, queries and headers, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ValidationError

from service.errors import InvalidParametersError, refused
from service.media.errors import FieldError
from service.media.lengths import least_length
from service.openapi import query_names
from service.schemas.analyses import ARRAYS
from service.schemas.base import field_errors
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop

TIMEOUT = "Ccdm-Timeout"
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], params: Mapping[str, Any], root: str = "") -> Model:
    """Parameters as a model.

    Args:
        model: what they should be.
        params: what came.
        root: pointer of that in the body.

    Raises:
        ServiceError: for options or other parameters, with pointers.
    """
    try:
        return model.model_validate(params)
    except ValidationError as error:
        raise refused(field_errors(error, params, root, _names(model))) from None


async def read_params(model: type[Model], params: Mapping[str, Any]) -> Model:
    """The same of parameters that may be long, without holding up others."""
    cost = JSON_COST * least_length(params, INLINE_JSON)
    return await off_loop(cost, lambda: validated(model, params))


@lru_cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    """Every name that may occur in a body, arrays included."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    inside = (name for item in objects for name in item.get("properties", ()))
    return frozenset((*inside, *ARRAYS, "initial_ensemble"))


def member_slice(text: str | None) -> slice | None:
    """``"0:10"``, ``":10"``, ``"5:"`` or ``"7"`` as a slice of members.

    Raises:
        InvalidParametersError: for anything else, negative numbers and empty ranges.
    """
    return _slice("members", text, r"(\d{0,9}):(\d{0,9})()")


def state_slice(text: str | None) -> slice | None:
    """The same of state variables, and ``"0:1000:10"``, every tenth of them.

    Raises:
        InvalidParametersError: as for members, and for a stride of zero.
    """
    return _slice("states", text, r"(\d{0,9}):(\d{0,9})(?::([1-9]\d{0,8}))?")


def _slice(name: str, text: str | None, pattern: str) -> slice | None:
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}", text):
        return slice(int(text), int(text) + 1)
    match = re.fullmatch(pattern, text)
    if match:
        start, stop, stride = (int(part) if part else None for part in match.groups())
        if stop is None or stop > (start or 0):
            return slice(start or 0, stop, stride)
    raise bad_parameter(
        f"/query/{name}", "wanted start:stop with start < stop, such as 0:10"
    )


def check_query(request: Request) -> None:
    """Refuse what would be passed over in the query: a typing error, most likely.

    Raises:
        InvalidParametersError: naming all that is unknown, or there twice.
    """
    if not request.scope["query_string"]:
        return
    template = getattr(request.scope.get("route"), "path", "")
    known = query_names(request.app, template, request.method)
    if known is None:
        return
    wrong = {}
    for name, _ in request.query_params.multi_items():
        if name not in known:
            wanted = ", ".join(sorted(known)) or "none"
            wrong[name] = FieldError(
                f"/query/{name[:64]}", "unknown", f"not read here; wanted: {wanted}"
            )
        elif len(request.query_params.getlist(name)) > 1:
            wrong[name] = FieldError(f"/query/{name}", "duplicate", "came twice")
    if wrong:
        raise refused(list(wrong.values()))


def canonical(text: object) -> object:
    """Numbers in paths and queries have one way to be written: ``7``, not ``07``."""
    if isinstance(text, str) and not _WHOLE.fullmatch(text):
        raise ValueError("wanted a whole number, written plainly")
    return text


Whole = Annotated[int, BeforeValidator(canonical)]


def bad_parameter(place: str, message: str) -> InvalidParametersError:
    """A parameter error with one place."""
    error = FieldError(place, "value", message)
    return InvalidParametersError(f"{place}: {message}.", error)
