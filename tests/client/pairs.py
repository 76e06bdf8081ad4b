"""Forecast pairs for tests of the client; what they mean does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DIMS: dict[str, Any] = {"state_dim": 2, "measurement_dim": 2}
# Bandwidths that are given need no search, which keeps these tests quick.
FIXED = {"state_bandwidth": 0.3, "measurement_bandwidth": 0.5, "sampler": "exact"}


def pairs(seed: int = 0, members: int = 12) -> tuple[Array, Array, Array]:
    """States ``(N, 2)``, simulated measurements ``(N, 2)``, an observation ``(2,)``."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, 2))
    return states, states + rng.standard_normal((members, 2)), np.array([0.4, -0.2])
