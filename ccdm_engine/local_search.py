"""Which few of the states near it a measurement follows.

One state after the other is taken out of all measurements of a block, among those
within reach and their squares. The r-th nearest costs what an event of probability
proportional to ``1 / r^2`` costs to name, ``2 log(r^2 pi^2 / 6)``; it must reduce N
times the log of the error by more (the risk inflation criterion of Foster and George
1994, with a prior). The nearest is taken in any case where nothing else is: if it
tells nothing, all of the measurement's variance counts as noise, which is safe.

Cost ``O(N m)`` per measurement and state found, with m states within reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from ccdm_engine.nearby import Neighbours
from ccdm_engine.noise import FEW

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

# A square is one of two forms of a state: naming it costs as much more.
FORMS = 2
# A step must not need more than this share of the error to go.
LARGEST_SHARE = 0.9
# What is left of a candidate after others, below which it is rounding.
ROUNDING = 1e-6
# How often chance may pass for many small effects.
BY_CHANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Followed:
    """What a block of measurements was found to follow.

    Attributes:
        residual: what is left, ``(N, b)``.
        found: how many states it took, 0 for a measurement left as it is, ``(b,)``.
        state: the only one, from its mean, ``(N, b)``; 0 where there are others.
        powers: of two, by which it was divided, ``(b,)``.
        bent: whether squares are among what was found, ``(b,)``.
    """

    residual: Array
    found: Indices
    state: Array
    powers: Indices
    bent: Flags

    @classmethod
    def joined(cls, parts: list[Followed]) -> Followed:
        """Blocks of measurements side by side."""
        return cls(
            np.concatenate([part.residual for part in parts], axis=1),
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.state for part in parts], axis=1),
            np.concatenate([part.powers for part in parts]),
            np.concatenate([part.bent for part in parts]),
        )


def followed(states: Array, powers: Indices, gaps: Array, near: Neighbours) -> Followed:
    """Each measurement of a block as a function of few of the states near it.

    Args:
        states: ``(N, n)``.
        powers: of two, by which they were divided, ``(n,)``.
        gaps: measurements from their mean, ``(N, b)``.
        near: the states within reach of each measurement.
    """
    members, count = gaps.shape
    search = _Search(states, gaps, near)
    reached = np.asarray(np.isfinite(search.first).any(axis=1))
    first, open_ = search.proposed(reached)
    first = np.where(open_, first, search.nearest())
    search.take(first, reached)
    found = np.where(reached, 1, 0).astype(np.intp)
    width = near.index.shape[1]
    bent = reached & (first >= width)
    for _ in range(min(FEW, members // 5)):
        choice, open_ = search.proposed(open_)
        if not open_.any():
            break
        search.take(choice, open_)
        found[open_] += 1
        bent |= open_ & (choice >= width)
    found[open_ | search.is_diffuse()] = 0  # not a function of few
    single = (found == 1) & (first < width)
    at = near.index[np.arange(count), np.where(single, first, 0)]
    state = states[:, at] - states[:, at].mean(axis=0)
    return Followed(search.residual.T, found, state * single, powers[at], bent)


class _Search:
    """Orthogonal search among the states near each measurement, and their squares.

    Args:
        states: ``(N, dx)``.
        gaps: measurements from their mean, ``(N, b)``.
        near: the states within reach of each measurement, ``(b, m)``.
    """

    def __init__(self, states: Array, gaps: Array, near: Neighbours) -> None:
        self.members, self.count = gaps.shape
        self.residual = np.ascontiguousarray(gaps.T)  # (b, N)
        self.keep = np.full(self.residual.shape, 1.0 - 1.0 / self.members)
        plain = _unit((states - states.mean(axis=0)).T)[near.index]  # (b, m, N)
        self.forms = np.concatenate([plain, _unit(plain**2)], axis=1)
        rank = _ranks(near.distance)
        cost = 2.0 * np.log(np.pi**2 / 6.0 * rank**2)
        self.cost = np.concatenate([cost, cost + 2.0 * np.log(FORMS)], axis=1)
        self.cost[~self.forms.any(axis=2)] = np.inf
        rank[~np.isfinite(self.cost[:, : rank.shape[1]])] = np.inf
        nearest = rank == rank.min(axis=1, keepdims=True)
        self.first = np.where(nearest & np.isfinite(rank), 0.0, np.inf)

    def proposed(self, open_: Flags) -> tuple[Indices, Flags]:
        """The candidate that explains most for its cost, and where it earns it.

        Args:
            open_: measurements to look at, ``(b,)``.
        """
        square = self._along**2 / self._size
        gain = self.members * np.log(np.maximum(1.0 - square, 1e-300))
        choice = np.argmin(gain + self.cost, axis=1)
        cost = self.cost[np.arange(self.count), choice]
        left, keep = self._without(choice)
        share = np.minimum(cost / self.members, LARGEST_SHARE)
        better = _held_out(left, keep) < (1.0 - share) * self._error
        return choice, open_ & np.isfinite(cost) & better

    def nearest(self) -> Indices:
        """The nearest state; of several as near, the one that explains most."""
        width = self.first.shape[1]
        explained = self._along[:, :width] ** 2
        return np.asarray(np.argmin(self.first - explained, axis=1))

    def take(self, choice: Indices, where: Flags) -> None:
        """Explain what can be explained by the chosen candidates, ``(b,)``."""
        left, keep = self._without(choice)
        self.residual = np.where(where[:, None], left, self.residual)
        self.keep = np.where(where[:, None], keep, self.keep)
        direction = self._chosen(choice)
        along = np.einsum("bmn,bn->bm", self.forms, direction)
        along[~where] = 0.0
        rest = self.forms - along[:, :, None] * direction[:, None, :]
        length = np.linalg.norm(rest, axis=2)
        self.forms = rest / np.maximum(length, ROUNDING)[:, :, None]
        self.cost[length < ROUNDING] = np.inf

    def is_diffuse(self) -> Flags:
        """Whether all states together explain more of what is left than chance would.

        The sum of their squared correlations with it, ``sum_k r_k^2``, has by chance
        the mean ``m / f`` and the variance ``2 tr(C^2) / f^2`` with C the correlations
        among the m states and f the freedom left (the global test of Goeman et al.
        2004), and about the shape of a chi-square.
        """
        width = self.first.shape[1]
        states = self.forms[:, :width] * np.isfinite(self.cost[:, :width, None])
        freedom = np.sum(self.keep, axis=1)
        among = np.sum((states @ np.swapaxes(states, 1, 2)) ** 2, axis=(1, 2))
        count = np.sum(states**2, axis=(1, 2))
        square = np.sum((self._along[:, :width] ** 2 / self._size), axis=1)
        degrees = count**2 / np.maximum(among, 1e-300)
        limit = chdtri(np.maximum(degrees, 1e-3), BY_CHANCE)
        return np.asarray(square * freedom * degrees > limit * count)

    @property
    def _along(self) -> Array:
        return np.asarray((self.forms @ self.residual[:, :, None])[:, :, 0])

    @property
    def _size(self) -> Array:
        square = np.sum(self.residual**2, axis=1, keepdims=True)
        return np.asarray(np.maximum(square, 1e-300))

    @property
    def _error(self) -> Array:
        return _held_out(self.residual, self.keep)

    def _chosen(self, choice: Indices) -> Array:
        return np.asarray(self.forms[np.arange(self.count), choice])

    def _without(self, choice: Indices) -> tuple[Array, Array]:
        """Residuals and what leverage leaves of them, with one candidate more."""
        direction = self._chosen(choice)
        along = np.sum(direction * self.residual, axis=1, keepdims=True)
        keep = np.maximum(self.keep - direction**2, 1.0 / self.members)
        return self.residual - along * direction, keep


def _held_out(residual: Array, keep: Array) -> Array:
    """Mean leave-one-out error, ``(b,)``."""
    return np.asarray(np.mean((residual / keep) ** 2, axis=1))


def _unit(vectors: Array) -> Array:
    """Vectors from their mean over the last axis, of length 1; constant ones 0."""
    gaps = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(gaps, axis=-1, keepdims=True)
    size = np.linalg.norm(vectors, axis=-1, keepdims=True)
    fresh = length > ROUNDING * size
    return np.asarray(np.where(fresh, gaps / np.where(fresh, length, 1.0), 0.0))


def _ranks(distance: Array) -> Array:
    """How many are at least as near, from 1; the same for all of one distance."""
    padded = np.where(np.isfinite(distance), distance, np.finfo(np.float64).max)
    beyond = np.diff(padded, axis=1) > 1e-9 * padded[:, 1:]
    places = np.arange(1, padded.shape[1] + 1, dtype=np.float64)
    ends = np.where(np.pad(beyond, ((0, 0), (0, 1)), constant_values=True), places, 0)
    after = np.where(ends > 0, ends, np.inf)
    rank = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.where(np.isfinite(distance), rank, np.inf))
