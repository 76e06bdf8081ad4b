"""Sums, means, spreads and extremes of the columns of an ensemble.

NumPy reduces the rows of a table one by one, and three numbers a row keep it busy with
everything but adding: many members in few variables take a third of the time here. Of
many variables no second copy is made.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.blocks import blocks

Array = npt.NDArray[np.float64]

# Tables of so many rows, and rows of so few numbers, are better gone through otherwise.
MANY, SHORT = 200, 16
# Variables worked on at a time.
BLOCK = 1024


def total(x: Array) -> Array:
    """``x.sum(axis=0)`` of ``(N, d)``."""
    # In order of the rows, as NumPy does it; a single column it adds up in pairs.
    found: Array
    if x.shape[0] < MANY or not 1 < x.shape[1] <= SHORT or not x.flags.c_contiguous:
        found = np.add.reduce(x, axis=0)
    else:
        found = np.einsum("ij->j", x)
    return found


def mean(x: Array) -> Array:
    """``x.mean(axis=0)`` of ``(N, d)``."""
    found = total(x)
    found /= x.shape[0]
    return found


def squares(x: Array, around: Array) -> Array:
    """``((x - around)**2).sum(axis=-2)``, a block of variables at a time.

    Args:
        x: ``(..., N, d)``.
        around: ``(d,)``, or ``(..., 1, d)``; the result has its shape.
    """
    if x.shape[-1] <= BLOCK:
        gaps = x - around
        return np.asarray(np.einsum("...ij,...ij->...j", gaps, gaps)).reshape(
            around.shape
        )
    found = np.empty_like(around)
    for block in blocks(x.shape[-1], BLOCK):
        found[..., block] = squares(x[..., block], around[..., block])
    return found


def variance(x: Array, *, ddof: int = 0) -> Array:
    """``x.var(axis=0)`` of ``(N, d)``."""
    found = squares(x, mean(x))
    found /= max(x.shape[0] - ddof, 0)
    return found


def deviation(x: Array) -> Array:
    """``x.std(axis=0, ddof=1)`` of ``(N, d)``."""
    found = variance(x, ddof=1)
    return np.sqrt(found, out=found)


def extent(x: Array) -> tuple[Array, Array]:
    """``x.min(axis=0)`` and ``x.max(axis=0)`` of ``(N, d)``."""
    if x.shape[0] < MANY or x.shape[1] > SHORT or not x.flags.c_contiguous:
        return np.minimum.reduce(x, axis=0), np.maximum.reduce(x, axis=0)
    rows = np.ascontiguousarray(x.T)
    return np.minimum.reduce(rows, axis=1), np.maximum.reduce(rows, axis=1)
