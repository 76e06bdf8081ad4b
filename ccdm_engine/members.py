"""Which member stands where in the result."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs


def sample_count(pairs: Pairs, options: AnalysisOptions) -> int:
    """Rows of the result: as asked for, or one per member."""
    if options.n_samples is not None:
        return options.n_samples
    return pairs.n_members if options.failed_members == "refill" else pairs.used.size


def places(
    pairs: Pairs, n_samples: int, options: AnalysisOptions
) -> npt.NDArray[np.intp]:
    """Which used member stands in which row of the result; -1 for none."""
    found = np.full(max(n_samples, pairs.n_members), -1, dtype=np.intp)
    if options.failed_members == "refill":
        found[pairs.used] = np.arange(pairs.used.size)
    else:
        found[: pairs.used.size] = np.arange(pairs.used.size)
    return found[:n_samples]


def copied(
    pairs: Pairs, n_samples: int, options: AnalysisOptions
) -> npt.NDArray[np.intp]:
    """Which used member a row of an unchanged result is a copy of, ``(n,)``."""
    own = places(pairs, n_samples, options)
    return np.where(own >= 0, own, np.arange(n_samples) % pairs.used.size)
