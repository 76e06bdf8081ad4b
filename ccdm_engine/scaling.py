"""Coordinates in which distances between members mean something.

A frame is an affine map ``u = S^-1 D^-1 (x - o)``: ``o`` origin, ``D`` diagonal of
column deviations, ``S`` the symmetric square root of the correlation matrix (whiten
only). The *symmetric* root is used because it commutes with permuting columns, which
a Cholesky factor does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns

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

    A stack of B frames has ``(B, 1, d)`` in place of ``(d,)``, ``(B, d, d)`` in place
    of ``(d, d)``, and maps points ``(B, n, d)``.

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
        d = int(self.origin.shape[-1])
        known = {"none": 0, "standardize": d, "whiten": d * (d + 1) // 2}
        return known[self.kind]

    @property
    def log_volume(self) -> Array:
        """``log |det du/dx|``: what a log density in ``u`` gains as one in ``x``.

        ``()``, or ``(B, 1)`` of a stack.
        """
        volume = -np.sum(np.log(self.deviation), axis=-1)
        if self.root is not None:
            volume -= np.linalg.slogdet(self.root)[1].reshape(volume.shape)
        return np.asarray(volume)

    def at(self, place: int) -> Frame:
        """One frame of a stack."""
        root, inverse = self.root, self.inverse_root
        return Frame(
            self.origin[place, 0],
            self.deviation[place, 0],
            None if root is None else root[place],
            None if inverse is None else inverse[place],
            self.kind,
        )


def has_footing(members: int, dimension: int) -> bool:
    """Whether there are members enough to know a shape in so many dimensions."""
    return members >= MEMBERS_PER_DIMENSION * (dimension + 1)


def fit_frame(
    x: Array, kind: str, *, center: bool = True, floor: Array | None = None
) -> Frame:
    """The frame in which the ensemble has zero mean and unit spread.

    Args:
        x: ensemble, ``(N, d)``; several, ``(B, N, d)``, for a stack of frames.
        kind: ``"none"``, ``"standardize"``, ``"whiten"`` or ``"auto"`` (whiten when
            there are at least 5 members per dimension, else standardize).
        center: whether kind ``"none"`` still measures from the mean.
        floor: spread, ``(d,)``, of which a deviation keeps at least 1e-8.

    Returns:
        A frame; constant columns keep unit deviation.
    """
    members, dimension = x.shape[-2:]
    if kind == "auto":
        enough = has_footing(members, dimension)
        kind = "whiten" if enough and dimension > 1 else "standardize"
    if kind == "whiten" and members <= dimension:
        # The correlation matrix is singular: only its diagonal can be trusted.
        kind = "standardize"
    several = x.ndim == 3
    mean = x.mean(axis=-2, keepdims=True) if several else columns.mean(x)
    if kind == "none":
        origin = mean if center else np.zeros_like(mean)
        return Frame(origin, np.ones_like(mean), None, None, kind)
    square = columns.squares(x, mean)
    varied = _varied(x).reshape(mean.shape)
    deviation = np.where(varied, np.sqrt(square / (members - 1)), 0.0)
    if floor is not None:
        deviation = np.maximum(deviation, DEVIATION_FLOOR * floor)
    deviation = np.where(deviation > 0, deviation, 1.0)
    if kind == "standardize":
        return Frame(mean, deviation, None, None, kind)
    gaps = (x - mean) / deviation
    correlation = gaps.swapaxes(-1, -2) @ gaps / (members - 1)
    root, inverse_root = symmetric_roots(correlation)
    return Frame(mean, deviation, root, inverse_root, kind)


def fit_weighted(
    x: Array, weights: Array, references: Sequence[Frame], trust: Array
) -> Frame:
    """A stack of frames that follow the spread of weighted ensembles.

    Args:
        x: ensembles, ``(B, N, d)``, or one for all, ``(1, N, d)``.
        weights: of the members, each row summing to 1, ``(B, N)``.
        references: frames of one kind, whose variances fill in for what few
            effective members cannot tell, B of them.
        trust: share of the weighted estimate in the blend with them, ``(B,)``.

    Returns:
        Frames of the kind of the references; :meth:`Frame.at` takes one out.
    """
    trust, rest = trust[:, None, None], 1.0 - trust[:, None, None]
    # 1 - sum w_i^2 is the weighted counterpart of (N - 1) / N.
    unbiased = np.maximum(1.0 - np.sum(weights**2, axis=1), 1.0 / weights.shape[1])
    shares = weights[:, None, :]
    mean = shares @ x
    gaps = x - mean
    shares = shares / unbiased[:, None, None]
    # The rounding of the mean of a constant column is not spread.
    square = np.where(_varied(x)[:, None, :], shares @ gaps**2, 0.0)
    prior = np.stack([frame.deviation for frame in references])[:, None, :]
    deviation = np.sqrt(trust * square + rest * prior**2)
    deviation = np.where(deviation > 0, deviation, 1.0)
    if references[0].root is None:
        return Frame(mean, deviation, None, None, references[0].kind)
    gaps /= deviation
    correlation = (gaps * shares.swapaxes(1, 2)).swapaxes(1, 2) @ gaps
    roots = _stack([frame.root for frame in references])
    scale = prior / deviation
    correlation = trust * correlation + rest * (
        (roots @ roots) * scale * scale.swapaxes(1, 2)
    )
    root, inverse_root = symmetric_roots(correlation)
    return Frame(mean, deviation, root, inverse_root, references[0].kind)


def stacked(frames: Sequence[Frame]) -> Frame:
    """Frames of one kind as a stack."""
    root, inverse = frames[0].root, frames[0].inverse_root
    return Frame(
        np.stack([frame.origin for frame in frames])[:, None],
        np.stack([frame.deviation for frame in frames])[:, None],
        None if root is None else _stack([frame.root for frame in frames]),
        None if inverse is None else _stack([frame.inverse_root for frame in frames]),
        frames[0].kind,
    )


def _stack(matrices: Sequence[Array | None]) -> Array:
    return np.stack([matrix for matrix in matrices if matrix is not None])


def symmetric_roots(matrix: Array) -> tuple[Array, Array]:
    """Symmetric square root and its inverse, eigenvalues floored, (..., d, d) each."""
    values, vectors = np.linalg.eigh(matrix)
    largest = np.maximum(values[..., -1:], 1e-300)
    roots = np.sqrt(np.maximum(values, EIGENVALUE_FLOOR * largest))[..., None, :]
    turned = vectors.swapaxes(-1, -2)
    return (vectors * roots) @ turned, (vectors / roots) @ turned


def _varied(x: Array) -> npt.NDArray[np.bool_]:
    """Which columns differ between members at all, ``(..., d)``."""
    if x.ndim > 2:
        return np.asarray(x.max(axis=-2) > x.min(axis=-2))
    low, high = columns.extent(x)
    return np.asarray(high > low)
