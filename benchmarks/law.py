"""How far samples are from the mixture they should follow: the energy distance.

``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` (Székely and Rizzo 2004), Y many direct draws. In
units of what as many independent exact draws give on average: about 1 is as good as
exact, less is more even than chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from benchmarks.problems import Problem

Array = npt.NDArray[np.float64]
REFERENCES = 3000
MOST_SAMPLES = 1500
# Distances in more coordinates than these are taken in as many random directions.
DIRECTIONS = 50
TRIALS = 8


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

    def distance(self, samples: Array) -> float:
        """Energy distance over that of independent exact draws."""
        # At random: every second point of an even net leaves half of the space out.
        rng = np.random.default_rng(98)
        chosen = rng.permutation(samples.shape[0])[: self._count]
        return self._energy(samples[chosen] @ self._view) / self._chance

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
