"""Members that went astray: a run that blew up, a fill value that slipped in.

A single one of them decides the spread of what it is astray in, and whatever is told by
spreads and correlations is then told of it alone: the other members are hardly updated,
or are drawn to where it is. So it is told, and the caller decides.

A member is astray in a column that lies more than :data:`SPREADS` away from the median,
in units of the median distance of the others (a robust deviation, Rousseeuw and Croux
1993). Columns of which half the members hold one value, such as rain, are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns as columns_of
from ccdm_engine.blocks import blocks

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

SPREADS = 1e3
# Of a normal law, in units of the median distance from the median.
DEVIATION = 1.4826
# More than this share of the members is no longer astray, but another cloud.
MOST = 0.1
# With fewer members the median distance says little.
FEWEST = 8
# Columns worked on at a time, so that no copy of the ensemble is made.
COLUMNS = 4096


class Astray(NamedTuple):
    """Who is astray.

    Attributes:
        members: rows in which any value is, ascending.
        member, column: of the value farthest away.
        distance: of it, in spreads of the others.
    """

    members: Indices
    member: int
    column: int
    distance: float


def astray(values: Array, columns: Sequence[int] | Indices) -> Astray | None:
    """Rows with a value far away from those of all others.

    Args:
        values: ``(N, d)``, finite.
        columns: which of the caller's each column is, ``(d,)``.
    """
    members, dimension = values.shape
    if members < FEWEST:
        return None
    found: list[Astray] = []
    for block in blocks(dimension, COLUMNS):
        part = values[:, block]
        low, high = columns_of.extent(part)
        # Few far on one side leave the mean near the other end of the range.
        place, span = columns_of.mean(part) - low, high - low
        reach = MOST + 1.0 / SPREADS
        narrow = np.flatnonzero(np.minimum(place, span - place) <= reach * span)
        if narrow.size:
            found += _in_columns(part[:, narrow], block.start + narrow)
    worst = together(found)
    return worst and worst._replace(column=int(columns[worst.column]))


def together(found: Iterable[Astray | None]) -> Astray | None:
    """All of them as one: every member, and the value farthest away."""
    some = [one for one in found if one is not None]
    if not some:
        return None
    worst = max(some, key=lambda one: one.distance)
    everyone = np.unique(np.concatenate([one.members for one in some]))
    return worst._replace(members=everyone)


def _in_columns(part: Array, columns: Indices) -> list[Astray]:
    gaps = np.abs(part - np.median(part, axis=0))
    spreads = DEVIATION * np.median(gaps, axis=0)
    varied = np.flatnonzero(spreads > 0)
    gaps, columns = gaps[:, varied] / spreads[varied], columns[varied]
    far = gaps > SPREADS
    found = []
    for place in np.flatnonzero(far.any(axis=0)):
        rows = np.flatnonzero(far[:, place])
        if rows.size <= MOST * part.shape[0] or rows.size == 1:
            row = int(np.argmax(gaps[:, place]))
            distance = float(gaps[row, place])
            found.append(Astray(rows, row, int(columns[place]), distance))
    return found
