"""Regress the states on the measurements, and let the kernels do the rest.

With ``m(y)`` a regression of states on measurements, the residual ``e = x - m(y)``
varies less with ``y`` than ``x`` does, so kernels on ``(e, y)`` need less resolution
than kernels on ``(x, y)``. A member's contribution moves along the regression::

    x_i  ->  x_i + m(y*) - m(y_i)

Known as regression adjustment in approximate Bayesian computation (Beaumont, Zhang
and Balding 2002). With ``m(y) = K y``, ``K = C_xy C_yy^-1`` and equal weights it is
the stochastic ensemble Kalman filter (Evensen 1994) without knowledge of the
measurement operator.

Cost, once per analysis: ``O(N dy min(N, dy) + N dx dy)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ccdm_engine.localization import Localization
from ccdm_engine.scaling import EIGENVALUE_FLOOR

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]

# Singular values below this share of the largest are treated as zero.
RANK_TOLERANCE = 1e-10
# Shrinkage among measurements never vanishes: their matrix must stay invertible.
LARGEST_FACTOR = 0.9999
# Grids of the kernel ridge regression: lengths in units of the measurements' spread
# (times sqrt(dy)), ridges in units of the residual variance.
KERNEL_LENGTHS = np.array([0.5, 1.0, 2.0])
KERNEL_RIDGES = (0.3, 1.0, 3.0, 10.0)

Factor = Callable[[Array, int], Array]


@dataclass(frozen=True, slots=True)
class Regression:
    """A regression of states on measurements, evaluated where it is needed.

    Attributes:
        name: which regression this is.
        residuals: ``e_i = x_i - m(y_i)``, ``(N, dx)``, with ``m`` of mean zero.
        target: ``m(y*)``, ``(dx,)``.
        leverage: ``dm(y_i)/dx_i``, ``(N, 1)`` or ``(N, dx)``: how much of a member's
            own state is in its own prediction. ``e_i / (1 - leverage_i)`` is the
            residual that the regression without member i would have left.
        own: residuals of the members' measurements as they are, ``(N, dx)``, where
            ``residuals`` are those of measurements with more noise.
    """

    name: str
    residuals: Array
    target: Array
    leverage: Array
    own: Array | None = None

    @property
    def shifted(self) -> Array:
        """Members moved along the regression, ``x_i + m(y*) - m(y_i)``, (N, dx)."""
        return self.residuals + self.target

    @property
    def held_out_residuals(self) -> Array:
        """Residual of each member under the regression without it, (N, dx)."""
        # A member that determines its own prediction says nothing about error.
        keep = np.maximum(1.0 - self.leverage, 1.0 / self.leverage.shape[0])
        own = self.residuals if self.own is None else self.own
        mean = own.mean(axis=0)
        return np.asarray(mean + (own - mean) / keep)


def none(states: Array, simulated: Array, observation: Array) -> Regression:
    """No regression: ``m = 0``, the method of the paper."""
    members, dimension = states.shape
    return Regression("none", states, np.zeros(dimension), np.zeros((members, 1)))


def linear(states: Array, simulated: Array, observation: Array) -> Regression:
    """Plain least squares, minimum norm where it is not unique.

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
    """
    gaps, target_gap = _standardized(simulated, observation)
    u, values, vt = np.linalg.svd(gaps, full_matrices=False)
    rank = int(np.sum(values > RANK_TOLERANCE * values[0])) if values.size else 0
    u, values, vt = u[:, :rank], values[:rank], vt[:rank]
    deviations = states - states.mean(axis=0)
    loadings = u.T @ deviations
    return Regression(
        "linear",
        states - u @ loadings,
        ((vt @ target_gap) / values) @ loadings,
        np.sum(u**2, axis=1, keepdims=True),
    )


def weighted(
    states: Array,
    simulated: Array,
    noisier: Array,
    observation: Array,
    weights: Array,
) -> Regression:
    """Least squares near the observation, from measurements with more noise.

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``, with the noise they have.
        noisier: the same with the noise of a weaker observation, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        weights: of the members, summing to 1, ``(N,)``.
    """
    mean, middle = weights @ noisier, weights @ states
    gaps = noisier - mean
    roots = np.sqrt(weights)[:, None]
    u, values, vt = np.linalg.svd(roots * gaps, full_matrices=False)
    kept = values > RANK_TOLERANCE * values[0]
    u, values, vt = u[:, kept], values[kept], vt[kept]
    gain = (vt.T / values) @ (u.T @ (roots * (states - middle)))
    return Regression(
        "linear",
        states - gaps @ gain,
        (observation - mean) @ gain,
        np.sum(u**2, axis=1, keepdims=True) + weights[:, None],
        own=states - (simulated - mean) @ gain,
    )


def shrunk(states: Array, simulated: Array, observation: Array) -> Regression:
    """Least squares with every sample correlation shrunk towards zero.

    Of the variance ``r^2`` that a sample correlation from N members seems to explain,
    ``(1 - r^2) / (N - 2)`` is chance; r is multiplied by the share that is not. Among
    measurements one common factor keeps the correlation matrix positive definite
    (Schaefer and Strimmer 2005). No coordinates are needed.
    """
    return _correlated(
        "shrunk", states, simulated, observation, _shrinkage, _common_shrinkage
    )


def localized(
    states: Array,
    simulated: Array,
    observation: Array,
    localization: Localization,
    state_columns: Columns,
    columns: Columns,
) -> Regression:
    """Least squares with correlations tapered by distance (Gaspari-Cohn).

    Args:
        states: ``x_i``, ``(N, dx)``.
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        localization: coordinates of all states and all measurements.
        state_columns: which of the caller's variables the columns of ``states`` are.
        columns: which of the caller's measurements the columns of ``simulated`` are.
    """
    taper_xy = localization.taper_xy(columns, state_columns)
    taper_yy = localization.taper_yy(columns)
    return _correlated(
        "localized",
        states,
        simulated,
        observation,
        lambda r, n: taper_xy,
        lambda r, n: taper_yy,
    )


def kernel(states: Array, simulated: Array, observation: Array) -> Regression:
    """Kernel ridge regression on top of the linear one.

    ``m(y) = K y + sum_i a_i k(y, y_i)`` with a Gaussian kernel of length l and ridge
    r, both chosen by the closed-form leave-one-out error over a small grid that
    contains "no kernel part". Nonlinear regression adjustment: Blum and Francois
    (2010). Cost: one eigendecomposition, ``O(N^3)``, per length.
    """
    base = linear(states, simulated, observation)
    gaps, target_gap = _standardized(simulated, observation)
    scale = states.std(axis=0, ddof=1)
    residuals = base.residuals - base.residuals.mean(axis=0)
    unit = residuals / np.where(scale > 0, scale, 1.0)
    distance = cdist(gaps, gaps, "sqeuclidean")
    least = float(np.mean((unit / (1 - np.minimum(base.leverage, 0.99))) ** 2))
    best: tuple[float, Array, Array] | None = None
    for length in KERNEL_LENGTHS * np.sqrt(gaps.shape[1]):
        values, vectors = np.linalg.eigh(np.exp(-distance / (2 * length**2)))
        loadings = vectors.T @ unit
        for ridge in KERNEL_RIDGES:
            filter_ = np.maximum(values, 0.0) / (np.maximum(values, 0.0) + ridge)
            own = np.sum(vectors**2 * filter_, axis=1, keepdims=True)
            left = unit - vectors @ (filter_[:, None] * loadings)
            total = np.minimum(own + base.leverage, 0.99)
            error = float(np.mean((left / (1 - total)) ** 2))
            if error < least:
                least = error
                fade = vectors / (np.maximum(values, 0.0) + ridge)
                near = np.exp(
                    -np.sum((gaps - target_gap) ** 2, axis=1) / (2 * length**2)
                )
                best = (error, (vectors * filter_) @ vectors.T, near @ fade @ vectors.T)
    if best is None:
        return Regression("kernel", base.residuals, base.target, base.leverage)
    _, smoother, weights = best
    own = np.diag(smoother)[:, None]
    return Regression(
        "kernel",
        base.residuals - smoother @ residuals,
        base.target + weights @ residuals,
        np.minimum(base.leverage + own * (1 - base.leverage), 1.0),
    )


def _correlated(
    name: str,
    states: Array,
    simulated: Array,
    observation: Array,
    factor_xy: Factor,
    factor_yy: Factor,
) -> Regression:
    """Least squares from sample correlations, each multiplied by a factor."""
    members = states.shape[0]
    gaps, target_gap = _standardized(simulated, observation)
    deviations = states - states.mean(axis=0)
    spread = deviations.std(axis=0, ddof=1)
    spread = np.where(spread > 0, spread, 1.0)
    cross = (deviations / spread).T @ gaps / (members - 1)
    factor = factor_xy(cross, members)
    cross *= factor
    among = gaps.T @ gaps / (members - 1)
    among *= factor_yy(among, members)
    np.fill_diagonal(among, 1.0)
    inverse = _positive_inverse(among)
    gain = cross @ inverse * spread[:, None]
    leverage = ((gaps @ inverse) * gaps) @ factor.T / (members - 1)
    return Regression(
        name,
        states - gaps @ gain.T,
        gain @ target_gap,
        np.clip(leverage, 0.0, 1.0),
    )


def _shrinkage(correlation: Array, members: int) -> Array:
    """Adjusted over plain share of explained variance (Wherry 1931), 0 to 1."""
    if members <= 2:
        return np.zeros_like(correlation)
    square = np.minimum(correlation**2, 1.0)
    excess = np.maximum(square - (1.0 - square) / (members - 2), 0.0)
    factor = np.zeros_like(square)
    return np.asarray(np.divide(excess, square, out=factor, where=square > 0))


def _common_shrinkage(correlation: Array, members: int) -> Array:
    """One factor for all off-diagonal correlations, 0 to 1, as an array.

    ``1 - sum var(r) / sum r^2`` with the large-sample variance ``(1 - r^2)^2 / N``.
    """
    others = ~np.eye(correlation.shape[0], dtype=np.bool_)
    square = np.minimum(correlation[others] ** 2, 1.0)
    total = float(np.sum(square))
    chance = float(np.sum((1.0 - square) ** 2)) / max(members - 2, 1)
    factor = min(max(1.0 - chance / total, 0.0), LARGEST_FACTOR) if total else 0.0
    return np.full_like(correlation, factor)


def _standardized(simulated: Array, observation: Array) -> tuple[Array, Array]:
    mean = simulated.mean(axis=0)
    spread = simulated.std(axis=0, ddof=1)
    return (simulated - mean) / spread, (observation - mean) / spread


def _positive_inverse(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    # Factors on sample correlations may leave small negative eigenvalues.
    values = np.maximum(values, EIGENVALUE_FLOOR * float(values[-1]))
    return np.asarray((vectors / values) @ vectors.T)


RULES: dict[str, Callable[[Array, Array, Array], Regression]] = {
    "none": none,
    "linear": linear,
    "shrunk": shrunk,
    "kernel": kernel,
}
