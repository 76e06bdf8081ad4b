"""Other filters on what the simulator met: same truth, observations and draws.

The EnKF sees what the service saw, noisy pairs and nothing else. The free run sees no
observation. The reference is a particle filter of many members that knows R, with
every particle's mirror image ``(-x, -y, z)`` beside it: model, noise, start and
observation are all unchanged under this reflection, so the exact posterior is too,
and a finite filter that forgets one lobe has made a mistake, even if by luck it kept
the right one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ccdm_engine import Analysis, AnalysisOptions, scores
from ccdm_engine.baselines import enkf, sir_plain
from service.cli.demo import simulator

Array = npt.NDArray[np.float64]

REFERENCE_MEMBERS = 20_000
REFERENCE_KEPT = 500


@dataclass(frozen=True, slots=True)
class Contender:
    """One filter's run.

    Attributes:
        name: for tables and pictures.
        analyses: ``(cycles, n, 3)``.
        seconds: of each analysis, ``(cycles,)``; NaN where there is none.
        knows: what it was told.
    """

    name: str
    analyses: Array
    seconds: Array
    knows: str


@dataclass(frozen=True, slots=True)
class Score:
    """Time means after the first fifth of the cycles.

    Attributes:
        distance: root of the energy distance to the reference: 0 is the exact belief.
        crps: against the truth, mean over x, y and z; lower is better.
        rmse: of the ensemble mean; means little while there are two lobes.
        spread: root mean variance.
        milliseconds: median per cycle, NaN where there is no analysis.
        smaller_lobe: share of members in the lobe with fewer; 0.5 is exact.
    """

    distance: float
    crps: float
    rmse: float
    spread: float
    milliseconds: float
    smaller_lobe: float


def contenders(record: Mapping[str, Array], seed: int) -> list[Contender]:
    """The service's run as recorded, and the others made here."""
    members = record["analyses"].shape[1]
    observations = record["observations"]
    pairs = "pairs"
    return [
        Contender("CCDM", record["analyses"], record["seconds"], pairs),
        _filtered("EnKF", _enkf, observations, seed, members, pairs),
        _filtered("Free run", None, observations, seed, members, "nothing"),
        _reference(observations, seed),
    ]


def score(contender: Contender, truth: Array, exact: Array) -> Score:
    """Score a run against truth ``(cycles, 3)`` and reference ``(cycles, n, 3)``."""
    start = len(truth) // 5
    kept = list(zip(contender.analyses[start:], truth[start:], strict=True))
    beliefs = zip(contender.analyses[start:], exact[start:], strict=True)
    right = (contender.analyses[start:, :, 0] > 0).mean(axis=1)
    return Score(
        distance=float(np.mean([_apart(one, true) for one, true in beliefs])),
        crps=float(np.mean([scores.crps(one, true) for one, true in kept])),
        rmse=float(np.mean([scores.rmse(one, true) for one, true in kept])),
        spread=float(np.mean([scores.spread(one) for one, _ in kept])),
        milliseconds=1e3 * float(np.median(contender.seconds)),
        smaller_lobe=float(np.minimum(right, 1 - right).mean()),
    )


def _apart(one: Array, other: Array) -> float:
    """``(2 E|X - Y| - E|X - X'| - E|Y - Y'|)^1/2`` (Szekely and Rizzo 2013)."""
    square = 2 * cdist(one, other).mean() - cdist(one, one).mean()
    return float(np.sqrt(max(square - cdist(other, other).mean(), 0.0)))


Update = Callable[[Array, Array, Array, int], Analysis]


def _enkf(states: Array, simulated: Array, observation: Array, seed: int) -> Analysis:
    return enkf(states, simulated, observation, seed=seed)


def _filtered(
    name: str,
    update: Update | None,
    observations: Array,
    seed: int,
    members: int,
    knows: str,
) -> Contender:
    ensemble = simulator.initial_ensemble(seed, members)
    analyses, seconds = [], []
    for k, observation in enumerate(observations, start=1):
        ensemble = simulator.forecast(ensemble, seed, k)[-1]
        simulated = simulator.simulate_measurements(ensemble, seed, k)
        started = time.perf_counter()
        if update is not None:
            ensemble = update(ensemble, simulated, observation, k).samples
        seconds.append(time.perf_counter() - started if update else np.nan)
        analyses.append(ensemble)
    return Contender(name, np.stack(analyses), np.array(seconds), knows)


def _reference(observations: Array, seed: int) -> Contender:
    options = AnalysisOptions(measurement_error=simulator.OBSERVATION_STD)
    # Draws of its own: a reference that shared them would not be one.
    seed += 1_000_003
    ensemble = simulator.initial_ensemble(seed, REFERENCE_MEMBERS)
    kept, seconds = [], []
    for k, observation in enumerate(observations, start=1):
        ensemble = simulator.forecast(ensemble, seed, k)[-1]
        started = time.perf_counter()
        ensemble = sir_plain(
            ensemble, ensemble[:, 2:], observation, options=options, seed=k
        ).samples
        seconds.append(time.perf_counter() - started)
        stride = len(ensemble) // (REFERENCE_KEPT // 2)
        sample = ensemble[::stride]
        kept.append(np.concatenate([sample, sample * [-1.0, -1.0, 1.0]]))
    return Contender("Reference", np.stack(kept), np.array(seconds), "pairs and R")
