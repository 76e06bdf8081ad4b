"""Lorenz (1963): three equations of convection, two lobes, chaotic.

::

    dx/dt = sigma (y - x)
    dy/dt = x (rho - z) - y
    dz/dt = x y - beta z        sigma = 10, rho = 28, beta = 8/3

The equations are unchanged under ``(x, y, z) -> (-x, -y, z)``: whoever observes only
z, or only absolute values, cannot tell the two lobes apart and must hold a bimodal
belief. Source: Lorenz, Deterministic nonperiodic flow, J. Atmos. Sci. 20 (1963).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SIGMA = 10.0
RHO = 28.0
BETA = 8.0 / 3.0

# A state on the attractor, where several published settings start.
ON_ATTRACTOR = (1.509, -1.531, 25.46)

# CRPS of the climate taken as a forecast, E|X - X'| / 2 averaged over the three
# variables; a filter above it is worse than no filter. Checked by a test.
CLIMATE_CRPS = 4.8


def tendency(states: Array) -> Array:
    """Right-hand side; ``states`` ``(..., 3)``, same shape out."""
    x, y, z = states[..., 0], states[..., 1], states[..., 2]
    out = np.empty_like(states)
    out[..., 0] = SIGMA * (y - x)
    out[..., 1] = x * (RHO - z) - y
    out[..., 2] = x * y - BETA * z
    return out
