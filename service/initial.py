"""An initial ensemble from a mean and a standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.sessions.requests import cycle_seed

Array = npt.NDArray[np.float64]


def gaussian_ensemble(
    session_seed: int,
    mean: Sequence[float],
    deviation: float | Sequence[float],
    members: int,
) -> Array:
    """Independent normal draws, those of cycle 0 of the session.

    Args:
        session_seed: root of the session's randomness.
        mean: ``(dx,)``.
        deviation: standard deviation, one or ``(dx,)``.
        members: ``N``.

    Returns:
        ``(N, dx)``.
    """
    rng = np.random.default_rng(cycle_seed(session_seed, 0))
    draws = rng.standard_normal((members, len(mean)))
    # In place: what was allowed for is one array of this size, not three.
    draws *= np.asarray(deviation, dtype=np.float64)
    draws += np.asarray(mean, dtype=np.float64)
    return draws
