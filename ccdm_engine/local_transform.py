"""A local, deterministic update: each state variable by the measurements near it.

With ``y_i = f(x_i) + eps_i`` taken apart (:mod:`.local_noise`), deviations ``X'`` and
``F'`` of the members from their mean, ``R`` the covariance of the noise and ``rho_kj``
the Gaspari-Cohn taper between state k and measurement j, state k sees measurements of
the noise ``R_k = D^-1/2 R D^-1/2``, ``D = diag(rho_kj)``. With
``S = F' R_k^-1/2 / sqrt(N - 1)`` and ``d = R_k^-1/2 (y* - mean f)``::

    x_i  ->  mean + X'^T S (I + S^T S)^-1 d / sqrt(N - 1) + ((I + S S^T)^-1/2 X')_i

the local ensemble transform Kalman filter (Hunt, Kostelich and Szunyogh 2007; Bishop et
al. 2001) for someone who is told neither R nor f. Members stay as close to themselves
as an exact covariance allows, no noise is drawn, and as the taper is smooth so is the
analysis from state to state: blocks of states are worked on one after the other, or in
different places, with no seam.

What the straight line of this update leaves is looked at by kernels with weights of
their own for each state (:mod:`.local_kernels`).

A measurement that was left as it is has its noise in ``F'`` already; there S has a
noise of a thousandth of its deviation, which makes the update the stochastic one, and
the taper adds ``(1 / rho - 1)`` times its variance.

Cost per state: ``O(m^2 (N + m))`` with m measurements in reach, or ``O(N^2 (N + m))``
where m exceeds N.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine import local_kernels
from ccdm_engine.blocks import blocks
from ccdm_engine.localization import Localization, gaspari_cohn
from ccdm_engine.nearby import Surroundings
from ccdm_engine.noise import Noise
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Least deviation of a measurement's noise, as a share of the measurement's own.
LEAST_NOISE = 1e-3
# Share of the variance below which what a measurement took is rounding.
UNTURNED = 1e-9
# How often members are paired anew and turned.
ROUNDS = 4
# Numbers in the work arrays of a block of states.
BLOCK_SIZE = 2_000_000
# States in a block: cut by a fixed rule, so that the result does not depend on it.
WIDEST_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Transformed(Regression):
    """Members transformed, and how well their update told those held out.

    Attributes:
        straight, bent: mean square errors of the straight line, and with the kernels,
            ``(dx,)``; ``None`` without kernels, which alone look at members held out.
        narrowed: by what the kernels multiplied the deviations, ``(dx,)``.
    """

    straight: Array | None = None
    bent: Array | None = None
    narrowed: Array | None = None


def transformed(
    pairs: Pairs, localization: Localization, noise: Noise, *, kernels: bool = True
) -> Transformed:
    """Members moved, block of states by block of states.

    Args:
        pairs: at least one measurement.
        localization: coordinates of the caller's variables.
        noise: the measurements taken apart.
        kernels: whether kernels look at what the transform leaves.

    Returns:
        What a regression would leave, ``shifted`` being the analysis. The leverage is
        the degrees of freedom spent per member, the same for all of them.
    """
    seen = measured(pairs, noise)
    kept = localization.among(localization.state_coordinates[pairs.state_columns])
    return transform(pairs.states, seen, kept, pairs.columns, kernels=kernels)


def transform(
    states: Array,
    seen: Measured,
    localization: Localization,
    columns: Indices,
    *,
    kernels: bool = True,
) -> Transformed:
    """The same for states that are all there is, or some of them.

    Args:
        states: ``(N, b)``.
        seen: the measurements.
        localization: coordinates of these states, and of measurements.
        columns: which of the latter are seen, in the order of ``seen``.
        kernels: whether kernels look at what the transform leaves.
    """
    dimension = states.shape[1]
    residuals, told = np.empty_like(states), np.empty((5, dimension))
    around = localization.measurements_around(columns)
    for block in blocks(dimension, WIDEST_BLOCK):
        places = localization.state_coordinates[block]
        local = within(around, places, localization.radius)
        moved = update(states[:, block], seen, local, kernels=kernels)
        residuals[:, block], told[:, block] = moved
    target, spent, straight, bent, narrowed = told
    found = Transformed(
        "localized",
        residuals,
        target,
        np.broadcast_to(spent / states.shape[0], residuals.shape),
        is_transform=True,
    )
    if not kernels:
        return found
    return replace(found, straight=straight, bent=bent, narrowed=narrowed)


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements in units of their noise.

    Attributes:
        deviations: ``F'``, ``(N, dy)``.
        noisy: the simulated measurements from the same mean, ``(N, dy)``.
        innovation: ``y* - mean f``, ``(dy,)``.
        correlation: of the noise, ``(dy, dy)``; ``None`` where there is none.
        tapered: variance that a taper adds per ``1 / rho - 1``, ``(dy,)``; 1 where the
            measurement was taken apart.
    """

    deviations: Array
    noisy: Array
    innovation: Array
    correlation: Array | None
    tapered: Array

    def among(self, some: Indices) -> Measured:
        """Some of the measurements."""
        correlation = self.correlation
        return Measured(
            self.deviations[:, some],
            self.noisy[:, some],
            self.innovation[some],
            None if correlation is None else correlation[np.ix_(some, some)],
            self.tapered[some],
        )


