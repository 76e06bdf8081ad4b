"""Measurements taken apart where it is known what lies near what.

As in :mod:`.noise`, ``y_ij = f_j(x_i) + eps_ij``. With coordinates three things help:

*Near states first.* ``f_j`` is sought among the states within reach of measurement j
and their squares, one after the other. The r-th nearest costs what an event of
probability proportional to ``1 / r^2`` costs to name, ``2 log(r^2 pi^2 / 6)``; it must
reduce N times the log of the error by more (the risk inflation criterion of Foster and
George 1994, with a prior). The nearest is taken in any case where nothing else is: if
it tells nothing, all of the measurement's variance counts as noise, which is safe.

*Alike measurements.* Slopes of measurements that follow one state, and the error
variances of all, are drawn to their common value by as much as they agree up to their
sampling error (random effects: DerSimonian and Laird 1986). Where they are of different
kinds that is not at all. Units are the caller's.

*Correlated errors* are taken as such only where the sample shows them clearly.

Cost ``O(N m)`` per measurement and state found, with m states within reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from ccdm_engine import noise
from ccdm_engine.blocks import blocks
from ccdm_engine.localization import Localization
from ccdm_engine.nearby import Neighbours
from ccdm_engine.noise import Noise
from ccdm_engine.pairs import Exponents, Pairs

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

# A measurement is followed to so many states at most, as in :mod:`.noise`.
FEW = noise.FEW
# Candidates beyond the nearest of a measurement would have to be all of it.
MOST_CANDIDATES = 50
# A square is one of two forms of a state: naming it costs as much more.
FORMS = 2
# A step must not need more than this share of the error to go.
LARGEST_SHARE = 0.9
# Numbers in the work arrays of a block of measurements.
BLOCK_SIZE = 2_000_000
# What is left of a candidate after others, below which it is rounding.
ROUNDING = 1e-6
# Two measurements agree on nothing; spreads among fewer than three are no estimate.
FEWEST_ALIKE = 3
# Where more measurements than this bend, that is not chance.
MOST_BENT_BY_CHANCE = 0.1
# How often chance may pass for many small effects.
BY_CHANCE = 1e-3
# Correlated errors must stand out by so many deviations of chance.
CLEARLY = 3.0
# Beyond so many measurements their errors' correlations are not looked at.
MOST_CORRELATED = 2000
# Measurements whose units differ by more than this power of two are not alike.
FARTHEST_UNIT = 100


def apart(pairs: Pairs, localization: Localization | None) -> Noise:
    """The parts by whatever tells them: the caller, all states, or a few.

    Args:
        pairs: at least one measurement.
        localization: coordinates of the caller's variables, if any.
    """
    if localization is None:
        return noise.apart(pairs)
    return noise.known(pairs) or near(pairs, localization, _held(pairs, localization))


class Read(Protocol):
    """Reads state variables, wherever they are."""

    def __call__(self, index: Indices) -> tuple[Array, Indices]:
        """Variables of the caller by their number.

        Returns:
            Values in units near 1, ``(N, n)``, and the powers of two by which they were
            divided, ``(n,)``.
        """
        ...


def _held(pairs: Pairs, localization: Localization) -> Read:
    """The states of the pairs; those that are constant, and left out there, as 0."""
    place = np.full(localization.state_coordinates.shape[0], -1, dtype=np.intp)
    place[pairs.state_columns] = np.arange(pairs.state_columns.size)
    powers = np.zeros(place.size, dtype=np.intp)
    if pairs.state_exponents is not None:
        powers[pairs.state_columns] = pairs.state_exponents

    def read(index: Indices) -> tuple[Array, Indices]:
        there = place[index]
        return np.where(there < 0, 0.0, pairs.states[:, there]), powers[index]

    return read


def candidates(columns: Indices, localization: Localization) -> Neighbours:
    """The states among which it is sought what each measurement depends on."""
    return localization.near_states(columns, MOST_CANDIDATES)


def near(pairs: Pairs, localization: Localization, read: Read | None = None) -> Noise:
    """The parts as the states near each measurement tell them.

    A measurement that is not done with after a few states, such as a sum over the
    domain, is left as it is, and so is one with no state within reach.

    Args:
        pairs: with noisy simulated measurements.
        localization: coordinates of the caller's variables.
        read: reads states that are not in ``pairs``.
    """
    read = _held(pairs, localization) if read is None else read
    gaps = pairs.simulated - pairs.simulated.mean(axis=0)
    around = candidates(pairs.columns, localization)
    at_once = BLOCK_SIZE // (FORMS * gaps.shape[0] * around.index.shape[1])
    parts = []
    for block in blocks(gaps.shape[1], max(at_once, 1)):
        index, place = np.unique(around.index[block], return_inverse=True)
        shape = around.index[block].shape
        some = Neighbours(place.reshape(shape), around.distance[block])
        parts.append(_followed(*read(index), gaps[:, block], some))
    return _alike(pairs, gaps, _Followed.joined(parts))


@dataclass(frozen=True, slots=True)
class _Followed:
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
    def joined(cls, parts: list[_Followed]) -> _Followed:
        """Blocks of measurements side by side."""
        return cls(
            np.concatenate([part.residual for part in parts], axis=1),
            np.concatenate([part.found for part in parts]),
            np.concatenate([part.state for part in parts], axis=1),
            np.concatenate([part.powers for part in parts]),
            np.concatenate([part.bent for part in parts]),
        )


def _followed(
    states: Array, powers: Indices, gaps: Array, near: Neighbours
) -> _Followed:
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
    return _Followed(search.residual.T, found, state * single, powers[at], bent)


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


def _alike(pairs: Pairs, gaps: Array, part: _Followed) -> Noise:
    """Noise-free measurements and noise, alike as far as the sample has them alike."""
    members = gaps.shape[0]
    freedom = np.maximum(members - 1.0 - part.found, 1.0)
    fitted, residual = gaps - part.residual, part.residual
    variance = np.sum(residual**2, axis=0) / freedom
    taken = part.found > 0
    noisy = taken & (variance >= noise.LEAST_SHARE * np.var(gaps, axis=0))
    square = np.sum(part.state**2, axis=0)
    single = np.flatnonzero(noisy & (square > 0))
    if single.size >= FEWEST_ALIKE:
        states, square = part.state[:, single], square[single]
        slope = np.sum(states * gaps[:, single], axis=0) / square
        units = _units(pairs, single, part.powers[single])
        own = np.ldexp(slope, units)
        error = np.ldexp(np.sqrt(variance[single] / square), units)
        common, share = _random_effects(own, error**2)
        fitted[:, single] = states * np.ldexp(common, -units)
        residual = gaps - fitted
        freedom[single] = members - 1.0 - share
        variance = np.sum(residual**2, axis=0) / freedom
    variance[~noisy] = 0.0
    if int(noisy.sum()) >= FEWEST_ALIKE:
        variance[noisy] = _alike_variances(pairs, noisy, variance, freedom)
    fitted[:, ~noisy] = gaps[:, ~noisy]
    mean = pairs.simulated.mean(axis=0)
    curved = float(np.mean(part.bent)) > MOST_BENT_BY_CHANCE
    return Noise(fitted + mean, _covariance(gaps - fitted, variance), curved)


def _alike_variances(
    pairs: Pairs, noisy: Flags, variance: Array, freedom: Array
) -> Array:
    """Error variances drawn together on the scale of logarithms, in place of noisy."""
    scale = 2.0 * np.log(2.0) * _powers(pairs.measurement_exponents, noisy)
    common, _ = _random_effects(np.log(variance[noisy]) + scale, 2.0 / freedom[noisy])
    return np.asarray(np.exp(common - scale))


def _units(pairs: Pairs, measurements: Indices, states: Indices) -> Indices:
    """Powers of two that bring slopes to the caller's units, up to a common one.

    Args:
        pairs: know those of the measurements.
        measurements: which ones.
        states: powers of the state that each follows.
    """
    powers = _powers(pairs.measurement_exponents, measurements) - states
    middle = int(np.median(powers))
    return np.asarray(np.clip(powers - middle, -FARTHEST_UNIT, FARTHEST_UNIT))


def _powers(exponents: Exponents | None, columns: Indices | Flags) -> Indices:
    """The powers of two that columns were divided by; 0 where they were not."""
    if exponents is None:
        return np.zeros(np.arange(columns.size)[columns].size, dtype=np.intp)
    return exponents[columns].astype(np.intp)


def _random_effects(values: Array, variances: Array) -> tuple[Array, Array]:
    """Values drawn to their common one, and the share of each that is its own.

    The variance of what they estimate is ``max(0, (Q - (n - 1)) / c)`` with
    ``Q = sum w (v - mean)^2``, ``w`` the inverse variances and
    ``c = sum w - sum w^2 / sum w`` (DerSimonian and Laird 1986).
    """
    weights = 1.0 / variances
    total = np.sum(weights)
    spread = np.sum(weights * (values - np.sum(weights * values) / total) ** 2)
    excess = float(spread) - (values.size - 1)
    between = max(excess / float(total - np.sum(weights**2) / total), 0.0)
    weights = 1.0 / (variances + between)
    mean = np.sum(weights * values) / np.sum(weights)
    share = between * weights
    return mean + share * (values - mean), share


def _covariance(errors: Array, variance: Array) -> Array:
    """Covariance of the errors, ``(dy, dy)``, diagonal unless clearly correlated."""
    deviations = np.sqrt(variance)
    width = variance.size
    correlation = np.eye(width)
    if FEWEST_ALIKE <= width <= MOST_CORRELATED:
        unit = np.where(variance > 0, errors, 0.0)
        length = np.linalg.norm(unit, axis=0)
        unit = unit / np.where(length > 0, length, 1.0)
        sample = unit.T @ unit
        np.fill_diagonal(sample, 0.0)
        chance = width * (width - 1) / (errors.shape[0] - 1)
        if np.sum(sample**2) - chance > CLEARLY * chance * np.sqrt(
            2.0 / (width * (width - 1) / 2.0)
        ):
            correlation += sample * noise.common_shrinkage(
                sample + np.eye(width), errors.shape[0]
            )
    return np.asarray(correlation * np.outer(deviations, deviations))
