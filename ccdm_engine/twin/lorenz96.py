"""Lorenz (1996): a ring of ``dx`` coupled variables, chaotic at F = 8.

::

    dx_k/dt = (x_{k+1} - x_{k-2}) x_{k-1} - x_k + F,    indices modulo dx

One unit of time is about five days of weather. Source: Lorenz, Predictability: a
problem partly solved, ECMWF Seminar on Predictability (1996).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FORCING = 8.0

# CRPS of the climate taken as a forecast; see lorenz63. Checked by a test.
CLIMATE_CRPS = 2.1


def tendency(states: Array) -> Array:
    """Right-hand side; ``states`` ``(..., dx)``, dx >= 4, same shape out."""
    ahead = np.roll(states, -1, axis=-1)
    behind = np.roll(states, 1, axis=-1)
    behind_two = np.roll(states, 2, axis=-1)
    return np.asarray((ahead - behind_two) * behind - states + FORCING)
