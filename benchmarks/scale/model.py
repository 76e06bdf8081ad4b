"""A cost model: non-negative sums of the work that the algorithms do, fitted.

::

    sampling         N n E (a + b dx + c dx log2(centres / cache))     n = N samples
    sampling: rest   a + b N dx log2 N         latents, order, checks: one process
    choosing         a + b N dx log2 N         regressions, frames, scores: one process
    blocks           dx (a + b N + c N^2)      each variable with what is near it
    blocks: rest     a + b N dx                measurements, digests: one process
    blocks: memory   a + b N + c dx            of that process, MiB

E are evaluations of the denoiser; the centres of its kernels are N dx single-precision
numbers, and their term is 0 while they are in the cache. Localized members are weighed
by each other, which is N^2; each ``EVERY`` variables have a measurement. The model of
sampling is for ten variables and more: with fewer another way to take exponentials is
open, which is quicker.

Errors are relative, except that a fifth of a second, or of a MiB, is nothing.
Sizes that are held out judge the fit: it is sound where all of them are within
``TOLERANCE``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

Row = Mapping[str, Any]
# Variables to a measurement; bytes of centres that a core has in its cache.
EVERY, CACHE = 1000, 2**22
TOLERANCE = 0.3
# Seconds, or MiB, below which an error does not matter: analyses may take a minute.
NOTHING = 0.2
TERMS = {
    "sampling": ("N n E", "N n E dx", "N n E dx log2(centres/4 MiB)"),
    "sampling: rest": ("1", "N dx log2 N"),
    "choosing": ("1", "N dx log2 N"),
    "blocks": ("dx", "N dx", "N^2 dx"),
    "blocks: rest": ("1", "N dx"),
    "blocks: memory": ("1", "N", "dx"),
}


def features(cost: str, members: float, dx: float, evaluations: float) -> list[float]:
    """The terms of the model for one size."""
    pairs = members * members * evaluations
    beyond = math.log2(max(4 * members * dx / CACHE, 1.0))
    sorting = [1.0, members * dx * math.log2(max(members, 2.0))]
    return {
        "sampling": [pairs, pairs * dx, pairs * dx * beyond],
        "sampling: rest": sorting,
        "choosing": sorting,
        "blocks": [dx, members * dx, members * members * dx],
        "blocks: rest": [1.0, members * dx],
        "blocks: memory": [1.0, members, dx],
    }[cost]


def fit(table: Sequence[Sequence[float]], measured: Sequence[float]) -> list[float]:
    """Coefficients of the terms, which are the columns of the table."""
    seconds = np.asarray(measured, dtype=np.float64)
    weight = 1 / np.maximum(seconds, NOTHING)
    scaled = np.asarray(table, dtype=np.float64) * weight[:, None]
    size = scaled.max(axis=0)  # terms differ by ten orders of magnitude
    size[size == 0] = 1.0
    found, _ = nnls(scaled / size, seconds * weight)
    return [float(value) for value in found / size]


def fit_rows(rows: Iterable[Row]) -> dict[str, list[float]]:
    """Coefficients by cost, of the rows that are not held out."""
    used = [row for row in rows if not row["held out"]]
    return {
        cost: fit([_terms(row) for row in these], [row["measured"] for row in these])
        for cost in TERMS
        if (these := [row for row in used if row["cost"] == cost])
    }


def predicted(found: Mapping[str, Sequence[float]], row: Row) -> float:
    """What the model says for one size."""
    return float(np.dot(_terms(row), found[row["cost"]]))


def line(rows: Iterable[Row]) -> list[float]:
    """A cost's own part, and that of each byte, of the rows that are not held out."""
    used = [row for row in rows if not row["held out"]]
    unit = 1.0 / min(row["measured"] for row in used)  # all errors are relative
    table = [[1.0, row["bytes"]] for row in used]
    return [
        cost / unit for cost in fit(table, [row["measured"] * unit for row in used])
    ]


def ratio(row: Row) -> float:
    """Predicted over measured; what is next to nothing does not count."""
    least = NOTHING if row["cost"] in TERMS else 0.0
    return float(max(row["predicted"], least) / max(row["measured"], least))


def error(rows: Iterable[Row]) -> float:
    """The largest factor, 1 or more, by which a size that was held out is missed."""
    ratios = [ratio(row) for row in rows if row["held out"]]
    return max(max(value, 1 / value) for value in ratios)


def sound(rows: Iterable[Row]) -> bool:
    """Whether all sizes that were held out are told within the tolerance."""
    ratios = [ratio(row) for row in rows if row["held out"]]
    return bool(ratios) and all(abs(value - 1) <= TOLERANCE for value in ratios)


def _terms(row: Row) -> list[float]:
    return features(row["cost"], row["members"], row["dimension"], row["evaluations"])
