"""What an analysis with default options costs: choosing, sampling, memory.

Two kinds of forecasts: the benchmark's problem, whose states are nearly Gaussian, so
that the members are moved and nothing is sampled; and forecasts out of the middle of
twin experiments, as a filter meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import peak_bytes, side_by_side
from benchmarks.problems import problem
from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.family import joint_footing
from ccdm_engine.normalization import normalize
from ccdm_engine.pairs import screen
from ccdm_engine.sampling import sample
from ccdm_engine.selection import choose
from ccdm_engine.streams import normal_points
from ccdm_engine.twin.cycle import Method, steps
from ccdm_engine.twin.experiments import EXPERIMENTS

Array = npt.NDArray[np.float64]

SEED = 7
# The experiments' filters have found the truth by then.
CYCLE = 12
SIZES = ((50, 3), (250, 3), (1000, 3), (100, 40), (1000, 40))
LARGE = ((10_000, 3), (10_000, 40), (100, 100_000))
TWINS = (
    ("L63_03", 50),
    ("L63_03", 250),
    ("L63_03", 1000),
    ("ramgraber2022", 50),
    ("ramgraber2022", 250),
    ("ramgraber2022", 1000),
    ("L96_01", 100),
    ("L96_01", 1000),
)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Ensemble pairs and an observation, and where they are from."""

    name: str
    states: Array
    simulated: Array
    observation: Array

    def assimilated(self) -> Any:
        """The default analysis."""
        return assimilate(self.states, self.simulated, self.observation, seed=SEED)


def forecasts(*, short: bool) -> Iterator[Forecast]:
    """Small ones first."""
    for members, dimension in SIZES[:2] if short else SIZES + LARGE:
        of = problem(members, dimension)
        yield Forecast("benchmark", of.states, of.simulated, of.observation)
    for name, members in TWINS[:1] if short else TWINS:
        yield from_twin(name, members)


def from_twin(name: str, members: int) -> Forecast:
    """What the default filter meets at one cycle of a published experiment."""
    experiment = EXPERIMENTS[name]
    met: list[Forecast] = []

    def analyse(
        states: Array, simulated: Array, observation: Array, **rest: Any
    ) -> Any:
        met.append(Forecast(name, states, simulated, observation))
        return assimilate(states, simulated, observation, **rest)

    for _ in steps(experiment, Method("default", analyse), members, 1, cycles=CYCLE):
        pass
    return met[-1]


def row(of: Forecast, rounds: int) -> list[Any]:
    """Name, N, dx, what was chosen, seconds of choice, sampling and call, memory."""
    analysis = of.assimilated()
    model = analysis.diagnostics.model
    is_moved = analysis.diagnostics.sampler == "shift"
    calls: dict[str, Callable[[], Any]] = {"whole": of.assimilated}
    options = AnalysisOptions()
    pairs = normalize(screen(of.states, of.simulated, of.observation), "auto").pairs
    shape = pairs.states.shape
    footing = joint_footing(options, *shape)
    calls["choice"] = lambda: choose(pairs, options, footing)
    if not is_moved:
        chosen = choose(pairs, options, footing).model
        shape = of.states.shape
        calls["sampling"] = lambda: sample(
            chosen.mixture(), options, normal_points(SEED, *shape), SEED
        )
    seconds = side_by_side(calls, rounds=rounds, budget=6.0)
    given = of.states.nbytes + of.simulated.nbytes
    peak = peak_bytes(of.assimilated)
    sampling = seconds.get("sampling")
    return [
        of.name,
        *of.states.shape,
        f"{model.preconditioner}, {model.measurement_kernel}",
        seconds["choice"],
        sampling,
        None if sampling is None else seconds["choice"] / sampling,
        seconds["whole"],
        peak / 2**20,
        peak / given,
    ]


HEAD: Sequence[str] = (
    "forecast",
    "N",
    "dx",
    "chosen",
    "choice, s",
    "its sampling, s",
    "choice/sampling",
    "whole call, s",
    "peak MiB",
    "peak / input",
)
