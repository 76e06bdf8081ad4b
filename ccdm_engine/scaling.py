"""Coordinates in which distances between members mean something.

A frame is an affine map ``u = S^-1 D^-1 (x - o)``: ``o`` origin, ``D`` diagonal of
column deviations, ``S`` the symmetric square root of the correlation matrix (whiten
only). The *symmetric* root is used because it commutes with permuting columns, which
a Cholesky factor does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Whitening estimates d (d + 1) / 2 correlations; below this many members per
# dimension the estimate adds more noise than it removes anisotropy.
MEMBERS_PER_DIMENSION = 5
# Correlation eigenvalues are floored here: duplicates and exact linear relations
# between variables must not blow up the inverse root.
EIGENVALUE_FLOOR = 1e-10
# Residuals smaller than this share of the ensemble's spread are rounding.
DEVIATION_FLOOR = 1e-8


@dataclass(frozen=True, slots=True)
class Frame:
    """An invertible affine map between the caller's units and kernel coordinates.

    Attributes:
        origin: ``o``, ``(d,)``.
        deviation: diagonal of ``D``, ``(d,)``, all positive.
        root, inverse_root: ``S`` and ``S^-1``, ``(d, d)``, or ``None`` for identity.
        kind: ``"none"``, ``"standardize"`` or ``"whiten"``.
    """

    origin: Array
    deviation: Array
    root: Array | None
    inverse_root: Array | None
    kind: str

    def into(self, x: Array) -> Array:
        """Points ``(..., d)`` in the caller's units to kernel coordinates."""
        u = x - self.origin
        u /= self.deviation
        return u if self.inverse_root is None else u @ self.inverse_root

    def out_of(self, u: Array) -> Array:
        """Points ``(..., d)`` in kernel coordinates to the caller's units."""
        z = u if self.root is None else u @ self.root
        x = z * self.deviation
        x += self.origin
        return np.asarray(x)

    @property
    def parameters(self) -> int:
        """How many numbers were estimated for its scale and shape."""
        d = self.origin.size
        return {"none": 0, "standardize": d, "whiten": d * (d + 1) // 2}[self.kind]

    @property
    def log_volume(self) -> float:
        """``log |det du/dx|``: what a log density in ``u`` gains as one in ``x``."""
        volume = -float(np.sum(np.log(self.deviation)))
        if self.root is not None:
            volume -= float(np.linalg.slogdet(self.root)[1])
        return volume


def has_footing(members: int, dimension: int) -> bool:
    """Whether there are members enough to know a shape in so many dimensions."""
    return members >= MEMBERS_PER_DIMENSION * (dimension + 1)


def fit_frame(
    x: Array,
    kind: str,
    *,
    weights: Array | None = None,
    reference: Frame | None = None,
    trust: float = 1.0,
    center: bool = True,
    floor: Array | None = None,
) -> Frame:
    """The frame in which the (weighted) ensemble has zero mean and unit spread.

    Args:
        x: ensemble, ``(N, d)``.
        kind: ``"none"``, ``"standardize"``, ``"whiten"`` or ``"auto"`` (whiten when
            there are at least 5 members per dimension, else standardize).
        weights: member weights summing to 1, ``(N,)``; ``None`` is uniform.
        reference: frame whose variances fill in for what few effective members
            cannot tell.
        trust: share of the weighted estimate in the blend with the reference.
        center: whether kind ``"none"`` still measures from the mean.
        floor: spread, ``(d,)``, of which a deviation keeps at least 1e-8.

    Returns:
        A frame; constant columns keep unit deviation.
    """
    members, dimension = x.shape
    if kind == "auto":
        enough = has_footing(members, dimension)
        kind = "whiten" if enough and dimension > 1 else "standardize"
    if kind == "whiten" and members <= dimension:
        # The correlation matrix is singular: only its diagonal can be trusted.
        kind = "standardize"
    mean = np.average(x, axis=0, weights=weights)
    if kind == "none":
        origin = mean if center else np.zeros(dimension)
        return Frame(origin, np.ones(dimension), None, None, kind)
    deviation = _deviations(x, mean, weights)
    if reference is not None:
        deviation = np.sqrt(trust * deviation**2 + (1 - trust) * reference.deviation**2)
    if floor is not None:
        deviation = np.maximum(deviation, DEVIATION_FLOOR * floor)
    deviation = np.where(deviation > 0, deviation, 1.0)
    if kind == "standardize":
        return Frame(mean, deviation, None, None, kind)
    z = (x - mean) / deviation
    correlation = _second_moment(z, weights)
    if reference is not None and reference.root is not None:
        scale = reference.deviation / deviation
        prior = (reference.root @ reference.root) * np.outer(scale, scale)
        correlation = trust * correlation + (1 - trust) * prior
    root, inverse_root = symmetric_roots(correlation)
    return Frame(mean, deviation, root, inverse_root, kind)


def symmetric_roots(matrix: Array) -> tuple[Array, Array]:
    """Symmetric square root and its inverse, eigenvalues floored, each ``(d, d)``."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, EIGENVALUE_FLOOR * max(float(values[-1]), 1e-300))
    roots = np.sqrt(values)
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def _deviations(x: Array, mean: Array, weights: Array | None) -> Array:
    gaps = x - mean
    gaps *= gaps
    deviation = np.sqrt(_mean(gaps, weights))
    # The rounding of the mean of a constant column is not spread.
    return np.where(np.max(x, axis=0) > np.min(x, axis=0), deviation, 0.0)


def _mean(squares: Array, weights: Array | None) -> Array:
    if weights is None:
        return np.asarray(np.sum(squares, axis=0) / (squares.shape[0] - 1))
    return np.asarray(weights @ squares / _unbiased(weights))


def _second_moment(z: Array, weights: Array | None) -> Array:
    if weights is None:
        return np.asarray(z.T @ z / (z.shape[0] - 1))
    return np.asarray((z * weights[:, None]).T @ z / _unbiased(weights))


def _unbiased(weights: Array) -> float:
    """``1 - sum w_i^2``, the weighted counterpart of ``(N - 1) / N``."""
    return max(1.0 - float(np.sum(weights**2)), 1.0 / weights.size)
