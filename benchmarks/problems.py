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


# Per state size: measured columns, h_x, h_y and h_max in units of the states' spread.
# The paper searched h_y from 0.012 to 5 (3 variables) and 0.14 to 1.7 spreads (40): the
# geometric middle is 0.25 and 0.48, where the observation leaves some members out.
SHAPES = {
    1: (1, 0.2, 0.25, 15.0),
    3: (3, 0.3, 0.25, 15.0),
    40: (20, 0.5, 0.5, 24.0),
    1000: (20, 0.5, 0.5, 24.0),
    100_000: (20, 0.5, 0.5, 24.0),
}
# Near the upper end of the grids nearly all members keep some weight.
WEAK = {1: 0.5, 3: 0.5, 40: 1.5}


def problem(
    members: int, dimension: int, *, weak: bool = False, seed: int = 0
) -> Problem:
    """The benchmark's problem of that size, its observation sharp or weak."""
    measured, h_x, h_y, h_max = SHAPES[dimension]
    h_y = WEAK[dimension] if weak else h_y
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
