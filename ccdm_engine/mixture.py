"""The heart: a Gaussian mixture whose score is known in closed form.

Joint kernel density of the pairs, conditioned on the observation::

    p(x | y*) = sum_i w_i N(x; x_i, h_x^2 I)
    w_i  ~  exp(-|y* - y_i|^2 / (2 h_y^2))

Noise of variance ``sigma^2`` keeps it a mixture, with ``s^2 = h_x^2 + sigma^2``::

    m(x, s)     = sum_i r_i x_i,   r_i ~ w_i exp(-|x - x_i|^2 / (2 s^2))   denoiser
    score(x, s) = (m(x, s) - x) / s^2

Nothing is learned: the score is one softmax over the ensemble. Binder, Dasgupta and
Oberai (2026), arXiv 2603.21291.

Cost: weights once per analysis, ``O(N dy)``; a denoiser call on n points is two
matrix products, ``O(n N dx)``, and ``n N`` exponentials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

Array = npt.NDArray[np.float64]
Denoiser = Callable[[npt.NDArray[Any], float], npt.NDArray[Any]]

# Sums of exponentials beyond these have lost digits to the ends of single precision.
SMALLEST_SUM, LARGEST_SUM = 2.0**-60, 2.0**90


# Numbers worked on at a time where a whole copy of the ensemble is not needed.
AT_A_TIME = 2**16
# Subnormal numbers cost twenty times as much as others: exponentials, and what they are
# multiplied by in the product, are kept so far above them.
NORMAL = 26.0 * math.log(2.0)
# Logits whose bound is so far above that need not be looked at: rounding is less.
SLACK = 1.0
# So many products are computed by one call where there are several: fewer calls, whose
# logits together still fit a second-level cache.
TOGETHER = 2
# NumPy computes stacked products of fewer numbers without letting other threads run.
ALONE_BELOW = 500


def _has_wide_exp2() -> bool:
    known = np.lib.introspect.opt_func_info(func_name="^exp2$", signature="float32")
    current = known.get("exp2", {}).get("ff", {}).get("current", "baseline")
    return not str(current).startswith("baseline")


# With AVX-512 NumPy computes 2^x in half the time of e^x, but results below 2^-126 in
# twenty times as long; without, it has wide instructions for e^x alone.
WIDE_EXP2 = _has_wide_exp2()
LOG2_E = 1.0 / math.log(2.0)


def conditional_log_weights(distance_square: Array, bandwidth: float | Array) -> Array:
    """Normalised ``log w_i`` of the members given the observation.

    Args:
        distance_square: ``|y* - y_i|^2`` in kernel coordinates, ``(..., N)``.
        bandwidth: ``h_y > 0``; infinity gives equal weights. An array of finite ones
            of shape ``(B, ..., 1)`` gives the weights for each.

    Returns:
        ``(..., N)``, with ``logsumexp`` 0 along the last axis.
    """
    if not isinstance(bandwidth, np.ndarray) and np.isinf(bandwidth):
        return np.full(distance_square.shape, -np.log(distance_square.shape[-1]))
    # The nearest member's exponent is made exactly zero first: with tiny bandwidths
    # all others may vanish, but never all of them.
    nearest = np.min(distance_square, axis=-1, keepdims=True)
    with np.errstate(over="ignore"):  # an overflowing exponent is a weight of zero
        exponent = -((distance_square - nearest) / bandwidth) / (2.0 * bandwidth)
    # The largest exponent is zero, so that the plain sum is already the stable one.
    total = np.sum(np.exp(exponent), axis=-1, keepdims=True)
    return np.asarray(exponent - np.log(total))


def effective_sample_size(log_weights: Array) -> float:
    """``1 / sum_i w_i^2`` of normalised weights (Kong 1992); between 1 and N."""
    return float(1.0 / np.sum(np.exp(2.0 * log_weights)))


@dataclass(frozen=True)
class Mixture:
    """``sum_i w_i N(x; c_i, h^2 I)`` in kernel coordinates.

    Attributes:
        centres: ``c_i``, ``(M, d)``.
        log_weights: normalised, ``(M,)``.
        bandwidth: ``h > 0``.
    """

    centres: Array
    log_weights: Array
    bandwidth: float

    @cached_property
    def weights(self) -> Array:
        """``w_i``, ``(M,)``."""
        return np.exp(self.log_weights)

    @cached_property
    def mean(self) -> Array:
        """Mean of the mixture, ``(d,)``."""
        return np.asarray(self.weights @ self.centres)

    @cached_property
    def radius(self) -> float:
        """Largest distance of a centre from the mean."""
        largest = 0.0
        members, dimension = self.centres.shape
        # A few members at a time: nothing of the size of the ensemble is needed.
        few = max(1, AT_A_TIME // dimension)
        for begin in range(0, members, few):
            gaps = self.centres[begin : begin + few] - self.mean
            largest = max(largest, float(np.einsum("ij,ij->i", gaps, gaps).max()))
        return math.sqrt(largest)

    def centre_covariance(self) -> Array:
        """Weighted covariance of the centres alone, ``(d, d)``.

        The covariance of the mixture noised to scale s is this plus ``s^2 I``.
        """
        gaps = self.centres - self.mean
        return np.asarray((gaps * self.weights[:, None]).T @ gaps)

    def pruned(self, lost: float) -> Mixture:
        """Without the lightest members, whose weights sum to at most ``lost``.

        The law changes by at most ``lost`` in total variation.
        """
        order = self.log_weights.argsort(kind="stable")
        light = self.weights[order].cumsum().searchsorted(lost, side="right")
        if not light:
            return self
        kept = np.sort(order[light:])
        log_weights = self.log_weights[kept]
        log_weights -= math.log(self.weights[kept].sum())
        return Mixture(self.centres[kept], log_weights, self.bandwidth)

    def shrunk(self) -> Mixture:
        """Centres drawn towards the mean by ``sqrt(1 - h^2)`` (West 1993).

        In coordinates where the weighted members have unit covariance the mixture
        then has it too, instead of ``(1 + h^2)`` times as much. For ``h >= 1`` all
        centres coincide and ``h = 1``: a single Gaussian.
        """
        bandwidth = min(self.bandwidth, 1.0)
        pull = np.sqrt(1.0 - bandwidth**2)
        centres = self.mean + pull * (self.centres - self.mean)
        return Mixture(centres, self.log_weights, bandwidth)

    def denoise(self, x: Array, s: float) -> Array:
        """Posterior mean ``m(x, s)`` of the noise-free centre, ``(n, d)``."""
        return np.asarray(self.denoiser(np.float64)(x, s))

    def score(self, x: Array, s: float | None = None) -> Array:
        """Score of the mixture noised to scale ``s`` (default ``h``), ``(n, d)``."""
        s = self.bandwidth if s is None else s
        return np.asarray((self.denoise(x, s) - x) / s**2)

    def log_density(self, x: Array, s: float | None = None) -> Array:
        """Log density of the mixture noised to scale ``s`` (default ``h``), (n,)."""
        s = self.bandwidth if s is None else s
        gaps = x[:, None, :] - self.centres
        exponent = self.log_weights - np.sum(gaps**2, axis=-1) / (2 * s**2)
        norm = 0.5 * x.shape[1] * np.log(2 * np.pi * s**2)
        return np.asarray(logsumexp(exponent, axis=1) - norm)

    def denoiser(
        self, dtype: npt.DTypeLike, *, centred: bool = False, rows: int | None = None
    ) -> Denoiser:
        """``m(x, s)`` as a function that works in ``dtype`` and allocates little.

        All logits come from one product: with ``f = 1 / s^2``,
        ``[f x, -f |x|^2 / 2, f, 1] . [c_i, 1, -|c_i|^2 / 2, k + log w_i]``. The
        constant ``k = d / 2`` is what a point drawn at scale s lacks on average, so
        that the exponentials are of ordinary size without looking for the largest; the
        rare point far from all centres is noticed by its sum. A second product with
        the centres extended by a 1 gives numerator and denominator.

        Args:
            dtype: of the products.
            centred: whether the mean is the origin, up to rounding.
            rows: of the products; the last bits depend on it. Default all at once.
        """
        members, dimension = self.centres.shape
        origin = None if centred else self.mean
        centres = self.centres if origin is None else self.centres - origin
        keys = np.ones((dimension + 3, members), dtype=dtype)
        keys[:dimension] = centres.T
        keys[dimension + 1] = -0.5 * np.einsum("ij,ij->i", centres, centres)
        keys[dimension + 2] = 0.5 * dimension + self.log_weights
        values = np.ones((members, dimension + 1), dtype=dtype)
        values[:, :dimension] = centres
        exponential, base = (np.exp2, LOG2_E) if WIDE_EXP2 else (np.exp, 1.0)
        least = base * (math.log(np.finfo(dtype).tiny) + NORMAL)
        depth = least + SLACK - base * float(keys[dimension + 2].min())
        radius = math.sqrt(-2.0 * float(keys[dimension + 1].min()))
        # Logits are the only large array: written to the same places again and again.
        spare: list[Places] = []

        def denoise(x: npt.NDArray[Any], s: float) -> npt.NDArray[Any]:
            places = _places(spare, x.shape[0], rows, keys, base)
            gaps = x if origin is None else x - origin.astype(x.dtype, copy=False)
            queries, sums = places.queries, places.sums
            scale = base / s**2
            half = -0.5 * scale
            queries[:, dimension + 1] = scale
            along = np.ascontiguousarray(gaps)
            squares = np.einsum("ij,ij->i", along, along)
            np.multiply(squares, half, out=queries[:, dimension])
            # By columns where x is stored so: inner loops as long as can be.
            np.multiply(gaps.T, scale, out=queries.T[:dimension])
            farthest = math.sqrt(np.maximum.reduce(squares)) + radius
            deep = half * farthest**2 < depth
            for tile in places.tiles:
                _product(tile.queries, keys, tile.logits)
                if deep:
                    np.maximum(tile.logits, least, out=tile.logits)
                exponential(tile.logits, out=tile.logits)
                _product(tile.logits, values, tile.sums)
            if not _in_range(sums[:, dimension]):
                for here in places.each():
                    if not _in_range(here.sums[:, dimension]):
                        logits = np.dot(here.queries, keys, out=here.logits)
                        logits -= logits.max(axis=1, keepdims=True)
                        np.maximum(logits, least, out=logits)
                        np.dot(exponential(logits, out=logits), values, out=here.sums)
            mean = np.empty_like(x)
            np.divide(sums.T[:dimension], sums.T[dimension], out=mean.T)
            spare.append(places)
            if origin is not None:
                mean += origin.astype(x.dtype, copy=False)
            return mean

        return denoise


def _in_range(total: npt.NDArray[Any]) -> bool:
    fewest, most = np.minimum.reduce(total), np.maximum.reduce(total)
    return bool(fewest > SMALLEST_SUM and most < LARGEST_SUM)


def _product(
    left: npt.NDArray[Any], right: npt.NDArray[Any], out: npt.NDArray[Any]
) -> None:
    """``left[i] @ right`` for all i: the same bits as one after the other.

    ``matmul`` does all of them in one call, but keeps the interpreter to itself while
    it writes few numbers; ``dot`` never does, but first fills what it writes to with
    zeros.
    """
    if out.size >= ALONE_BELOW:
        np.matmul(left, right, out=out)
    else:
        for one, place in zip(left, out, strict=True):
            np.dot(one, right, out=place)


class Tile(NamedTuple):
    """Rows whose logits are computed by one call, ``(k, rows, ...)``."""

    queries: npt.NDArray[Any]
    logits: npt.NDArray[Any]
    sums: npt.NDArray[Any]


class Places(NamedTuple):
    """Where a denoiser writes for so many points: ``(n, d + 3)``, ``(n, d + 1)``."""

    queries: npt.NDArray[Any]
    sums: npt.NDArray[Any]
    tiles: list[Tile]

    def each(self) -> Iterator[Tile]:
        """Those of every product by itself, ``(rows, ...)``."""
        for tile in self.tiles:
            yield from map(Tile, *tile)


def _places(
    spare: list[Places],
    count: int,
    rows: int | None,
    keys: npt.NDArray[Any],
    base: float,
) -> Places:
    """Free arrays for so many points; several threads may ask at the same time."""
    try:
        found = spare.pop()
    except IndexError:
        found = None
    if found is not None and found.queries.shape[0] == count:
        return found
    width, members = keys.shape
    rows = min(rows or count, count)
    queries = np.empty((count, width), keys.dtype)
    queries[:, width - 1] = base
    sums = np.empty((count, width - 2), keys.dtype)
    together = min(TOGETHER, count // rows)
    logits = np.empty((together * rows, members), keys.dtype)
    tiles, begin = [], 0
    while begin < count:
        left = count - begin
        end = begin + min(left // rows * rows or left, together * rows)
        cut = -1, min(rows, left)
        tiles.append(
            Tile(
                queries[begin:end].reshape(*cut, width),
                logits[: end - begin].reshape(*cut, members),
                sums[begin:end].reshape(*cut, width - 2),
            )
        )
        begin = end
    return Places(queries, sums, tiles)