def measured(pairs: Pairs, noise: Noise) -> Measured:
    """The measurements as all states will see them.

    Args:
        pairs: at least one measurement, each with spread.
        noise: the measurements taken apart.
    """
    mean = noise.fitted.mean(axis=0)
    deviations = noise.fitted - mean
    spread = np.std(pairs.simulated, axis=0, ddof=1)
    own = np.sqrt(noise.variance)
    unit = np.maximum(own, LEAST_NOISE * spread)
    return Measured(
        deviations / unit,
        (pairs.simulated - mean) / unit,
        (pairs.observation - mean) / unit,
        _correlation(noise.errors, unit),
        np.where(own > 0, 1.0, (spread / unit) ** 2),
    )


def _correlation(errors: Array, unit: Array) -> Array | None:
    """That of the errors in these units, ``(dy, dy)``; ``None`` where there is none."""
    if errors.ndim == 1:
        return None
    correlation = errors / np.outer(unit, unit)
    np.fill_diagonal(correlation, 0.0)
    if not correlation.any():
        return None
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


@dataclass(frozen=True, slots=True)
class Local:
    """Which measurements each state of a block sees, and how much.

    Attributes:
        index: of the measurements, ``(b, m)``.
        taper: ``rho``, 0 where there are fewer than m, ``(b, m)``.
    """

    index: Indices
    taper: Array


def within(around: Surroundings, places: Array, radius: float) -> Local:
    """The measurements within reach of the states of a block.

    Args:
        around: where the measurements are, in the order of :class:`Measured`.
        places: where the states are, ``(b, k)``.
        radius: of the taper.
    """
    near = around.near(places)
    return Local(near.index, gaspari_cohn(near.distance / radius))


