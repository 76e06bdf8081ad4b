"""Many variables, few members: integrate where the members are.

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

from ccdm_engine.mixture import Mixture

Array = npt.NDArray[np.float64]

# Directions with less than this share of the largest variance are rounding.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Subspace:
    """The span of a mixture's centres around their mean.

    Attributes:
        mixture: the mixture inside the span, centres ``(M, r)``.
        origin: mean of the centres, ``(d,)``.
        gaps: centred members ``G``, ``(M, d)``.
        combine: ``l^-1/2 V^T``, ``(r, M)``; the basis is ``combine @ gaps``.
    """

    mixture: Mixture
    origin: Array
    gaps: Array
    combine: Array

    def project(self, points: Array) -> Array:
        """Coordinates inside the span, ``(n, d)`` to ``(n, r)``."""
        return np.asarray((points @ self.gaps.T) @ self.combine.T)

    def embed(self, inside: Array, latents: Array, bandwidth: float) -> Array:
        """Points with the given coordinates inside and ``h * latents`` across."""
        correction = inside - bandwidth * self.project(latents)
        return np.asarray(
            self.origin + bandwidth * latents + (correction @ self.combine) @ self.gaps
        )


def fit_subspace(mixture: Mixture) -> Subspace:
    """The span of the centres, and the mixture seen inside it."""
    origin = mixture.mean
    gaps = mixture.centres - origin
    values, vectors = np.linalg.eigh(gaps @ gaps.T)
    kept = values > RANK_TOLERANCE * max(float(values[-1]), 1e-300)
    roots = np.sqrt(values[kept])
    vectors = vectors[:, kept]
    inside = Mixture(vectors * roots, mixture.log_weights, mixture.bandwidth)
    return Subspace(inside, origin, gaps, vectors.T / roots[:, None])
