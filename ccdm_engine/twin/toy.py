"""The one-dimensional toy of Binder, Dasgupta and Oberai (2026).

The state stays where it is, near +1 or near -1, and only ``|x|`` is observed. Members
carry process noise, the truth does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Width of each mode at the start.
STD = 0.1

# With a share p of the members in the right one of two narrow modes the CRPS is
# 2 (1 - p)^2; the exact belief, p = 1/2, has 0.5, and above 1 fewer than three
# members in ten are right.
MOSTLY_WRONG_CRPS = 1.0


def stay(states: Array) -> Array:
    """The model: nothing moves; ``(..., 1)``, same shape out."""
    return states.copy()


def two_modes(rng: np.random.Generator, members: int, *, std: float = STD) -> Array:
    """Draws from ``(N(-1, std^2) + N(1, std^2)) / 2``, ``(members, 1)``."""
    side = rng.choice(np.array([-1.0, 1.0]), size=(members, 1))
    return np.asarray(side + std * rng.standard_normal((members, 1)))
