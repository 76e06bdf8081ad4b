"""Independent random streams of one analysis, by purpose.

Every use of randomness has its own stream derived from the analysis seed, so that
what one part draws does not depend on how much another has drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import qmc

PERTURBATION, LATENTS, SAMPLER, EXTRA, TIES = range(5)

# Beyond so many dimensions a net of a few hundred points is no better than chance.
MOST_STRATIFIED = 64
# Uniforms are kept this far from 0 and 1, where the normal quantile is infinite.
EDGE = 2.0**-53


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
    rng = stream(seed, LATENTS)
    if dimension > MOST_STRATIFIED:
        return rng.standard_normal((count, dimension))
    net = qmc.Sobol(dimension, rng=rng).random_base2((count - 1).bit_length())
    return np.asarray(ndtri(np.clip(net[:count], EDGE, 1.0 - EDGE)))
