"""Explicit one-step schemes for ``dx/dt = f(x)``, vectorised over leading axes.

::

    euler   x + h f(x)
    rk4     x + h (k1 + 2 k2 + 2 k3 + k4) / 6

Euler is what Binder, Dasgupta and Oberai (2026) use; RK4 is what DAPPER and most of
the data-assimilation literature use. The schemes give visibly different climates at
coarse steps, so an experiment names its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Tendency = Callable[[Array], Array]
Scheme = Callable[[Tendency, Array, float], Array]


def euler(tendency: Tendency, states: Array, step: float) -> Array:
    """One forward Euler step; ``states`` ``(..., dx)``, same shape out."""
    return states + step * tendency(states)


def rk4(tendency: Tendency, states: Array, step: float) -> Array:
    """One classical fourth-order Runge-Kutta step, ``(..., dx)``."""
    k1 = tendency(states)
    k2 = tendency(states + step / 2 * k1)
    k3 = tendency(states + step / 2 * k2)
    k4 = tendency(states + step * k3)
    return states + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def advance(
    states: Array, *, tendency: Tendency, scheme: Scheme, step: float, steps: int
) -> Array:
    """Take ``steps`` steps of length ``step``; ``(..., dx)``, same shape out.

    Meant for ``functools.partial``: with the keywords bound it is a model that
    carries an ensemble from one observation time to the next.
    """
    for _ in range(steps):
        states = scheme(tendency, states, step)
    return states
