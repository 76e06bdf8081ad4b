"""Measurements taken apart where it is known what lies near what.

As in :mod:`.noise`, ``y_ij = f_j(x_i) + eps_ij``. With coordinates three things help:

*Near states first.* ``f_j`` is sought among the states within reach of measurement j
(:mod:`.local_search`).

*Alike measurements.* Slopes of measurements that follow one state, and the error
variances of all, are drawn to their common value by as much as they agree up to their
sampling error (random effects: DerSimonian and Laird 1986). Where they are of different
kinds that is not at all. Units are the caller's.

*Correlated errors* are taken as such only where the sample shows them clearly.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ccdm_engine import noise
from ccdm_engine.blocks import blocks
from ccdm_engine.local_search import FORMS, Followed, followed
from ccdm_engine.localization import Localization
from ccdm_engine.nearby import Neighbours
from ccdm_engine.noise import Noise
from ccdm_engine.pairs import Exponents, Pairs

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

# Candidates beyond the nearest of a measurement would have to be all of it.
MOST_CANDIDATES = 50
# Numbers in the work arrays of a block of measurements.
BLOCK_SIZE = 2_000_000
# Two measurements agree on nothing; spreads among fewer than three are no estimate.
FEWEST_ALIKE = 3
# Where more measurements than this bend, that is not chance.
MOST_BENT_BY_CHANCE = 0.1
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
        parts.append(followed(*read(index), gaps[:, block], some))
    return _alike(pairs, gaps, Followed.joined(parts))


def _alike(pairs: Pairs, gaps: Array, part: Followed) -> Noise:
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
    return Noise(fitted + mean, _errors(gaps - fitted, variance), curved)


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


def _errors(errors: Array, variance: Array) -> Array:
    """Variances of the errors, or their covariance where they clearly have one.

    Returns:
        ``(dy,)``, or ``(dy, dy)``.
    """
    deviations = np.sqrt(variance)
    width = variance.size
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
            correlation = np.eye(width)
            correlation += sample * noise.common_shrinkage(
                sample + np.eye(width), errors.shape[0]
            )
            return np.asarray(correlation * np.outer(deviations, deviations))
    return np.asarray(deviations * deviations)
