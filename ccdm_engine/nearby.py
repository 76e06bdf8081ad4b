"""Which places lie near which others: lists instead of a matrix of all distances.

A k-d tree finds them, on a periodic domain by the nearest image, so that cost and
memory follow the number of neighbours and not the product of the two sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Others near each place, the nearest first.

    Attributes:
        index: of the others, ``(n, m)``; 0 where there are fewer than m.
        distance: to them, ``(n, m)``; infinite where there are fewer than m.
    """

    index: Indices
    distance: Array


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A fixed set of places, ready to be searched.

    Attributes:
        places: ``(n, k)``.
        reach: how far others matter; those at this distance do not.
        period: length of a periodic domain per axis, ``(k,)``, 0 for none.
        tree: of the places.
    """

    places: Array
    reach: float
    period: Array
    tree: KDTree

    def near(self, here: Array, most: int | None = None) -> Neighbours:
        """The places within reach of each place of ``here``, ``(n, k)``.

        Args:
            here: where to look from.
            most: not more than so many, the nearest.
        """
        around = _wrapped(here, self.period)
        counts = self.tree.query_ball_point(around, self.reach, return_length=True)
        width = max(int(np.max(counts, initial=0)), 1)
        width = width if most is None else min(width, most)
        _, index = self.tree.query(
            around, k=np.arange(1, width + 1), distance_upper_bound=self.reach
        )
        found = index < self.places.shape[0]
        index = np.where(found, index, 0)
        gaps = distances(here[:, None, :], self.places[index], self.period)
        return Neighbours(index, np.where(found & (gaps < self.reach), gaps, np.inf))


def surroundings(places: Array, reach: float, period: Array) -> Surroundings:
    """Make places ready to be searched.

    Args:
        places: ``(n, k)``, n at least 1.
        reach: how far others matter.
        period: length of a periodic domain per axis, ``(k,)``, 0 for none.
    """
    tree = KDTree(_wrapped(places, period), boxsize=period)
    return Surroundings(places, reach, period, tree)


def distances(here: Array, there: Array, period: Array) -> Array:
    """Distance to the nearest image, over the last axis.

    Args:
        here: places, ``(..., k)``.
        there: others, ``(..., k)``.
        period: ``(k,)``, 0 for an axis without one.
    """
    gaps = np.abs(here - there)
    if period.any():
        length = np.where(period > 0, period, np.inf)
        gaps = np.where(period > 0, np.fmod(gaps, length), gaps)
        gaps = np.minimum(gaps, np.abs(length - gaps))
    return np.asarray(np.sqrt(np.sum(gaps**2, axis=-1)))


def _wrapped(places: Array, period: Array) -> Array:
    """Places inside the first period of each axis that has one."""
    length = np.where(period > 0, period, 1.0)
    inside = np.mod(places, length)
    # Just below zero, the remainder rounds to the whole period.
    inside = np.where(inside >= length, 0.0, inside)
    return np.asarray(np.where(period > 0, inside, places))
