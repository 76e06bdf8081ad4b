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

from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.mixture import LOG2_E

Array = npt.NDArray[np.float64]
Real = npt.NDArray[Any]

# Exponents are differences of squares: up to so many bandwidths away single precision
# leaves them two correct decimals.
FLOAT32_REACH = 250.0
# Logits held at a time: so many stay in the cache.
AT_A_TIME = 2**16
# Exponents below this add nothing, and results below 2^-126 take twenty times as long.
LOWEST = -100.0


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
    log_weights: Real,
    bandwidths: Array,
    *,
    shrink: bool | npt.NDArray[np.bool_],
    dimension: int | None = None,
) -> Array:
    """Leave-one-out log densities of held-out points, one row per bandwidth.

    Several models at a time where all arguments have the same axes in front, or one
    entry on an axis where models share it.

    Args:
        points: held-out points in kernel coordinates, ``(..., J, d)``.
        centres: all centres, ``(..., M, d)``.
        log_weights: ``log w_ij`` with the point's own member at ``-inf``,
            ``(..., J, M)``.
        bandwidths: candidates ``h_x``, ``(..., H)``.
        shrink: whether centres are drawn towards their weighted mean by
            ``sqrt(1 - h^2)``, as in :meth:`.Mixture.shrunk`; ``(...)`` if not the
            same for all models.
        dimension: of the densities, where points and centres are given by their
            coordinates in the space that they span.

    Returns:
        ``(..., H, J)``.
    """
    pulled = np.asarray(shrink)[..., None]
    widths = np.where(pulled, np.minimum(bandwidths, 1.0), bandwidths)
    pulls = np.sqrt(np.where(pulled, 1.0 - widths**2, 1.0))
    dimension = points.shape[-1] if dimension is None else dimension
    norm = 0.5 * dimension * np.log(2 * np.pi * widths**2)
    # In units of the widest candidate, so that single precision reaches far enough.
    unit = float(np.max(widths))
    middle = np.mean(centres, axis=-2, keepdims=True)
    points, centres = (points - middle) / unit, (centres - middle) / unit
    squares = np.einsum("...ij,...ij->...i", centres, centres)
    reach = max(
        float(np.max(squares)),
        float(np.max(np.einsum("...ij,...ij->...i", points, points))),
    )
    # Scores are compared at the second decimal: single precision is plenty.
    fine = reach > (FLOAT32_REACH * float(np.min(widths)) / unit) ** 2
    dtype = np.float64 if fine else np.float32
    shape = (*centres.shape[:-2], centres.shape[-1] + 1, centres.shape[-2])
    keys = np.empty(shape, dtype)
    keys[..., :-1, :], keys[..., -1, :] = centres.swapaxes(-1, -2), squares
    found = np.empty((*widths.shape, points.shape[-2]))
    rows = max(1, AT_A_TIME // (widths.size * centres.shape[-2]))
    for begin in range(0, points.shape[-2], rows):
        part = slice(begin, begin + rows)
        found[..., part] = _log_sums(
            points[..., part, :], keys, log_weights[..., part, :], widths / unit, pulls
        )
    found -= norm[..., None]
    return found


def _log_sums(
    points: Array, keys: Real, log_weights: Real, widths: Array, pulls: Array
) -> Array:
    """``log sum_i w_i exp(-|x - m - p (c_i - m)|^2 / (2 h^2))``, ``(..., H, J)``.

    With ``q = x - (1 - p) m`` the exponent is
    ``[p q / h^2, -p^2 / (2 h^2)] . [c_i, |c_i|^2] - |q|^2 / (2 h^2)``: one product for
    all bandwidths. Everything is in powers of two.
    """
    logs = np.maximum(log_weights, -1e30, dtype=keys.dtype)
    logs *= LOG2_E
    pulls, narrow = pulls[..., None, None], 0.5 / widths[..., None, None] ** 2
    offsets = points[..., None, :, :]
    if (pulls < 1.0).any():
        weights = np.maximum(logs, LOWEST)
        np.exp2(weights, out=weights)
        means = weights @ keys[..., :-1, :].swapaxes(-1, -2)
        del weights
        offsets = offsets - (1.0 - pulls) * means[..., None, :, :]
    shape = np.broadcast_shapes(offsets.shape, (*widths.shape, 1, 1))
    queries = np.empty((*shape[:-1], shape[-1] + 1), dtype=keys.dtype)
    scale = (2.0 * LOG2_E) * pulls * narrow
    np.multiply(offsets, scale, out=queries[..., :-1], casting="same_kind")
    queries[..., -1:] = -0.5 * pulls * scale
    flat = queries.reshape(*shape[:-3], -1, shape[-1] + 1)
    logits = (flat @ keys).reshape(*shape[:-1], -1)
    logits += logs[..., None, :, :]
    top = logits.max(axis=-1)
    logits -= top[..., None]
    np.maximum(logits, LOWEST, out=logits)
    # A product adds short rows up in a fifth of the time.
    total = np.exp2(logits, out=logits) @ np.ones(logits.shape[-1], logits.dtype)
    own = np.einsum("...ij,...ij->...i", offsets, offsets) * narrow[..., 0]
    return np.asarray((np.log2(total) + top) / LOG2_E - own)
