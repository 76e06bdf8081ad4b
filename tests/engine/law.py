"""The law that samples should have, written down without the engine, and tests of it.

A law is the mixture ``sum_i w_i N(x; c_i, h^2 I)``. Every test returns a p-value that
is uniform on (0, 1) when the samples have the law, so that false-alarm rates can be
stated: the mean by a chi-square statistic, the covariance entry by entry with standard
errors from the mixture's own fourth moments, the whole law by a two-sample energy test
(Székely and Rizzo 2004) calibrated by permutation, and in one dimension by
Kolmogorov-Smirnov.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float64]

PERMUTATIONS = 4999
ENERGY_SAMPLES = 600


@dataclass(frozen=True)
class Law:
    """``centres`` (M, d), ``weights`` (M,) adding up to one, kernel width ``h``."""

    centres: Array
    weights: Array
    h: float

    @property
    def mean(self) -> Array:
        return self.weights @ self.centres

    @property
    def covariance(self) -> Array:
        gaps = self.centres - self.mean
        return (gaps * self.weights[:, None]).T @ gaps + self.h**2 * np.eye(
            self.centres.shape[1]
        )

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        chosen = rng.choice(self.weights.size, size=count, p=self.weights)
        noise = rng.standard_normal((count, self.centres.shape[1]))
        return self.centres[chosen] + self.h * noise

    def cdf(self, x: Array) -> Array:
        """Distribution function, for one dimension."""
        return stats.norm.cdf((x[:, None] - self.centres[:, 0]) / self.h) @ self.weights


@dataclass(frozen=True)
class Pairs:
    """Pairs, an observation and fixed bandwidths: a mixture by way of the engine."""

    states: Array
    simulated: Array
    observation: Array
    h_x: float
    h_y: float

    @property
    def law(self) -> Law:
        square = np.sum((self.simulated - self.observation) ** 2, axis=1)
        weights = np.exp(-(square - square.min()) / (2 * self.h_y**2))
        return Law(self.states, weights / weights.sum(), self.h_x)


def p_values(samples: Array, law: Law, rng: np.random.Generator) -> dict[str, float]:
    """One p-value per test of the battery, each valid on its own."""
    found = {
        "mean": mean_p(samples, law),
        "covariance": covariance_p(samples, law),
        "energy": energy_p(
            samples[:ENERGY_SAMPLES], law.draw(ENERGY_SAMPLES, rng), rng
        ),
    }
    if samples.shape[1] == 1:
        found["ks"] = float(stats.kstest(samples[:, 0], law.cdf).pvalue)
    return found


def mean_p(samples: Array, law: Law) -> float:
    """Chi-square of the sample mean against its exact covariance."""
    gap = samples.mean(axis=0) - law.mean
    square = samples.shape[0] * gap @ np.linalg.solve(law.covariance, gap)
    return float(stats.chi2.sf(square, df=gap.size))


def covariance_p(samples: Array, law: Law) -> float:
    """Largest standardised error over all entries, Bonferroni over the entries."""
    gaps, centred = samples - law.mean, law.centres - law.mean
    exact = law.covariance
    found = gaps.T @ gaps / samples.shape[0]
    squares = centred**2 + law.h**2
    # Given a centre, different coordinates are independent; equal ones are not.
    fourth = (squares * law.weights[:, None]).T @ squares
    diagonal = centred**4 + 6 * centred**2 * law.h**2 + 3 * law.h**4
    np.fill_diagonal(fourth, law.weights @ diagonal)
    error = np.sqrt((fourth - exact**2) / samples.shape[0])
    entries = exact.shape[0] * (exact.shape[0] + 1) / 2
    worst = float(np.max(np.abs(found - exact) / error))
    return min(1.0, float(2 * stats.norm.sf(worst) * entries))


def energy_p(
    first: Array,
    second: Array,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> float:
    """Permutation p-value of the energy distance between two samples of equal size.

    With signs ``+-1`` for membership and equal sizes the statistic is
    ``-s^T D s / n^2``, so that all permutations are one matrix product.
    """
    count = first.shape[0]
    distance = cdist(*[np.concatenate([first, second])] * 2).astype(np.float32)
    signs = np.ones((2 * count, permutations + 1), dtype=np.float32)
    signs[count:] = -1
    signs[:, 1:] = rng.permuted(signs[:, 1:], axis=0)
    statistic = -np.einsum("ip,ip->p", signs, distance @ signs)
    # Ties with the permuted ones count against the sample: no false alarm from them.
    return float(np.mean(statistic >= statistic[0] * (1 - 1e-6)))
