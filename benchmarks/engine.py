"""The engine beside the paper's configuration and beside the floor."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import floor, paper
from benchmarks.law import Yardstick
from benchmarks.measure import peak_bytes, side_by_side, timed, wall_seconds
from benchmarks.problems import Problem, problem
from ccdm_engine import Analysis, AnalysisOptions, assimilate
from ccdm_engine.family import joint_footing
from ccdm_engine.mixture import Mixture
from ccdm_engine.pairs import screen
from ccdm_engine.parts import Through
from ccdm_engine.sampling import PRUNED_WEIGHT, sample
from ccdm_engine.selection import choose
from ccdm_engine.streams import normal_points

SEED = 7
# How good samples are, on average over these.
SEEDS = (7, 8, 9)
# Growth with members, and with variables. The paper's configuration takes minutes, or
# gigabytes, beyond PAPER_WORK = N^2 dx; rk45 and sde are run where it is.
Case = tuple[int, int, bool]
SIZES = (100, 250, 1000, 2500, 10_000)
CASES: list[Case] = [(n, dx, False) for dx in (3, 40) for n in SIZES]
CASES += [(100, 1, False), (1000, 1, False), (100, 1000, False), (100, 100_000, False)]
CASES += [(n, dx, True) for dx in (3, 40) for n in (250, 1000, 10_000)]
SHORT_CASES: list[Case] = [(100, 3, False), (100, 40, False)]
PAPER_WORK = 1000**2 * 50


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one problem."""

    members: int
    dimension: int
    observation: str
    method: str
    best_seconds: float
    median_seconds: float
    runs: int
    times_faster_than_paper: float | None
    by_medians: float | None
    times_the_floor: float
    score_evaluations: int
    distance: float | None
    density: float | None
    peak_mib_of_whole_call: float | None


def rows(cases: Sequence[Case], rounds: int) -> Iterator[Row]:
    """All methods on all problems."""
    for members, dimension, weak in cases:
        of = problem(members, dimension, weak=weak)
        yield from _case(of, "weak" if weak else "sharp", rounds)


def _case(of: Problem, observation: str, rounds: int) -> Iterator[Row]:
    members, dimension = of.states.shape
    affordable = members**2 * dimension <= PAPER_WORK
    samplers = ["ode", "exact"] + (["sde", "rk45"] if affordable else [])
    mixture = of_problem(of)
    latents = normal_points(SEED, members, dimension)
    calls: dict[str, Callable[[], Any]] = {}
    if affordable:
        calls["paper (a)"] = lambda: paper.sample(of, SEED)
    for name in samplers:
        calls[name] = _sampling(of, mixture, name)
    calls["ode, whole call"] = _whole(of, "ode")
    kept = mixture.pruned(PRUNED_WEIGHT).weights.size
    evaluations = sample(mixture, of.options("ode"), latents, SEED).evaluations
    inside = min(dimension, kept - 1)
    calls["floor (c)"] = floor.products(members, kept, inside, evaluations)
    times = timed(calls, rounds=rounds)
    facts = _facts(of, samplers, affordable)
    facts["floor (c)"] = (evaluations, None, None, None)
    slowest, least = times.get("paper (a)"), times["floor (c)"]
    for name, taken in times.items():
        yield Row(
            members,
            dimension,
            observation,
            name,
            taken.best,
            taken.median,
            len(taken.seconds),
            slowest.best / taken.best if slowest else None,
            slowest.median / taken.median if slowest else None,
            taken.best / least.best,
            *facts[name],
        )


def of_problem(of: Problem) -> Mixture:
    """The mixture that the problem's options stand for."""
    return Mixture(of.states, np.log(of.weights + 1e-300), of.state_bandwidth)


def _sampling(of: Problem, mixture: Mixture, sampler: str) -> Callable[[], Any]:
    """Latents drawn and transported: what the paper's configuration does too."""
    options = of.options(sampler)
    shape = of.states.shape

    def run() -> Any:
        fresh = Mixture(mixture.centres, mixture.log_weights, mixture.bandwidth)
        return sample(fresh, options, normal_points(SEED, *shape), SEED)

    return run


def _whole(of: Problem, sampler: str, seed: int = SEED) -> Callable[[], Analysis]:
    """The public call: checks, weights, sampling, diagnostics."""
    options = of.options(sampler)
    return lambda: assimilate(
        of.states, of.simulated, of.observation, options=options, seed=seed
    )


