"""Measurement operators: states ``(..., dx)`` to measurements ``(..., dy)``.

All are plain functions without noise; the twin adds the noise. Bind keywords with
``functools.partial`` where an operator has any.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def identity(states: Array) -> Array:
    """Every component, ``dy = dx``."""
    return states.copy()


def every_second(states: Array) -> Array:
    """Components 0, 2, 4, ..., ``dy = ceil(dx / 2)``."""
    return states[..., ::2].copy()


def every_second_absolute(states: Array) -> Array:
    """Absolute values of components 0, 2, 4, ...; the signs stay open."""
    return np.abs(states[..., ::2])


def component(states: Array, *, index: int) -> Array:
    """One component, ``dy = 1``; ``index=-1`` is z of Lorenz-63."""
    return states[..., [index]]


def absolute(states: Array) -> Array:
    """``|x|`` of every component, ``dy = dx``."""
    return np.abs(states)


def arctangent(states: Array, *, scale: float = 1.0, factor: float = 1.0) -> Array:
    """``factor * arctan(x / scale)`` of every component: saturates far from zero."""
    return np.asarray(factor * np.arctan(states / scale))


def square(states: Array) -> Array:
    """``x^2`` of every component, ``dy = dx``."""
    return states**2
