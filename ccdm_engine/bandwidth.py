"""Choosing the density model without knowing the truth.

Fixed rules and one search. The search scores every candidate (regression, h_x, h_y,
shrink or not) by the leave-one-out conditional log likelihood over the members whose
simulated measurement lies nearest to the observation::

    score = mean_j log p_-j(x_j | y_j),
    p_-j(x | y_j) = sum_{i != j} w_ij N(x; c_i, h_x^2 A A^T)

``A`` is the frame of kernel coordinates, so that scores of different regressions and
frames are densities of the same variable and can be compared. Everything is closed
form. Likelihood cross-validation: Duin (1976); for conditional densities: Hall,
Racine and Li (2004).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def silverman(effective_members: float, dimension: int) -> float:
    """Normal-reference bandwidth in units of the spread.

    ``h = (4 / ((d + 2) n))^(1 / (d + 4))``, Silverman (1986), section 4.3.2.

    Args:
        effective_members: n, the effective sample size of the weights.
        dimension: d, of the states.
    """
    count = max(effective_members, 1.0)
    return float((4.0 / ((dimension + 2.0) * count)) ** (1.0 / (dimension + 4.0)))


def held_out_scores(
    points: Array,
    centres: Array,
    log_weights: Array,
    bandwidths: Array,
) -> Array:
    """Leave-one-out log densities of held-out points, with and without shrinkage.

    Args:
        points: held-out points in kernel coordinates, ``(J, d)``.
        centres: all centres, ``(M, d)``.
        log_weights: ``log w_ij`` with the point's own member at ``-inf``, ``(J, M)``.
        bandwidths: candidates ``h_x``, ``(H,)``.

    Returns:
        ``(2, H, J)``; first without, then with shrinkage of the centres. Shrinkage
        is for ``h < 1``; at and beyond, the shrunk mixture is a single Gaussian.
    """
    dimension = points.shape[1]
    weights = np.exp(log_weights)
    means = weights @ centres
    # Distances from centres and from points to the point's own conditional mean.
    squares = np.sum(centres**2, axis=1)
    mean_square = np.sum(means**2, axis=1)
    point_mean = np.sum(points * means, axis=1)
    inner = points @ centres.T
    mean_inner = means @ centres.T
    point_gap = np.sum(points**2, axis=1) - 2 * point_mean + mean_square
    centre_gap = squares - 2 * mean_inner + mean_square[:, None]
    cross = inner - mean_inner - point_mean[:, None] + mean_square[:, None]
    scores = np.empty((2, bandwidths.size, points.shape[0]))
    for k, h in enumerate(bandwidths):
        for shrink in (0, 1):
            width = min(h, 1.0) if shrink else h
            pull = np.sqrt(1.0 - width**2) if shrink else 1.0
            distance = point_gap[:, None] + pull**2 * centre_gap - 2 * pull * cross
            exponent = log_weights - distance / (2 * width**2)
            top = exponent.max(axis=1)
            total = np.sum(np.exp(exponent - top[:, None]), axis=1)
            norm = 0.5 * dimension * np.log(2 * np.pi * width**2)
            scores[shrink, k] = np.log(total) + top - norm
    return scores
