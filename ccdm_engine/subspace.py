"""Coordinates in which to integrate: principal axes, and the span of the members.

Many variables, few members: integrate where the members are.

M centres span at most M - 1 dimensions around their mean. The kernels are isotropic,
so that across that span the mixture is exactly ``N(0, h^2 I)`` and independent of the
rest: only the part inside needs a sampler. With ``G`` the centred members and
``G G^T = V diag(l) V^T``, an orthonormal basis of the span is ``l^-1/2 V^T G``.

Cost, once per analysis: three products of size M x M x d; per step nothing in d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine.blocks import blocks
from ccdm_engine.mixture import Mixture

Array = npt.NDArray[np.float64]

# Directions with less than this share of the largest variance are rounding.
RANK_TOLERANCE = 1e-12
# Variables at a time: a hundred members' fit into the cache.
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Subspace:
    """The span of a mixture's centres around their mean.

    Works on a few thousand variables at a time, so that beside the points themselves
    nothing of the size of the ensemble is needed.

    Attributes:
        mixture: the mixture inside the span, centres ``(M, r)``.
        origin: mean of the centres, ``(d,)``.
        centres: of the mixture, ``(M, d)``; ``G`` is what they are from the mean.
        combine: ``l^-1/2 V^T``, ``(r, M)``; the basis is ``combine @ G``.
    """

    mixture: Mixture
    origin: Array
    centres: Array
    combine: Array

    def project(self, points: Array) -> Array:
        """Coordinates inside the span, ``(n, d)`` to ``(n, r)``."""
        along = np.zeros((points.shape[0], self.centres.shape[0]))
        for block in blocks(self.origin.size, BLOCK):
            gaps = self.centres[:, block] - self.origin[block]
            along += points[:, block] @ gaps.T
        return np.asarray(along @ self.combine.T)

    def embed(self, inside: Array, projected: Array, latents: Array) -> Array:
        """Points that are the given ones inside the span, and noise across it.

        Args:
            inside: coordinates inside, ``(n, r)``.
            projected: of the latents, ``(n, r)``.
            latents: standard normal draws, ``(n, d)``.
        """
        width = self.mixture.bandwidth
        shares = (inside - width * projected) @ self.combine
        points = np.empty(latents.shape)
        for block in blocks(self.origin.size, BLOCK):
            gaps = self.centres[:, block] - self.origin[block]
            part = shares @ gaps
            part += width * latents[:, block]
            part += self.origin[block]
            points[:, block] = part
        return points


@dataclass(frozen=True, slots=True)
class Axes:
    """Principal axes of a mixture's centres, as coordinates from its mean.

    Attributes:
        mixture: the mixture along the axes.
        origin: its mean, ``(d,)``.
        directions: orthonormal, one per column, ``(d, d)``.
        deviations: of the centres along each axis, rising, ``(d,)``.
    """

    mixture: Mixture
    origin: Array
    directions: Array
    deviations: Array

    def project(self, offsets: Array) -> Array:
        """Offsets from the mean along the axes, ``(n, d)``."""
        return np.asarray(offsets @ self.directions)

    def embed(self, along: Array) -> Array:
        """Points with these coordinates, ``(n, d)``, in double precision."""
        return np.asarray(self.origin + along @ self.directions.T)


def fit_axes(mixture: Mixture) -> Axes:
    """The principal axes of the weighted centres, and the mixture along them."""
    values, directions = np.linalg.eigh(mixture.centre_covariance())
    centres = (mixture.centres - mixture.mean) @ directions
    return Axes(
        mixture.placed(centres),
        mixture.mean,
        directions,
        np.sqrt(np.maximum(values, 0.0)),
    )


def fit_subspace(mixture: Mixture) -> Subspace:
    """The span of the centres, and the mixture seen inside it."""
    members, dimension = mixture.centres.shape
    origin = mixture.mean
    products = np.zeros((members, members))
    for block in blocks(dimension, BLOCK):
        gaps = mixture.centres[:, block] - origin[block]
        products += gaps @ gaps.T
    values, vectors = np.linalg.eigh(products)
    kept = values > RANK_TOLERANCE * max(float(values[-1]), 1e-300)
    roots = np.sqrt(values[kept])
    vectors = vectors[:, kept]
    inside = Mixture(vectors * roots, mixture.log_weights, mixture.bandwidth)
    return Subspace(inside, origin, mixture.centres, vectors.T / roots[:, None])
