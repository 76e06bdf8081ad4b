"""Problems of any size whose exact answer is known: the mixture itself.

States are a Gaussian cloud with a bend (as an orbit's is), measurements a part of the
states with noise. Bandwidths are fixed, inside the grids that the paper searched, so
that everyone samples the same mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine import AnalysisOptions

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Problem:
    """Pairs, observation and the paper's three bandwidths."""

    states: Array
    simulated: Array
    observation: Array
    state_bandwidth: float
    measurement_bandwidth: float
    max_bandwidth: float

    @property
    def name(self) -> str:
        """Sizes, for tables."""
        return f"N={self.states.shape[0]}, dx={self.states.shape[1]}"

    @property
    def weights(self) -> Array:
        """Conditional weights, ``(N,)``."""
        square = np.sum((self.simulated - self.observation) ** 2, axis=1)
        weights = np.exp(-(square - square.min()) / (2 * self.measurement_bandwidth**2))
        return np.asarray(weights / weights.sum())

    def options(self, sampler: str) -> AnalysisOptions:
        """The same mixture for one of our samplers, nothing left to choose."""
        return AnalysisOptions(
            sampler=sampler,  # type: ignore[arg-type]
            scaling="none",
            preconditioner="none",
            shrink=False,
            state_bandwidth=self.state_bandwidth,
            measurement_bandwidth=self.measurement_bandwidth,
        )


# Per state size: measured columns, h_x, h_y (in the middle of the paper's grids, in
# units of the states' spread), h_max.
SHAPES = {
    1: (1, 0.2, 0.3, 12.0),
    3: (3, 0.3, 0.4, 15.0),
    40: (20, 0.5, 1.5, 20.0),
    1000: (20, 0.5, 1.5, 20.0),
    100_000: (20, 0.5, 1.5, 20.0),
}


def problem(members: int, dimension: int, seed: int = 0) -> Problem:
    """The benchmark's problem of that size."""
    measured, h_x, h_y, h_max = SHAPES[dimension]
    rng = np.random.default_rng([seed, members, dimension])
    states = rng.standard_normal((members, dimension))
    if dimension > 1:
        states[:, 1] += 0.5 * (states[:, 0] ** 2 - 1)
    noise = 0.5 * rng.standard_normal((members, measured))
    return Problem(
        states,
        states[:, :measured] + noise,
        np.full(measured, 0.3),
        h_x,
        h_y,
        h_max,
    )
