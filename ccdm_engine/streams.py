"""Independent random streams of one analysis, by purpose.

Every use of randomness has its own stream derived from the analysis seed, so that
what one part draws does not depend on how much another has drawn.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import qmc

Whole = npt.NDArray[np.uint32]

PERTURBATION, LATENTS, SAMPLER, EXTRA, TIES, TURN, LOBE = range(7)

# Beyond so many dimensions a net of a few hundred points is no better than chance.
MOST_STRATIFIED = 64
# Binary digits of a uniform.
BITS = 30
# What the digits of a number count, and which digits a scrambled digit is mixed from.
PLACES = 2.0 ** np.arange(BITS)
WEIGHTS = 2 ** np.arange(BITS, dtype=np.uint32)
LOWER = np.tri(BITS, k=-1, dtype=np.float32)


def stream(seed: int, *key: int) -> np.random.Generator:
    """The generator for one purpose (and batch) of the analysis with this seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def normal_points(seed: int, count: int, dimension: int) -> npt.NDArray[np.float64]:
    """Standard normal points that fill the space evenly, ``(count, dimension)``.

    A scrambled Sobol net (Owen 1998) through the normal quantile: every single point
    is distributed as N(0, I), but together they leave no gaps and make no heaps. A
    smooth flow carries this over to its samples, so that the share of a mode in the
    ensemble is close to its probability. With independent points that share would
    wander, cycle after cycle, until one mode is lost. In more than 64 dimensions the
    points are independent.

    Args:
        seed: of the analysis.
        count: number of points.
        dimension: of each.
    """
    if dimension > MOST_STRATIFIED:
        return stream(seed, LATENTS).standard_normal((count, dimension))
    net = _net(stream(seed, LATENTS, 0), (count - 1).bit_length(), dimension)[:count]
    # In the middle of their cells, away from 0 and 1, whose quantiles are infinite.
    return np.asarray(ndtri((net + 0.5) * 2.0**-BITS))


def _net(rng: np.random.Generator, m: int, dimension: int) -> Whole:
    """A Sobol net of ``2^m`` points, its digits scrambled, ``(2^m, dimension)``.

    A random lower triangular matrix mixes the binary digits of each coordinate, first
    digits first, and random digits are added (Matousek 1998). The points stand in
    the order of the Gray code, each one direction from the one before.
    """
    coins = _coins(rng, dimension * BITS * (1 + m))
    shift = coins[: dimension * BITS].reshape(dimension, BITS) @ WEIGHTS
    # The first m direction numbers have no digits beyond the m-th.
    mixing = coins[dimension * BITS :].reshape(dimension, BITS, m).astype(np.float32)
    mixing *= LOWER[:, :m]
    digits = _directions(m, dimension)
    mixed = mixing @ digits[:, :m]
    mixed += digits
    # Sums of few powers of two: exact in double precision, (dimension, m).
    directions = (PLACES[::-1] @ (mixed.astype(np.uint8) & 1)).astype(np.uint32)
    points = np.empty((2**m, dimension), dtype=np.uint32)
    points[0] = shift
    for k in range(m):
        half = 2**k
        points[half : 2 * half] = points[half - 1 :: -1] ^ directions[:, k]
    return points


def _coins(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    """So many zeros and ones, ``(count,)``."""
    raw = rng.bit_generator.random_raw(-(-count // 64)).astype("<u8", copy=False)
    return np.unpackbits(raw.view(np.uint8), count=count)


@lru_cache(maxsize=128)
def _directions(m: int, dimension: int) -> npt.NDArray[np.float32]:
    """Binary digits of Sobol's first m direction numbers, ``(dimension, BITS, m)``."""
    engine = qmc.Sobol(dimension, scramble=False, bits=BITS)
    found = np.zeros((m + 1, dimension), dtype=np.uint32)
    for k in range(m):  # point 2^k is directions k and k - 1 together
        engine.reset()
        point = engine.fast_forward(2**k).random(1)[0] * 2.0**BITS
        found[k] = point.astype(np.uint32) ^ found[k - 1]
    places = np.arange(BITS - 1, -1, -1, dtype=np.uint32)
    digits = (found[:m].T[:, None, :] >> places[:, None]) & 1
    return digits.astype(np.float32)
