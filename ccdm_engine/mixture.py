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

from ccdm_engine.blocks import blocks

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

    def placed(self, centres: Array, unit: float = 1.0) -> Mixture:
        """The same in other coordinates, without computing anew what is known.

        Args:
            centres: moved, turned and in the new unit of length, ``(M, d)``.
            unit: that, in the old ones.
        """
        other = Mixture(centres, self.log_weights, self.bandwidth / unit)
        other.__dict__["weights"] = self.weights
        other.__dict__["radius"] = self.radius / unit
        return other

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

    def denoiser(self, dtype: npt.DTypeLike, *, centred: bool = False) -> Denoiser:
        """``m(x, s)`` as a function that works in ``dtype`` and allocates little.

        All logits come from one product: with ``f = 1 / s^2``,
        ``[c_i, 1, -|c_i|^2 / 2, k + log w_i] . [f x, -f |x|^2 / 2, f, 1]``. The
        constant ``k = d / 2`` is what a point drawn at scale s lacks on average, so
        that the exponentials are of ordinary size without looking for the largest; the
        rare point far from all centres is noticed by its sum. A second product with
        the centres extended by a 1 gives numerator and denominator.

        Points come as ``(n, d)`` or, for one product after the other, as ``(b, n, d)``.
        The last bits depend on n. Time is least where coordinates are stored one after
        the other: every inner loop is then over points.

        Args:
            dtype: of the products.
            centred: whether the mean is the origin, up to rounding.
        """
        members, dimension = self.centres.shape
        origin = None if centred else self.mean[:, None]
        centres = self.centres if centred else self.centres - self.mean
        keys = np.empty((members, dimension + 3), dtype=dtype)
        keys[:, :dimension] = centres
        keys[:, dimension] = 1.0
        keys[:, dimension + 1] = -0.5 * np.einsum("ij,ij->i", centres, centres)
        keys[:, dimension + 2] = 0.5 * dimension + self.log_weights
        values = np.ones((dimension + 1, members), dtype=dtype)
        values[:dimension] = centres.T
        exponential, base = (np.exp2, LOG2_E) if WIDE_EXP2 else (np.exp, 1.0)
        least = base * (math.log(np.finfo(dtype).tiny) + NORMAL)
        depth = least + SLACK - base * float(keys[:, dimension + 2].min())
        radius = math.sqrt(-2.0 * float(keys[:, dimension + 1].min()))
        # Logits are the only large array: written to the same places again and again.
        spare: list[Places] = []

        def denoise(x: npt.NDArray[Any], s: float) -> npt.NDArray[Any]:
            across = (x if x.ndim == 3 else x[None]).swapaxes(1, 2)
            places = _places(spare, across.shape, keys, base)
            if origin is not None:
                across = across - origin.astype(x.dtype, copy=False)
            scale = base / s**2
            places.scales.fill(scale)
            np.multiply(across, scale, out=places.scaled)
            # Where the sums will be there is room for the squares.
            np.multiply(across, across, out=places.numerators)
            squares = np.add.reduce(places.numerators, axis=1, out=places.squares)
            farthest = math.sqrt(np.maximum.reduce(squares, axis=None))
            deep = -0.5 * scale * (farthest + radius) ** 2 < depth
            squares *= -0.5 * scale
            for tile in places.tiles:
                _product(keys, tile.queries, tile.logits)
                if deep:
                    np.maximum(tile.logits, least, out=tile.logits)
                exponential(tile.logits, out=tile.logits)
                _product(values, tile.logits, tile.sums)
            if not _in_range(places.denominators):
                for here in places.each():
                    if not _in_range(here.sums[dimension]):
                        logits = np.dot(keys, here.queries, out=here.logits)
                        logits -= logits.max(axis=0)
                        np.maximum(logits, least, out=logits)
                        np.dot(values, exponential(logits, out=logits), out=here.sums)
            mean = np.empty_like(x)
            into = (mean if x.ndim == 3 else mean[None]).swapaxes(1, 2)
            np.divide(places.numerators, places.denominators, out=into)
            spare.append(places)
            if origin is not None:
                into += origin.astype(x.dtype, copy=False)
            return mean

        return denoise


def _in_range(total: npt.NDArray[Any]) -> bool:
    fewest = np.minimum.reduce(total, axis=None)
    most = np.maximum.reduce(total, axis=None)
    return bool(fewest > SMALLEST_SUM and most < LARGEST_SUM)


def _product(
    left: npt.NDArray[Any], right: npt.NDArray[Any], out: npt.NDArray[Any]
) -> None:
    """``left @ right[i]`` for all i: the same bits as one after the other.

    ``matmul`` does all of them in one call, but keeps the interpreter to itself while
    it writes few numbers; ``dot`` never does, but first fills what it writes to with
    zeros.
    """
    if out.size >= ALONE_BELOW:
        np.matmul(left, right, out=out)
    else:
        for one, place in zip(right, out, strict=True):
            np.dot(left, one, out=place)


class Tile(NamedTuple):
    """Batches whose logits are computed by one call.

    Attributes:
        queries: ``(k, d + 3, n)``.
        logits: ``(k, M, n)``.
        sums: ``(k, d + 1, n)``.
    """

    queries: npt.NDArray[Any]
    logits: npt.NDArray[Any]
    sums: npt.NDArray[Any]


class Places(NamedTuple):
    """Where a denoiser writes for b batches of n points.

    Attributes:
        scaled, squares, scales: of the queries, ``(b, d, n)``, and twice ``(b, n)``.
        numerators, denominators: of the sums, ``(b, d, n)`` and ``(b, 1, n)``.
        tiles: queries, logits and sums of a few batches each.
    """

    scaled: npt.NDArray[Any]
    squares: npt.NDArray[Any]
    scales: npt.NDArray[Any]
    numerators: npt.NDArray[Any]
    denominators: npt.NDArray[Any]
    tiles: list[Tile]

    def each(self) -> Iterator[Tile]:
        """Those of every batch by itself, without the first axis."""
        for tile in self.tiles:
            yield from map(Tile, *tile)


def _places(
    spare: list[Places],
    shape: tuple[int, ...],
    keys: npt.NDArray[Any],
    base: float,
) -> Places:
    """Free arrays for points ``(b, d, n)``; several threads may ask at a time."""
    try:
        found = spare.pop()
    except IndexError:
        found = None
    if found is not None and found.scaled.shape == shape:
        return found
    batches, dimension, count = shape
    queries = np.empty((batches, dimension + 3, count), keys.dtype)
    queries[:, dimension + 2] = base
    sums = np.empty((batches, dimension + 1, count), keys.dtype)
    logits = np.empty((min(TOGETHER, batches), keys.shape[0], count), keys.dtype)
    tiles = [
        Tile(queries[part], logits[: sums[part].shape[0]], sums[part])
        for part in blocks(batches, TOGETHER)
    ]
    return Places(
        queries[:, :dimension],
        queries[:, dimension],
        queries[:, dimension + 1],
        sums[:, :dimension],
        sums[:, dimension:],
        tiles,
    )
