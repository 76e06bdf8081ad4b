"""Kernels on what a local update leaves, each state with weights of its own.

A transform moves state k along a straight line in the measurements near it. What the
line leaves of member i, ``e_i = x_i - g_k . y_i``, may still depend on them. Around
each ``f(x_i)`` stands a kernel of covariance ``h^2 R_k``, ``R_k`` the noise as the
state sees it, with the taper in it; so the weights are local, and smooth from state to
state::

    w_i(y) ~ exp(-|y - f(x_i)|^2 / 2 h^2),     r(y) = sum_i w_i(y) e_i

in units of that noise. ``r(y*)`` is by how much the mean of the kernels lies off the
line. ``h`` is such that about ``sqrt(N)`` members count at y*, and at least 1, where
the kernel is the likelihood. How much of r is believed is told by members held out:
with ``r_i = r(y_i)`` from all others and residuals as refitting would leave them,

    b = (sum e_i r_i - its standard error) / sum r_i^2, between 0 and 1

moves the mean by ``b r(y*)``; deviations shrink by the root of the share of the
held-out errors that is left. Where all is Gaussian b is about 0 and nothing happens.

Cost per state: ``O(J N m)`` with J members held out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.blocks import blocks

Array = npt.NDArray[np.float64]

# Members are exchangeable: more than these say nothing new about how much to believe.
MOST_HELD_OUT = 100
# Bandwidths between which that of a state is interpolated, in units of the noise.
BANDWIDTHS = 1.5 ** np.arange(8)
# A member whose own measurements decide its prediction says nothing about error.
LEAST_KEPT = 0.1
# Numbers in a work array that is to stay in a core's cache.
CACHED = 50_000
# Deviations keep at least this share of their variance.
LEAST_LEFT = 0.5


class Bend(NamedTuple):
    """What kernels add to a straight update.

    Attributes:
        shift: of the mean, ``(b,)``.
        spread: factor on the deviations, at most 1, ``(b,)``.
        straight, bent: mean square error of the line alone, and with the kernels, of
            members held out, ``(b,)``.
    """

    shift: Array
    spread: Array
    straight: Array
    bent: Array


def bend(anomalies: Array, fitted: Array, noisy: Array, gaps: Array) -> Bend:
    """How much the mean given y* lies off the straight line, state by state.

    Args:
        anomalies: states from their mean, ``(b, N)``.
        fitted: ``f(x_i)``, in units of the noise near the state, ``(b, N, m)``.
        noisy: ``y_i``, ``(b, N, m)``.
        gaps: ``y*``, ``(b, m)``.
    """
    residual, keep = _residuals(anomalies, fitted, noisy)
    square = np.sum(fitted**2, axis=2)
    to_star = square - 2.0 * _times(fitted, gaps)
    width = _bandwidth(to_star)
    at_star = np.sum(_weights(to_star, width[:, None]) * residual, axis=1)
    found = _held_out(fitted, noisy[:, :MOST_HELD_OUT], residual, width)
    error = residual[:, : found.shape[1]] / keep[:, : found.shape[1]]
    products = error * found
    doubt = np.sqrt(np.sum(products**2, axis=1))
    size = np.sum(found**2, axis=1)
    share = (np.sum(products, axis=1) - doubt) / np.where(size > 0, size, 1.0)
    share = np.where(size > 0, np.clip(share, 0.0, 1.0), 0.0)
    before = np.sum(error**2, axis=1)
    after = np.sum((error - share[:, None] * found) ** 2, axis=1)
    left = np.where(before > 0, after / np.where(before > 0, before, 1.0), 1.0)
    spread = np.sqrt(np.clip(left, LEAST_LEFT, 1.0))
    count = error.shape[1]
    return Bend(share * at_star, spread, before / count, after / count)


def _held_out(fitted: Array, held: Array, residual: Array, width: Array) -> Array:
    """``r(y_j)`` from all members but j, ``(b, J)``.

    The exponents of all pairs are one product of matrices, written and read while they
    are still in the cache: ``(y_j . f_i - |f_i|^2 / 2) / h^2``.
    """
    count, members, _ = fitted.shape
    square = np.square(width)[:, None]
    offset = np.sum(fitted**2, axis=2) / (-2.0 * square)
    left = np.concatenate([fitted, offset[:, :, None]], axis=2)
    ones = np.ones((*held.shape[:2], 1))
    right = np.concatenate([held / square[:, :, None], ones], axis=2)
    both = np.stack([residual, np.ones_like(residual)], axis=1)
    found, own = np.empty(held.shape[:2]), np.arange(held.shape[1])
    room = np.empty((max(CACHED // (members * own.size), 1), members, own.size))
    for part in blocks(count, room.shape[0]):
        exponent = room[: part.stop - part.start]
        np.matmul(left[part], np.swapaxes(right[part], 1, 2), out=exponent)
        exponent[:, own, own] = -np.inf
        exponent -= exponent.max(axis=1, keepdims=True)
        np.exp(exponent, out=exponent)
        sums = both[part] @ exponent  # of w e, and of w
        found[part] = sums[:, 0] / sums[:, 1]
    return found


def _residuals(anomalies: Array, fitted: Array, noisy: Array) -> tuple[Array, Array]:
    """What the straight line leaves, ``(b, N)``, and 1 less its leverage."""
    _, members, measurements = fitted.shape
    freedom = members - 1.0
    turned = np.swapaxes(fitted, 1, 2)
    if measurements < members:
        inner = np.eye(measurements) + turned @ fitted / freedom
        loads = np.linalg.inv(inner) @ np.swapaxes(noisy, 1, 2)  # (b, m, N)
        gain = _times(turned, anomalies) / freedom
        predicted = np.sum(loads * gain[:, :, None], axis=1)
        leverage = np.sum(loads * turned, axis=1) / freedom
    else:
        inner = np.eye(members) + fitted @ turned / freedom
        across = np.swapaxes(noisy @ turned, 1, 2) / freedom
        loads = np.swapaxes(np.linalg.solve(inner, across), 1, 2)  # (b, N, N)
        predicted = _times(loads, anomalies)
        leverage = np.diagonal(loads, axis1=1, axis2=2)
    residual = anomalies - predicted
    residual -= residual.mean(axis=1, keepdims=True)
    return residual, np.clip(1.0 - leverage, LEAST_KEPT, 1.0)


def _bandwidth(distances: Array) -> Array:
    """``h`` at which ``sqrt(N)`` members count, between 1 and the widest, ``(b,)``."""
    wanted = np.log(np.sqrt(distances.shape[1]))
    beyond = distances.min(axis=1, keepdims=True) - distances
    counts = np.stack([_count(beyond / (2.0 * h**2)) for h in BANDWIDTHS])
    # Wider kernels, more members; rounding must not turn the order.
    counts = np.maximum.accumulate(counts, axis=0)
    above = np.argmax(counts >= wanted, axis=0)
    above = np.where(counts[-1] < wanted, BANDWIDTHS.size - 1, above)
    below = np.maximum(above - 1, 0)
    states = np.arange(distances.shape[0])
    low, high = counts[below, states], counts[above, states]
    step = np.where(high > low, (wanted - low) / np.where(high > low, high - low, 1), 1)
    return np.asarray(
        BANDWIDTHS[below] * 1.5 ** (np.clip(step, 0, 1) * (above - below))
    )


def _count(exponent: Array) -> Array:
    """Logarithm of the number of members that count, ``log(sum w)^2 / sum w^2``."""
    weights = np.exp(exponent, out=exponent)
    square = np.einsum("bn,bn->b", weights, weights)
    return np.asarray(2.0 * np.log(np.sum(weights, axis=1)) - np.log(square))


def _weights(distances: Array, width: Array | float) -> Array:
    """Weights of the kernels over the last axis, summing to 1."""
    exponent = distances / (-2.0 * np.square(width))
    exponent -= exponent.max(axis=-1, keepdims=True)
    weights = np.exp(exponent)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _times(matrix: Array, vector: Array) -> Array:
    """Matrices ``(b, n, m)`` times vectors ``(b, m)``."""
    return np.asarray((matrix @ vector[:, :, None])[:, :, 0])
