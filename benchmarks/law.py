"""How far samples are from the mixture they should follow, by two measures.

Energy distance: ``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` (Székely and Rizzo 2004), Y many
direct draws. In units of what as many independent exact draws give on average: about 1
is as good as exact, less is more even than chance. It sees clouds that are misplaced,
but neither the width of kernels in many variables nor small lobes.

Density: the mean of ``log p`` at the samples, p the exact mixture, against what exact
draws give, in standard errors of so many independent draws. It sees the kernels: in dx
variables ``-2 log p`` is mostly the squared distance to the nearest centre in
bandwidths. Below 0 samples are too far out, above 0 too near the centres.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from benchmarks.problems import Problem

Array = npt.NDArray[np.float64]
REFERENCES = 3000
MOST_SAMPLES = 1500
# Distances in more coordinates than these are taken in as many random directions.
DIRECTIONS = 50
TRIALS = 8
# Whole draws for the density hold this many numbers together, and so many at a time.
DRAWN, AT_A_TIME = 2**26, 2**22
FEWEST_DRAWS = 300


class Yardstick:
    """Direct draws of one problem's mixture, and what chance alone makes of them."""

    def __init__(self, problem: Problem, samples: int) -> None:
        rng = np.random.default_rng(99)
        self._problem, self._count = problem, min(samples, MOST_SAMPLES)
        dimension = problem.states.shape[1]
        self._view = (
            np.eye(dimension)
            if dimension <= DIRECTIONS
            else rng.standard_normal((dimension, DIRECTIONS)) / np.sqrt(dimension)
        )
        self._centres = problem.states @ self._view
        self._reference = self._draw(REFERENCES, rng)
        self._own = _mean_distance(self._reference, self._reference)
        trials = [self._energy(self._draw(self._count, rng)) for _ in range(TRIALS)]
        self._chance = float(np.mean(trials))
        self._kept = np.flatnonzero(problem.weights)
        self._densities = self._drawn_densities(rng)

    def distance(self, samples: Array) -> float:
        """Energy distance over that of independent exact draws."""
        # At random: every second point of an even net leaves half of the space out.
        rng = np.random.default_rng(98)
        chosen = rng.permutation(samples.shape[0])[: self._count]
        return self._energy(samples[chosen] @ self._view) / self._chance

    def density(self, samples: Array) -> float:
        """Mean log density less that of exact draws, in standard errors."""
        rng = np.random.default_rng(97)
        chosen = rng.permutation(samples.shape[0])[:MOST_SAMPLES]
        few = self._few(samples.shape[1])
        parts = np.array_split(chosen, max(1, -(-chosen.size // few)))
        found = np.concatenate([self._log_density(samples[part]) for part in parts])
        known = self._densities
        error = np.sqrt(known.var() * (1 / found.size + 1 / known.size))
        return float((found.mean() - known.mean()) / error)

    def _few(self, dimension: int) -> int:
        return max(1, AT_A_TIME // max(dimension, self._kept.size))

    def _drawn_densities(self, rng: np.random.Generator) -> Array:
        """Log densities at independent exact draws."""
        of, dimension = self._problem, self._problem.states.shape[1]
        left = max(FEWEST_DRAWS, min(REFERENCES, DRAWN // dimension))
        found = []
        while left > 0:
            count = min(left, self._few(dimension))
            chosen = rng.choice(of.weights.size, size=count, p=of.weights)
            noise = rng.standard_normal((count, dimension))
            points = of.states[chosen] + of.state_bandwidth * noise
            found.append(self._log_density(points))
            left -= count
        return np.concatenate(found)

    def _log_density(self, points: Array) -> Array:
        """Of the mixture, ``(n,)``, up to a constant."""
        centres = self._problem.states[self._kept]
        squares = (
            np.einsum("ij,ij->i", points, points)[:, None] - 2 * points @ centres.T
        )
        squares += np.einsum("ij,ij->i", centres, centres)
        exponent = -squares / (2 * self._problem.state_bandwidth**2)
        weights = self._problem.weights[self._kept]
        return np.asarray(logsumexp(exponent + np.log(weights), axis=1))

    def _draw(self, count: int, rng: np.random.Generator) -> Array:
        chosen = rng.choice(self._centres.shape[0], size=count, p=self._problem.weights)
        # Noise across random directions: their Gram matrix is its covariance.
        noise = rng.standard_normal((count, self._view.shape[1]))
        root = np.linalg.cholesky(self._view.T @ self._view)
        return np.asarray(
            self._centres[chosen] + self._problem.state_bandwidth * noise @ root.T
        )

    def _energy(self, samples: Array) -> float:
        return (
            2 * _mean_distance(samples, self._reference)
            - _mean_distance(samples, samples)
            - self._own
        )


def _mean_distance(first: Array, second: Array) -> float:
    return float(np.mean(cdist(first, second)))
