"""Inflation: widen an analysis that sampling error has made too sure of itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def multiplicative(samples: Array, factor: float) -> Array:
    """Scale deviations from the ensemble mean: ``mean + factor (x - mean)``.

    Anderson and Anderson (1999). A factor of 1 returns the samples untouched.

    Args:
        samples: ``(n, dx)``.
        factor: positive.

    Returns:
        Inflated samples, ``(n, dx)``.
    """
    if factor == 1.0:
        return samples
    mean = samples.mean(axis=0)
    return np.asarray(mean + factor * (samples - mean))
