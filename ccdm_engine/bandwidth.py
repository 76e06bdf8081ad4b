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
    *,
    shrink: bool,
) -> Array:
    """Leave-one-out log densities of held-out points, one row per bandwidth.

    Args:
        points: held-out points in kernel coordinates, ``(J, d)``.
        centres: all centres, ``(M, d)``.
        log_weights: ``log w_ij`` with the point's own member at ``-inf``, ``(J, M)``.
        bandwidths: candidates ``h_x``, ``(H,)``.
        shrink: whether centres are drawn towards their weighted mean by
            ``sqrt(1 - h^2)``, as in :meth:`.Mixture.shrunk`.

    Returns:
        ``(H, J)``.
    """
    bandwidths = np.minimum(bandwidths, 1.0) if shrink else bandwidths
    pulls = np.sqrt(1.0 - bandwidths**2) if shrink else np.ones_like(bandwidths)
    # In units of the widest candidate, so that single precision reaches far enough.
    unit = float(np.max(bandwidths))
    points, centres, widths = points / unit, centres / unit, bandwidths / unit
    # Distances from the point's own conditional mean, and the angle between them.
    means = np.exp(log_weights) @ centres
    own = np.sum((points - means) ** 2, axis=1)
    squares, mean_square = np.sum(centres**2, axis=1), np.sum(means**2, axis=1)
    mean_inner = means @ centres.T
    gaps = squares - 2 * mean_inner + mean_square[:, None]
    cross = points @ centres.T - mean_inner
    cross += (mean_square - np.sum(points * means, axis=1))[:, None]
    # Scores are compared at the second decimal: single precision is plenty.
    gaps, cross = gaps.astype(np.float32), cross.astype(np.float32)
    base = np.maximum(log_weights, -1e30).astype(np.float32)
    narrow = np.asarray(1.0 / (2 * widths**2))[:, None]
    along = (2 * pulls[:, None] * narrow).astype(np.float32)[:, :, None]
    away = (pulls[:, None] ** 2 * narrow).astype(np.float32)[:, :, None]
    exponent = along * cross
    exponent -= away * gaps
    exponent += base
    top = exponent.max(axis=2)
    exponent -= top[:, :, None]
    total = np.exp(exponent, out=exponent).sum(axis=2)
    scores = np.log(total) + top - own * narrow
    norm = 0.5 * points.shape[1] * np.log(2 * np.pi * bandwidths**2)
    return np.asarray(scores - norm[:, None])