def update(
    states: Array, seen: Measured, local: Local, *, kernels: bool = True
) -> tuple[Array, Array]:
    """One block of states, knowing nothing of the others.

    Args:
        states: ``(N, b)``.
        seen: all measurements, or those that the block sees.
        local: which of them each state sees.
        kernels: whether kernels look at what the transform leaves.

    Returns:
        Members around the forecast mean, ``(N, b)``; and in rows, ``(5, b)``, what the
        mean moves by, the degrees of freedom spent, and of members held out the mean
        square errors and the factor on deviations that :class:`.Bend` has.
    """
    members, count = states.shape
    mean = states.mean(axis=0)
    anomalies = np.ascontiguousarray((states - mean).T)[:, :, None]  # (b, N, 1)
    moved, told = np.empty((count, members)), np.empty((5, count))
    wide = local.index.shape[1]
    here, index = _together(local.index, seen.innovation.size)
    near_by = seen.among(here)
    for part in blocks(count, max(BLOCK_SIZE // (members * wide), 1)):
        near = Local(index[part], local.taper[part])
        moved[part], told[:, part] = _solved(
            near_by, near, anomalies[part], kernels=kernels
        )
    return mean + moved.T, told


def _together(index: Indices, count: int) -> tuple[Indices, Indices]:
    """Which of so many measurements a block sees, and ``index`` among these alone."""
    seen = np.zeros(count, dtype=np.bool_)
    seen[index] = True
    return np.flatnonzero(seen), np.cumsum(seen)[index] - 1


def _solved(
    seen: Measured, local: Local, anomalies: Array, *, kernels: bool
) -> tuple[Array, tuple[Array, ...]]:
    """Transformed deviations ``(b, N)``, and the five rows of :func:`update`."""
    members = anomalies.shape[1]
    fitted, noisy, gaps = _whitened(seen, local)
    scaled = fitted / np.sqrt(members - 1.0)
    solve = _by_measurements if scaled.shape[2] < members else _by_members
    moved, shift, spent = solve(scaled, gaps[:, :, None], anomalies)
    moved, shift = moved[:, :, 0], shift / np.sqrt(members - 1.0)
    if not kernels:
        return moved, (shift, spent, *np.ones((3, shift.size)))
    bend = local_kernels.bend(anomalies[:, :, 0], fitted, noisy, gaps)
    moved, shift = moved * bend.spread[:, None], shift + bend.shift
    return moved, (shift, spent, bend.straight, bend.bent, bend.spread)


def turned(after: Array, before: Array, rng: np.random.Generator) -> Array:
    """Members turned around their mean, mean and covariance as they are.

    Noise on the measurements would turn the deviations of state k by the angle
    ``c_k = arcsin sqrt(1 - a_k / p_k)``, with p and a its variances before and after. A
    transform does not, and so never breaks up what a nonlinear forecast has made of
    the members: outliers, and clusters (Sakov and Oke 2008). Here they are turned by
    about that angle: in pairs, by ``c_k / 2``, four times, the same pairs for all
    states. Where nothing was measured nothing turns.

    Args:
        after: members transformed, ``(N, dx)``.
        before: the same in the forecast, ``(N, dx)``.
        rng: draws the pairs.
    """
    rounds = _pairings(after.shape[0], rng)
    result = np.empty_like(after)
    for block in blocks(after.shape[1], WIDEST_BLOCK):
        mean = after[:, block].mean(axis=0)
        left = np.var(after[:, block], axis=0)
        had = np.var(before[:, block], axis=0)
        gone = np.clip(1.0 - left / np.where(had > 0, had, 1.0), 0.0, 1.0)
        turn = np.arcsin(np.sqrt(gone)) / np.sqrt(ROUNDS)
        moved = mean + _turned(after[:, block] - mean, turn, rounds)
        result[:, block] = np.where(gone > UNTURNED, moved, after[:, block])
    return result


def _pairings(members: int, rng: np.random.Generator) -> list[tuple[Indices, Indices]]:
    """Pairs among all members but the first, anew in each round."""
    half = (members - 1) // 2
    orders = [1 + rng.permutation(members - 1) for _ in range(ROUNDS)]
    return [(order[:half], order[half : 2 * half]) for order in orders]


def _turned(gaps: Array, turn: Array, rounds: list[tuple[Indices, Indices]]) -> Array:
    """Deviations ``(N, b)`` turned, column by column by its angle ``(b,)``.

    The Householder reflection that takes ``(1, ..., 1)`` to the first axis leaves the
    other axes free to turn, with the mean of the members at zero.
    """
    members = gaps.shape[0]
    normal = np.full(members, 1.0 / np.sqrt(members))
    normal[0] += 1.0
    normal *= np.sqrt(2.0) / np.linalg.norm(normal)
    free = gaps - np.outer(normal, normal @ gaps)
    along, across = np.cos(turn), np.sin(turn)
    for one, other in rounds:
        first, second = free[one], free[other]
        free[one] = along * first + across * second
        free[other] = along * second - across * first
    return np.asarray(free - np.outer(normal, normal @ free))


def _whitened(seen: Measured, local: Local) -> tuple[Array, Array, Array]:
    """``R_k^-1/2`` times f(x_i), y_i and y*, all less ``mean f``.

    Returns:
        ``(b, N, m)``, ``(b, N, m)`` and ``(b, m)``.
    """
    taper, index, members = local.taper, local.index, seen.deviations.shape[0]
    weight = np.sqrt(taper / (taper + (1.0 - taper) * seen.tapered[index]))
    rows = (seen.deviations.T, seen.noisy.T, seen.innovation[:, None])
    whole = np.concatenate(rows, axis=1)[index] * weight[:, :, None]  # (b, m, 2 N + 1)
    if seen.correlation is not None:
        # D^1/2 comes first: R_k^-1 = D^1/2 R^-1 D^1/2.
        whole = np.asarray(np.linalg.solve(_root(seen.correlation, local), whole))
    turned_over = np.swapaxes(whole, 1, 2)
    return (
        turned_over[:, :members],
        turned_over[:, members:-1],
        np.ascontiguousarray(turned_over[:, -1]),
    )


def _root(correlation: Array, local: Local) -> Array:
    """Cholesky factor of the correlations of the noise near each state, (b, m, m)."""
    index, count = local.index, local.index.shape[1]
    near = correlation[index[:, :, None], index[:, None, :]]
    there = local.taper > 0
    near *= there[:, :, None] & there[:, None, :]
    near[:, np.arange(count), np.arange(count)] = 1.0
    return np.asarray(np.linalg.cholesky(near))


def _by_measurements(
    scaled: Array, gaps: Array, anomalies: Array
) -> tuple[Array, Array, Array]:
    """The transform from ``S^T S``, ``(m, m)``.

    ``(I + S S^T)^-1/2 - I = S V g V^T S^T`` with ``S^T S = V s^2 V^T`` and
    ``g = ((1 + s^2)^-1/2 - 1) / s^2``, written so that s = 0 is harmless.
    """
    square, basis = np.linalg.eigh(np.swapaxes(scaled, 1, 2) @ scaled)
    square = np.maximum(square, 0.0)
    root = np.sqrt(1.0 + square)
    projected = scaled @ basis
    onto = np.swapaxes(projected, 1, 2) @ anomalies
    turned = np.swapaxes(basis, 1, 2) @ gaps
    shift = np.sum(turned * onto / (1.0 + square)[:, :, None], axis=(1, 2))
    moved = anomalies - projected @ (onto / (root * (1.0 + root))[:, :, None])
    return moved, shift, np.sum(square / (1.0 + square), axis=1)


def _by_members(
    scaled: Array, gaps: Array, anomalies: Array
) -> tuple[Array, Array, Array]:
    """The transform from ``S S^T``, ``(N, N)``."""
    square, basis = np.linalg.eigh(scaled @ np.swapaxes(scaled, 1, 2))
    square = np.maximum(square, 0.0)
    back = np.swapaxes(basis, 1, 2)
    onto = back @ anomalies
    turned = back @ (scaled @ gaps)
    shift = np.sum(turned * onto / (1.0 + square)[:, :, None], axis=(1, 2))
    moved = basis @ (onto / np.sqrt(1.0 + square)[:, :, None])
    return moved, shift, np.sum(square / (1.0 + square), axis=1)
