"""Regress the states on the measurements, and let the kernels do the rest.

Kernels on residuals ``e = x - m(y)`` and measurements need less resolution than
kernels on ``(x, y)``. Known as regression adjustment in approximate Bayesian
computation (Beaumont, Zhang and Balding 2002). With ``m(y) = K y``,
``K = C_xy C_yy^-1`` and equal weights it is the stochastic ensemble Kalman filter
(Evensen 1994) without knowledge of the measurement operator.

The rules here fight sampling error: with measurements taken apart into ``f(x)`` and
noise (:mod:`.noise`) the gain is ``K = C_xf (C_ff + R)^-1``, and sample correlations
are shrunk by what chance alone explains, or tapered by distance.

Cost, once per analysis: ``O(N dy min(N, dy) + N dx dy)``, for dy > N also ``dy^3``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotrs

from ccdm_engine import columns
from ccdm_engine.blocks import blocks
from ccdm_engine.localization import Localization
from ccdm_engine.noise import BLOCK, Noise, common_shrinkage, sparse
from ccdm_engine.regression import Regression, kernel, linear, none
from ccdm_engine.scaling import EIGENVALUE_FLOOR

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]

# Factors on correlations between the states of a block and the measurements, given
# the correlations and the number of members; on those among measurements alike.
CrossFactor = Callable[[Array, int, slice], Array]
AmongFactor = Callable[[Array, int], Array]

# States by whose leave-one-out errors ways to shrink are judged, where there are more.
MOST_JUDGED = 2048


def shrunk(
    states: Array, simulated: Array, observation: Array, noise: Noise | None = None
) -> Regression:
    """Least squares with sample correlations shrunk towards zero.

    Two ways to shrink are there, and the one with the smaller leave-one-out error is
    taken:

    each by itself
        Of the variance ``r^2`` that a sample correlation from N members seems to
        explain, ``(1 - r^2) / (N - 2)`` is chance; r is multiplied by the share that is
        not. Good where few measurements matter for a state.
    all by one factor
        That of the correlations among measurements (Schaefer and Strimmer 2005). States
        and measurements then have one covariance together, whose small eigenvalues do
        not blow chance up. Good for smooth fields, of which all measurements say much.

    Of correlations shrunk one by one and the matrix of measurements, shrunk by one
    factor, no covariance need exist that holds both. A state that would be explained by
    more than all of its variance has its correlations scaled back until there is one.
    No coordinates are needed.

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        noise: the measurements taken apart; told by :func:`.noise.sparse` if not given.
    """
    apart = sparse(states, simulated) if noise is None else noise
    gain, among = _fitted(simulated, observation, apart, common_shrinkage)
    precision = _solved(among, np.eye(gain.width.size))
    common = common_shrinkage(gain.correlation, states.shape[0])[0, -1]

    def each(r: Array, members: int, block: slice) -> Array:
        found = _shrinkage(r, members)
        loads = r * found * gain.width
        explained = np.einsum("ij,ij->i", loads @ precision, loads)
        return np.asarray(found / np.sqrt(np.maximum(explained, 1.0))[:, None])

    def alike(r: Array, members: int, block: slice) -> Array:
        return np.full_like(r, common)

    if not common > 0:  # no correlations among measurements that could be believed
        return _regression("shrunk", states, gain, each)
    some = states[:, :: -(-states.shape[1] // MOST_JUDGED)]
    tried = {rule: gain.on(some, rule, slice(None)) for rule in (each, alike)}
    rule = min(tried, key=lambda rule: tried[rule].held_out_error)
    if some.shape == states.shape:
        return Regression("shrunk", **tried[rule]._asdict())
    return _regression("shrunk", states, gain, rule)


def localized(
    states: Array,
    simulated: Array,
    observation: Array,
    localization: Localization,
    state_columns: Columns,
    columns: Columns,
    noise: Noise,
) -> Regression:
    """Least squares with correlations tapered by distance (Gaspari-Cohn).

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        localization: coordinates of all states and all measurements.
        state_columns: which of the caller's variables the columns of ``states`` are.
        columns: which of the caller's measurements the columns of ``simulated`` are.
        noise: the measurements taken apart.
    """

    def taper(block: slice) -> Array:
        return localization.taper_xy(columns, state_columns[block])

    among = localization.taper_yy(columns)
    return _correlated(
        "localized",
        (states, simulated, observation),
        noise,
        lambda r, n, block: taper(block),
        lambda r, n: among,
    )


def filtered(
    states: Array, simulated: Array, observation: Array, noise: Noise
) -> Regression:
    """Least squares from known parts, the gain of the EnKF that knows R.

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        noise: the measurements taken apart.
    """
    return _correlated(
        "linear",
        (states, simulated, observation),
        noise,
        lambda r, n, block: np.ones_like(r),
        lambda r, n: np.ones_like(r),
    )


def _correlated(
    name: str,
    triple: tuple[Array, Array, Array],
    noise: Noise,
    cross_factor: CrossFactor,
    among_factor: AmongFactor,
) -> Regression:
    """Least squares from sample correlations, each multiplied by a factor."""
    states, simulated, observation = triple
    gain = fit_gain(simulated, observation, noise, among_factor)
    return _regression(name, states, gain, cross_factor)


def _regression(
    name: str, states: Array, gain: Gain, cross_factor: CrossFactor
) -> Regression:
    residuals, leverage = np.empty_like(states), np.empty_like(states)
    target = np.empty(states.shape[1])
    overlap, widest = np.empty_like(target), np.empty_like(target)
    for block in blocks(states.shape[1], BLOCK):
        part = gain.on(states[:, block], cross_factor, block)
        residuals[:, block], target[block] = part.residuals, part.target
        leverage[:, block], overlap[block] = part.leverage, part.overlap
        widest[block] = part.widest
    return Regression(name, residuals, target, leverage, overlap=overlap, widest=widest)


class Regressed(NamedTuple):
    """Some states' part of a :class:`.Regression`.

    With ``H`` the matrix that predicts one state of all members from that state of all
    members, leverages are its diagonal, and the overlap is ``sum H_ij^2 / sum H_ii``:
    1 for a projection, such as least squares.

    Attributes:
        residuals: ``(N, b)``.
        target: ``(b,)``.
        leverage: ``(N, b)``.
        overlap: ``(b,)``.
        widest: spread of the states, ``(b,)``.
    """

    residuals: Array
    target: Array
    leverage: Array
    overlap: Array
    widest: Array

    @property
    def held_out_error(self) -> float:
        """Square of what a member left out would be missed by, in the states' spreads.

        Generalized cross-validation (Craven and Wahba 1979): the residuals over 1 less
        the mean leverage, so that one member of leverage 1 does not decide.
        """
        left = np.maximum(1.0 - columns.mean(self.leverage), 1.0 / len(self.leverage))
        error = columns.deviation(self.residuals) / (left * _positive(self.widest))
        return float(np.mean(error**2))


class Gain(NamedTuple):
    """What the regression of any state on the measurements needs of these.

    Attributes:
        unit: ``f(x_i)`` from their mean in units of their spread, ``(N, dy)``.
        width: that spread in units of the measurements', ``(dy,)``.
        loads: ``(C_ff + R)^-1`` on all members and on ``y*``, ``(dy, N + 1)``.
        own: what a member's own measurements have in them, ``(N, dy)``.
    """

    unit: Array
    width: Array
    loads: Array
    own: Array

    def near(self, measurements: Columns) -> Gain:
        """The same for states that only these measurements matter for."""
        return Gain(
            self.unit[:, measurements],
            self.width[measurements],
            self.loads[measurements],
            self.own[:, measurements],
        )

    @property
    def correlation(self) -> Array:
        """Sample correlations of ``f``, ``(dy, dy)``."""
        return np.asarray(self.unit.T @ self.unit / (self.unit.shape[0] - 1))

    def on(self, states: Array, cross_factor: CrossFactor, block: slice) -> Regressed:
        """The regression of some states.

        Args:
            states: ``(N, b)``.
            cross_factor: factors on their correlations with the measurements.
            block: which columns of all states these are.
        """
        members = states.shape[0]
        part = states - columns.mean(states)
        widest = columns.deviation(part)
        spread = _positive(widest)
        cross = (part / spread).T @ self.unit / (members - 1)
        factor = cross_factor(cross, members, block)
        moves = ((cross * factor * self.width) @ self.loads).T * spread
        leverage = np.clip(self.own @ factor.T / (members - 1), 0.0, 1.0)
        shares = self.loads[:, :-1] * self.width[:, None] / (members - 1)
        square = (self.unit.T @ self.unit) * (shares @ shares.T)
        overlap = np.einsum("ij,ij->i", factor @ square, factor)
        whole = leverage.sum(axis=0)
        overlap = np.where(whole > 0, overlap / np.where(whole > 0, whole, 1.0), 1.0)
        return Regressed(states - moves[:-1], moves[-1], leverage, overlap, widest)


def fit_gain(
    simulated: Array, observation: Array, noise: Noise, among_factor: AmongFactor
) -> Gain:
    """The measurements' side of a regression from sample correlations.

    Args:
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        noise: the measurements taken apart.
        among_factor: factors on the correlations among measurements.
    """
    return _fitted(simulated, observation, noise, among_factor)[0]


def _fitted(
    simulated: Array, observation: Array, noise: Noise, among_factor: AmongFactor
) -> tuple[Gain, Array]:
    """The same, and ``C_ff + R`` in units of the measurements' spread, ``(dy, dy)``."""
    members = simulated.shape[0]
    scale = columns.deviation(simulated)
    middle = columns.mean(noise.fitted)
    gaps = (simulated - columns.mean(simulated)) / scale
    target_gap = (observation - middle) / scale
    fitted = (noise.fitted - middle) / scale
    width = _positive(columns.deviation(fitted))
    unit = fitted / width
    among = unit.T @ unit / (members - 1)
    among *= among_factor(among, members)
    np.fill_diagonal(among, 1.0)
    among *= np.outer(width, width)
    if noise.errors.ndim == 1:
        among[np.diag_indices_from(among)] += noise.errors / (scale * scale)
    else:
        among += noise.errors / np.outer(scale, scale)
    loads = _solved(among, np.vstack([gaps, target_gap]).T)  # (dy, N + 1)
    return Gain(unit, width, loads, loads[:, :-1].T * fitted), among


