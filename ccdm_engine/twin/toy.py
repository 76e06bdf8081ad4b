"""The one-dimensional toy of Binder, Dasgupta and Oberai (2026).

The state stays where it is; two thirds of the difficulty is that it may be at +1 or
at -1 and only ``|x|`` is observed. Members carry process noise, the truth does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# E|X - X'| / 2 for a fair coin between -1 and 1 (the width of each mode, 0.1, adds
# 0.1 / (2 sqrt(pi)) for two draws from the same mode: 0.028 to the half that agree).
CLIMATE_CRPS = 0.51


def stay(states: Array) -> Array:
    """The model: nothing moves; ``(..., 1)``, same shape out."""
    return states.copy()


def two_modes(rng: np.random.Generator, members: int, *, std: float = 0.1) -> Array:
    """Draws from ``(N(-1, std^2) + N(1, std^2)) / 2``, ``(members, 1)``."""
    side = rng.choice(np.array([-1.0, 1.0]), size=(members, 1))
    return np.asarray(side + std * rng.standard_normal((members, 1)))
