"""The forecast - analysis cycle of a twin experiment.

Streams of randomness are apart and named: the truth and the real observations depend
on the seed alone, the initial ensemble and its process and measurement noise on seed
and ensemble size. Two methods of the same seed therefore meet the same weather, the
same observations and the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine import scores
from ccdm_engine.analysis import Analysis, Diagnostics
from ccdm_engine.errors import CcdmError
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.twin.experiment import Experiment

Array = npt.NDArray[np.float64]
Clock = Callable[[], float]

# Beyond this a member counts as crashed: explicit schemes explode from far-off states.
RUNAWAY = 1e9

_TRUTH, _OBSERVATION, _INITIAL, _PROCESS, _MEASUREMENT, _METHOD = range(6)


@dataclass(frozen=True, slots=True)
class Method:
    """A way to make an analysis, and what it is allowed to know.

    Attributes:
        name: for tables.
        analyse: called as ``assimilate`` is.
        knows_error: hand it noise-free simulated measurements and R by
            ``options.measurement_error``; otherwise it sees noisy pairs only.
        options: of every analysis.
        radius: localization radius, used with the coordinates of the experiment.
    """

    name: str
    analyse: Callable[..., Analysis]
    knows_error: bool = False
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    radius: float | None = None

    def options_for(self, experiment: Experiment) -> AnalysisOptions:
        """The options completed with what the experiment knows."""
        options = self.options
        if self.knows_error:
            options = replace(options, measurement_error=experiment.error)
        if self.radius is not None:
            places = experiment.localization(self.radius)
            options = replace(options, localization=places)
        return options


@dataclass(frozen=True, slots=True)
class Step:
    """One cycle as it went.

    Attributes:
        cycle: from 1.
        truth: ``(dx,)``. observation: ``(dy,)``.
        forecast: members before, ``(N, dx)``. samples: after, ``(N, dx)``.
        diagnostics: of the analysis.
        seconds: it took, NaN without a clock.
    """

    cycle: int
    truth: Array
    observation: Array
    forecast: Array
    samples: Array
    diagnostics: Diagnostics
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """Scores of one experiment, method, ensemble size and seed.

    Attributes:
        experiment, method, members, seed: what was run.
        rmse, spread, crps, energy, seconds: per cycle, ``(cycles,)``; NaN from a
            failure on.
        ranks: of the truth per cycle and variable, ``(cycles, dx)``; -1 where none.
        truth: ``(cycles, dx)``. observations: ``(cycles, dy)``.
        ensembles: analysis ensembles ``(cycles, N, dx)``, when asked for.
        failure: what stopped the run, ``None`` when it went through.
        burn_in: cycles not counted in :meth:`mean`.
        lost_above: the experiment's threshold for :attr:`lost`.
    """

    experiment: str
    method: str
    members: int
    seed: int
    rmse: Array
    spread: Array
    crps: Array
    energy: Array
    seconds: Array
    ranks: npt.NDArray[np.intp]
    truth: Array
    observations: Array
    ensembles: Array | None
    failure: str | None
    burn_in: int
    lost_above: float

    def mean(self, score: str) -> float:
        """Time mean of a score after the burn-in; infinity after a failure."""
        if self.failure is not None:
            return math.inf
        values: Array = getattr(self, score)
        return float(np.mean(values[self.burn_in :]))

    @property
    def lost(self) -> bool:
        """Whether the run failed, or lost the truth in its last fifth."""
        if self.failure is not None:
            return True
        tail = self.crps[-max(1, self.crps.size // 5) :]
        return bool(np.mean(tail) > self.lost_above)


def weather(
    experiment: Experiment, seed: int, *, cycles: int | None = None
) -> tuple[Array, Array]:
    """Truth and real observations; they depend on the seed alone.

    Args:
        experiment: the setting.
        seed: of truth and observations.
        cycles: fewer or more than the setting has.

    Returns:
        Truth ``(cycles, dx)`` and observations ``(cycles, dy)``, at observation times.
    """
    count = experiment.cycles if cycles is None else cycles
    noise, errors = _stream(seed, _TRUTH), _stream(seed, _OBSERVATION)
    state = experiment.initial(noise, 1)
    truth = np.empty((count, experiment.state_dim))
    for k in range(count):
        state = _moved(experiment, state, experiment.truth_noise, noise)
        truth[k] = state[0]
    draws = errors.standard_normal((count, experiment.measurement_dim))
    return truth, experiment.observe(truth) + experiment.error * draws


def steps(
    experiment: Experiment,
    method: Method,
    members: int,
    seed: int,
    *,
    cycles: int | None = None,
    clock: Clock | None = None,
) -> Iterator[Step]:
    """The cycles of one run, one after the other.

    Args:
        experiment: the setting.
        method: who makes the analyses.
        members: ensemble size N.
        seed: of everything.
        cycles: fewer or more than the setting has.
        clock: times the analyses, e.g. ``time.perf_counter``.
    """
    truth, observations = weather(experiment, seed, cycles=cycles)
    options = method.options_for(experiment)
    ensemble = experiment.initial(_stream(seed, _INITIAL, members), members)
    process = _stream(seed, _PROCESS, members)
    errors = _stream(seed, _MEASUREMENT, members)
    now = clock if clock is not None else _no_clock
    for k in range(truth.shape[0]):
        forecast = _moved(experiment, ensemble, experiment.process_noise, process)
        simulated = experiment.observe(forecast)
        draws = errors.standard_normal(simulated.shape)
        if not method.knows_error:
            simulated = simulated + experiment.error * draws
        started = now()
        analysis = method.analyse(
            forecast,
            simulated,
            observations[k],
            options=options,
            seed=_method_seed(seed, members, k),
        )
        seconds = now() - started
        ensemble = analysis.samples
        learned = analysis.diagnostics.forecast_inflation
        options = replace(options, learned_inflation=learned)
        yield Step(
            k + 1,
            truth[k],
            observations[k],
            forecast,
            ensemble,
            analysis.diagnostics,
            seconds,
        )


def run(
    experiment: Experiment,
    method: Method,
    members: int,
    seed: int,
    *,
    cycles: int | None = None,
    keep_ensembles: bool = False,
    clock: Clock | None = None,
) -> Run:
    """Run one experiment and score every cycle.

    A method that breaks down, or an ensemble that leaves the finite numbers, ends
    the run with :attr:`Run.failure`; the cycles after it are NaN.

    Args:
        experiment: the setting.
        method: who makes the analyses.
        members: ensemble size N.
        seed: of everything.
        cycles: fewer or more than the setting has.
        keep_ensembles: keep every analysis ensemble.
        clock: times the analyses, e.g. ``time.perf_counter``.
    """
    count = experiment.cycles if cycles is None else cycles
    record = _blank(experiment, count, members if keep_ensembles else 0)
    ties = _stream(seed, _METHOD, members)
    failure = None
    try:
        for step in steps(experiment, method, members, seed, cycles=count, clock=clock):
            _write(record, step, ties)
    except (CcdmError, FloatingPointError, np.linalg.LinAlgError) as error:
        failure = f"{type(error).__name__}: {error}"
    truth, observations = weather(experiment, seed, cycles=count)
    return Run(
        experiment=experiment.name,
        method=method.name,
        members=members,
        seed=seed,
        truth=truth,
        observations=observations,
        failure=failure,
        burn_in=min(experiment.burn_in, count - 1),
        lost_above=experiment.lost_above,
        **record,
    )


def _blank(experiment: Experiment, cycles: int, kept: int) -> dict[str, Any]:
    names = ("rmse", "spread", "crps", "energy", "seconds")
    record: dict[str, Any] = {name: np.full(cycles, np.nan) for name in names}
    record["ranks"] = np.full((cycles, experiment.state_dim), -1, dtype=np.intp)
    shape = (cycles, kept, experiment.state_dim)
    record["ensembles"] = np.full(shape, np.nan) if kept else None
    return record


def _write(record: dict[str, Any], step: Step, ties: np.random.Generator) -> None:
    k = step.cycle - 1
    record["rmse"][k] = scores.rmse(step.samples, step.truth)
    record["spread"][k] = scores.spread(step.samples)
    record["crps"][k] = scores.crps(step.samples, step.truth)
    record["energy"][k] = scores.energy_score(step.samples, step.truth)
    record["ranks"][k] = scores.ranks(step.samples, step.truth, ties)
    record["seconds"][k] = step.seconds
    if record["ensembles"] is not None:
        # Dropped members leave rows of NaN.
        record["ensembles"][k, : step.samples.shape[0]] = step.samples


def _moved(
    experiment: Experiment, states: Array, noise: float, rng: np.random.Generator
) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        moved = experiment.model(states)
        away = ~(np.abs(moved).max(axis=-1) < RUNAWAY)
    # What a simulator that blew up would send; options.failed_members decides.
    moved[away] = np.nan
    # Drawn even when the noise is zero: the stream does not depend on its level.
    return moved + noise * rng.standard_normal(moved.shape)


def _stream(seed: int, purpose: int, members: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, members])


def _method_seed(seed: int, members: int, cycle: int) -> int:
    words = np.random.SeedSequence([seed, _METHOD, members, cycle])
    return int(words.generate_state(1, np.uint32)[0])


def _no_clock() -> float:
    return math.nan
