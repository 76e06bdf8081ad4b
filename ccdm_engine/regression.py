"""Regressions of one set of variables on another, over the ensemble.

With ``m(y)`` a regression of states on measurements, the residual ``e = x - m(y)``
varies less with ``y`` than ``x`` does. A member's contribution moves along it::

    x_i  ->  x_i + m(y*) - m(y_i)

In the sample that a regression was fitted to, residuals are too small: with leverage
``l_i`` their variance under least squares is ``(1 - l_i)`` times the noise's.
:meth:`Regression.unbiased` divides by the root of it (MacKinnon and White 1985, HC2);
:attr:`held_out_residuals` divides by all of it, which is what refitting without the
member would leave. For shrunk, tapered and kernel regressions both are approximations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ccdm_engine import columns
from ccdm_engine.blocks import blocks

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp] | slice

# Singular values below this share of the largest are treated as zero.
RANK_TOLERANCE = 1e-10
# Variables worked on at a time.
BLOCK = 1024
# Grids of the kernel ridge regression: lengths in units of the measurements' spread
# (times sqrt(dy)), ridges in units of the residual variance.
KERNEL_LENGTHS = np.array([0.5, 1.0, 2.0])
KERNEL_RIDGES = (0.3, 1.0, 3.0, 10.0)


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
        overlap: ``sum_ij H_ij^2 / sum_i H_ii``, ``(dx,)``, of the matrix H by which
            members' predictions follow from their states; ``None`` for projections,
            whose overlap is 1.
        widest: spread of the states, ``(dx,)``, which no unbiased residuals exceed.
        own: residuals of the members' measurements as they are, ``(N, dx)``, where
            ``residuals`` are those of measurements with more noise, or unbiased.
        is_unbiased: whether ``residuals`` have the variance that the noise has.
        is_transform: whether they are members transformed without any noise
            (:mod:`.local_transform`).
    """

    name: str
    residuals: Array
    target: Array
    leverage: Array
    own: Array | None = None
    overlap: Array | None = None
    widest: Array | None = None
    is_unbiased: bool = False
    is_transform: bool = False

    @property
    def shifted(self) -> Array:
        """Members moved along the regression, ``x_i + m(y*) - m(y_i)``, (N, dx)."""
        return self.residuals + self.target

    def unbiased(self) -> Regression:
        """The same with residuals of the variance that the noise has.

        Of noise with variance 1 there is ``1 - 2 H_ii + sum_j H_ij^2`` in a residual,
        ``1 - H_ii`` after a projection (HC2 of MacKinnon and White 1985). The overlap
        tells what the sum is on average. No variable becomes wider than the states are.
        """
        if not self.leverage.any():
            return self
        share = 1.0 / self.residuals.shape[0]
        wide = self.leverage.shape[1] > 1
        gaps = np.empty_like(self.residuals)
        for block in blocks(gaps.shape[1], BLOCK):
            part = self.residuals[:, block]
            mean = columns.mean(part)
            part = part - mean
            # 1 / N is the members' own share in the mean.
            taken = self.leverage[:, block] if wide else self.leverage
            if self.overlap is not None:
                # The same for all members, for single sums are not known; and at least
                # what remains of a member's own noise.
                taken = columns.mean(taken)
                most = taken * (2.0 - taken)
                taken = np.minimum((2.0 - self.overlap[block]) * taken, most)
            keep = 1.0 - share - taken
            part /= np.sqrt(np.maximum(keep, share) / (1.0 - share))
            part -= columns.mean(part)
            if self.widest is not None:
                part *= _bound(part, self.widest[block])
            part += mean
            gaps[:, block] = part
        own = self.residuals if self.own is None else self.own
        return replace(self, residuals=gaps, own=own, is_unbiased=True)

    def settled(self) -> Regression:
        """What sampling needs: without leverage and residuals of another kind."""
        none = np.zeros((self.residuals.shape[0], 1))
        return replace(self, leverage=none, own=None, overlap=None, widest=None)

    @property
    def held_out_residuals(self) -> Array:
        """Residual of each member under the regression without it, (N, dx)."""
        return self.held_out(slice(None), slice(None))

    def held_out(self, members: Rows, block: slice) -> Array:
        """The same of some members in some variables."""
        own = (self.residuals if self.own is None else self.own)[:, block]
        wide = self.leverage.shape[1] > 1
        leverage = (self.leverage[:, block] if wide else self.leverage)[members]
        # A member that determines its own prediction says nothing about error.
        keep = np.maximum(1.0 - leverage, 1.0 / own.shape[0])
        mean = columns.mean(own)
        return np.asarray(mean + (own[members] - mean) / keep)


def _bound(gaps: Array, widest: Array) -> Array:
    """Factors, at most 1, by which no column is wider than that, ``(b,)``."""
    spread = columns.deviation(gaps)
    return np.asarray(np.minimum(1.0, widest / np.where(spread > 0, spread, 1.0)))


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
    gaps, target_gap = standardized(simulated, observation)
    u, values, vt = np.linalg.svd(gaps, full_matrices=False)
    rank = int(np.sum(values > RANK_TOLERANCE * values[0])) if values.size else 0
    u, values, vt = u[:, :rank], values[:rank], vt[:rank]
    residuals, loadings = np.empty_like(states), np.empty((rank, states.shape[1]))
    for block in blocks(states.shape[1], BLOCK):
        part = states[:, block]
        loadings[:, block] = u.T @ (part - columns.mean(part))
        residuals[:, block] = part - u @ loadings[:, block]
    return Regression(
        "linear",
        residuals,
        ((vt @ target_gap) / values) @ loadings,
        np.sum(u**2, axis=1, keepdims=True),
    )


def kernel(states: Array, simulated: Array, observation: Array) -> Regression:
    """Kernel ridge regression on top of the linear one.

    ``m(y) = K y + sum_i a_i k(y, y_i)`` with a Gaussian kernel of length l and ridge
    r, both chosen by the closed-form leave-one-out error over a small grid that
    contains "no kernel part". Nonlinear regression adjustment: Blum and Francois
    (2010). Cost: one eigendecomposition, ``O(N^3)``, per length.
    """
    base = linear(states, simulated, observation)
    gaps, target_gap = standardized(simulated, observation)
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


def standardized(simulated: Array, observation: Array) -> tuple[Array, Array]:
    """Measurements and observation from their mean, in units of their spread."""
    mean = columns.mean(simulated)
    spread = columns.deviation(simulated)
    spread = np.where(spread > 0, spread, 1.0)
    return (simulated - mean) / spread, (observation - mean) / spread
