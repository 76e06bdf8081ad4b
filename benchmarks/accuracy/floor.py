"""What W2 a perfect filter would have: that of N draws from the reference itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.cli.study.tables import Interval, interval
from service.cli.study.work import transport

# Cycles of a reference that are looked at, of those that are kept.
EVERY = 4


def floor(
    folder: Path, setting: str, cycles: int, members: int, seeds: int
) -> Interval:
    """Mean W2 over seeds between N draws and as many others as are left.

    Args:
        folder: of the references.
        setting: whose references.
        cycles: of the runs that they are for.
        members: N; at most half of the draws that are kept.
        seeds: from 0 up to this, as far as there are references.

    Returns:
        No mean where there is no reference, or N is too large.
    """
    means = []
    for seed in range(seeds):
        path = folder / f"{setting}-{seed}-{cycles}.npz"
        if not path.exists():
            continue
        with np.load(path) as loaded:
            samples = loaded["samples"][::EVERY].astype(np.float64)
        if 2 * members > samples.shape[1]:
            continue
        rng = np.random.default_rng([seed, members])
        distances = []
        for draws in samples:
            mixed = rng.permutation(draws)
            distances.append(transport(mixed[:members], mixed[members:]))
        means.append(float(np.mean(distances)))
    return interval(means)