# Score evaluations, energy distance, density and peak memory (MiB).
Facts = tuple[int, float | None, float | None, float | None]


def _facts(of: Problem, samplers: Sequence[str], affordable: bool) -> dict[str, Facts]:
    """What each method comes to beside its time, on average over seeds.

    Memory is that of the whole call, of which the samplers are a part.
    """
    members = of.states.shape[0]
    yardstick = Yardstick(of, members)
    found: dict[str, Facts] = {}
    for name in samplers:
        analyses = [_whole(of, name, seed)() for seed in SEEDS]
        peak = None if name == "rk45" else peak_bytes(_whole(of, name)) / 2**20
        counts = [one.diagnostics.score_evaluations for one in analyses]
        quality = _quality(yardstick, [one.samples for one in analyses])
        found[name] = (_mean_count(counts), *quality, peak)
    found["ode, whole call"] = found["ode"]
    if affordable:
        runs = [paper.sample(of, seed) for seed in SEEDS]
        quality = _quality(yardstick, [samples for samples, _ in runs])
        peak = None
        if members <= 1000:
            peak = peak_bytes(lambda: paper.sample(of, SEED)) / 2**20
        found["paper (a)"] = (_mean_count([n for _, n in runs]), *quality, peak)
    return found


def _mean_count(counts: Sequence[int]) -> int:
    return round(sum(counts) / len(counts))


def _quality(yardstick: Yardstick, draws: Sequence[Any]) -> tuple[float, float]:
    """Distance and density, on average."""
    distances = [yardstick.distance(samples) for samples in draws]
    densities = [yardstick.density(samples) for samples in draws]
    return float(np.mean(distances)), float(np.mean(densities))


def slopes(members: int, dimension: int, rounds: int) -> dict[str, float]:
    """One evaluation of the right-hand side of (a), as written and frugally."""
    of = problem(members, dimension)
    at = np.random.default_rng(SEED).standard_normal(of.states.size)
    written, frugal = paper.slope_of(of), paper.frugal_slope_of(of)
    return side_by_side(
        {
            "as written": lambda: written(0.1, at),
            "in place": lambda: frugal(0.1, at),
        },
        rounds=rounds,
    )


def second_core(
    members: int, dimension: int, rounds: int, *, weak: bool = False
) -> dict[str, float]:
    """Time on the wall of the sampling alone, by two threads and by two processes.

    Both are kept from round to round; what the processes take to start is told apart.
    """
    of = problem(members, dimension, weak=weak)
    mixture, options = of_problem(of), of.options("ode")
    latents = normal_points(SEED, members, dimension)

    def through(pool: Executor) -> Callable[[], Any]:
        crew = Through(pool, 4)
        return lambda: sample(mixture, options, latents, SEED, crew)

    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, spawn) as processes:
        first = wall_seconds(through(processes))
        times = side_by_side(
            {
                "one thread": lambda: sample(mixture, options, latents, SEED),
                "two threads": through(threads),
                "two processes": through(processes),
            },
            rounds=rounds,
            clock=wall_seconds,
        )
    return {**times, "first": first}


def choosing(members: int, dimension: int, rounds: int) -> dict[str, float]:
    """Automatic choice of the model beside the sampling of the benchmark's model."""
    of = problem(members, dimension)
    pairs, options = screen(of.states, of.simulated, of.observation), AnalysisOptions()
    footing = joint_footing(options, members, dimension)
    return side_by_side(
        {
            "choice": lambda: choose(pairs, options, footing),
            "sampling": _sampling(of, of_problem(of), "ode"),
            "whole call, all automatic": lambda: assimilate(
                of.states, of.simulated, of.observation, seed=SEED
            ),
        },
        rounds=rounds,
    )


def many_variables(members: int, dimension: int, rounds: int) -> dict[str, float]:
    """The whole call beside what no method can do without, and memory over input."""
    of = problem(members, dimension)
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        path = Path(folder) / "states.npy"

        def necessary() -> None:
            np.save(path, of.states)
            states = np.load(path)
            products = states @ states.T
            np.save(path, products @ states)

        found = side_by_side(
            {"reading, writing, two products": necessary, "whole": _whole(of, "ode")},
            rounds=rounds,
        )
    given = of.states.nbytes + of.simulated.nbytes
    found["peak memory over input"] = peak_bytes(_whole(of, "ode")) / given
    return found


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def as_table(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as dictionaries, for CSV."""
    return [asdict(row) for row in found]
