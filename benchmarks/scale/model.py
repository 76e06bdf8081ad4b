"""A cost model: non-negative sums of the work that the algorithms do, fitted.

::

    sampled   a + b N n E + c N n E dx          E denoiser evaluations, n = N samples
    chosen    a + b N dx + c N dx^2             regressions and frames of N members
    blocks    a + b N dx + c dx                 each variable with what is near it

Relative errors are minimised, on the sizes that are not held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

Row = Mapping[str, Any]
TERMS = {
    "sampled": ("1", "N n E", "N n E dx"),
    "chosen": ("1", "N dx", "N dx^2"),
    "blocks": ("1", "N dx", "dx"),
}


def features(kind: str, members: float, dx: float, evaluations: float) -> list[float]:
    """The terms of the model for one size."""
    pairs = members * members * evaluations
    return {
        "sampled": [1.0, pairs, pairs * dx],
        "chosen": [1.0, members * dx, members * dx * dx],
        "blocks": [1.0, members * dx, dx],
    }[kind]


def fit(kind: str, rows: Sequence[Row]) -> list[float]:
    """Coefficients, seconds per unit of each term."""
    table = np.array([_features(kind, row) for row in rows])
    seconds = np.array([row["seconds"] for row in rows])
    scaled = table / seconds[:, None]
    size = scaled.max(axis=0)  # terms differ by ten orders of magnitude
    found, _ = nnls(scaled / size, np.ones(len(rows)))
    return [float(value) for value in found / size]


def predicted(kind: str, found: Sequence[float], row: Row) -> float:
    """Seconds that the model says for one size."""
    return float(np.dot(_features(kind, row), found))


def _features(kind: str, row: Row) -> list[float]:
    return features(kind, row["members"], row["dimension"], row["evaluations"])
