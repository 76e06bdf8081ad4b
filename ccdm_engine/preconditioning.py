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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine.localization import Localization
from ccdm_engine.scaling import EIGENVALUE_FLOOR

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]

# Singular values below this share of the largest are treated as zero.
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Regression:
    """A regression of states on measurements, evaluated where it is needed.

    Attributes:
        name: which regression this is.
        residuals: ``e_i = x_i - m(y_i)``, ``(N, dx)``, with ``m`` of mean zero.
        target: ``m(y*)``, ``(dx,)``.
        leverage: ``dm(y_i)/dx_i``, ``(N,)``: how much of a member's own state is in
            its own prediction. ``e_i / (1 - leverage_i)`` is the residual that the
            regression without member i would have left.
    """

    name: str
    residuals: Array
    target: Array
    leverage: Array

    @property
    def shifted(self) -> Array:
        """Members moved along the regression, ``x_i + m(y*) - m(y_i)``, (N, dx)."""
        return self.residuals + self.target

    @property
    def held_out_residuals(self) -> Array:
        """Residual of each member under the regression without it, (N, dx)."""
        # A member that determines its own prediction says nothing about error.
        keep = np.maximum(1.0 - self.leverage, 1.0 / self.leverage.size)
        mean = self.residuals.mean(axis=0)
        return np.asarray(mean + (self.residuals - mean) / keep[:, None])


def none(states: Array, simulated: Array, observation: Array) -> Regression:
    """No regression: ``m = 0``, the method of the paper."""
    members, dimension = states.shape
    return Regression("none", states, np.zeros(dimension), np.zeros(members))


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
        np.sum(u**2, axis=1),
    )


def shrunk(states: Array, simulated: Array, observation: Array) -> Regression:
    """Least squares with every sample correlation shrunk towards zero.

    A sample correlation ``r`` from N members has sampling variance about
    ``v = (1 - r^2)^2 / (N - 1)``; the factor ``max(0, 1 - v / r^2)`` is the
    positive-part James-Stein estimate of ``rho / r``. No coordinates are needed.
    """
    return _correlated(
        "shrunk", states, simulated, observation, _shrinkage, _shrinkage
    )


def localized(
    states: Array,
    simulated: Array,
    observation: Array,
    localization: Localization,
    columns: Columns,
) -> Regression:
    """Least squares with correlations tapered by distance (Gaspari-Cohn).

    Args:
        states, simulated, observation: as for :func:`linear`.
        localization: coordinates of all states and all measurements.
        columns: which of the caller's measurements the columns of ``simulated`` are.
    """
    taper_xy = localization.taper_xy(columns)
    taper_yy = localization.taper_yy(columns)
    return _correlated(
        "localized",
        states,
        simulated,
        observation,
        lambda r, n: taper_xy,
        lambda r, n: taper_yy,
    )


def _correlated(name, states, simulated, observation, factor_xy, factor_yy):  # type: ignore[no-untyped-def]
    members = states.shape[0]
    gaps, target_gap = _standardized(simulated, observation)
    deviations = states - states.mean(axis=0)
    spread = np.sqrt(np.mean(deviations**2, axis=0) * members / (members - 1))
    safe = np.where(spread > 0, spread, 1.0)
    cross = (deviations / safe).T @ gaps / (members - 1)
    cross *= factor_xy(cross, members)
    among = gaps.T @ gaps / (members - 1)
    among *= factor_yy(among, members)
    np.fill_diagonal(among, 1.0)
    inverse = _positive_inverse(among)
    gain = cross @ inverse * safe[:, None]
    fitted = gaps @ gain.T
    leverage = np.sum((gaps @ inverse) * gaps, axis=1) / (members - 1)
    return Regression(
        name, states - fitted, gain @ target_gap, np.clip(leverage, 0.0, 1.0)
    )


def _shrinkage(correlation: Array, members: int) -> Array:
    square = np.minimum(correlation**2, 1.0)
    variance = (1.0 - square) ** 2 / (members - 1)
    excess = np.maximum(square - variance, 0.0)
    return np.asarray(np.divide(excess, square, out=np.zeros_like(square), where=square > 0))


def _standardized(simulated: Array, observation: Array) -> tuple[Array, Array]:
    mean = simulated.mean(axis=0)
    spread = simulated.std(axis=0, ddof=1)
    return (simulated - mean) / spread, (observation - mean) / spread


def _positive_inverse(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    # Tapering by sample correlations may leave small negative eigenvalues.
    values = np.maximum(values, EIGENVALUE_FLOOR * float(values[-1]))
    return np.asarray((vectors / values) @ vectors.T)