def _positive(spread: Array) -> Array:
    return np.where(spread > 0, spread, 1.0)


def _shrinkage(correlation: Array, members: int) -> Array:
    """Adjusted over plain share of explained variance (Wherry 1931), 0 to 1."""
    if members <= 2:
        return np.zeros_like(correlation)
    square = np.minimum(correlation**2, 1.0)
    excess = np.maximum(square - (1.0 - square) / (members - 2), 0.0)
    factor = np.zeros_like(square)
    return np.asarray(np.divide(excess, square, out=factor, where=square > 0))


def _solved(matrix: Array, right: Array) -> Array:
    """``matrix^-1 right`` for a symmetric matrix that ought to be positive."""
    factor, failed = dpotrf(matrix, lower=True)
    pivots = np.diag(factor)
    if not failed and np.min(pivots) > np.sqrt(EIGENVALUE_FLOOR) * np.max(pivots):
        return np.asarray(dpotrs(factor, right, lower=True)[0])
    # Factors on sample correlations may leave small or negative eigenvalues.
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, EIGENVALUE_FLOOR * float(values[-1]))
    return np.asarray((vectors / values) @ (vectors.T @ right))


RULES: dict[str, Callable[[Array, Array, Array], Regression]] = {
    "none": none,
    "linear": linear,
    "shrunk": shrunk,
    "kernel": kernel,
}
