"""One run, anywhere: a task that pickles goes in, a row and its series come out."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine import scores
from ccdm_engine.twin.cycle import Run, run
from ccdm_engine.twin.experiment import Experiment
from ccdm_engine.twin.experiments import find
from ccdm_engine.twin.reference import particles, toy_posterior
from ccdm_engine.version import __version__
from service.cli.study.code import engine_code
from service.cli.study.methods import parse

Array = npt.NDArray[np.float64]

RANK_BINS = 20
# W2 is measured on so many cycles, evenly spread after the burn-in.
TRANSPORT_CYCLES = 20
REFERENCE_PARTICLES = 100_000
REFERENCE_KEPT = 1000
# Ensembles shown against the reference: the last so many of the transport cycles.
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One run of one method.

    Attributes:
        setting, method, members, seed: which.
        cycles: how many, burn-in included.
        reference: folder of reference posteriors; ``None`` leaves W2 out.
    """

    setting: str
    method: str
    members: int
    seed: int
    cycles: int
    reference: Path | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two runs the same run, as text; the engine's code included."""
        numbers = (self.members, self.seed, self.cycles)
        return (self.setting, self.method, *map(str, numbers), engine_code())

    def lacks_reference(self) -> bool:
        """Whether it wants a reference posterior that is not on file."""
        return self.reference is not None and not self.reference_path.exists()

    @property
    def reference_path(self) -> Path:
        """The reference posterior, which all methods of a seed share."""
        name = f"{self.setting}-{self.seed}-{self.cycles}.npz"
        return (self.reference or Path()) / name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind.

    Attributes:
        row: one line of the table of runs.
        series: arrays by name for the pictures.
    """

    row: dict[str, Any]
    series: dict[str, Array]


def perform(task: Task) -> Outcome:
    """Make the run and score it; a method that breaks down is a result too."""
    result = run(
        find(task.setting),
        parse(task.method),
        task.members,
        task.seed,
        cycles=task.cycles,
        keep_ensembles=task.reference is not None,
        clock=time.perf_counter,
    )
    histogram = _histogram(result)
    row, series = _summary(task, result, histogram), _series(result, histogram)
    if task.reference is not None and result.failure is None:
        found = _transport(task, result)
        row["w2"] = float(np.mean(found["w2"]))
        row["reference_ess"] = float(np.median(found["reference_ess"]))
        series |= found
    return Outcome(row, series)


def _histogram(result: Run) -> scores.RankHistogram:
    ranks = result.ranks[result.burn_in :]
    return scores.rank_histogram(ranks[ranks >= 0], result.members, bins=RANK_BINS)


def _summary(
    task: Task, result: Run, histogram: scores.RankHistogram
) -> dict[str, Any]:
    identity = asdict(task)
    del identity["reference"]
    means = {name: result.mean(name) for name in ("rmse", "spread", "crps", "energy")}
    return {
        **identity,
        "code": engine_code(),
        "version": __version__,
        **means,
        "w2": "",
        "rank_chi_square": histogram.chi_square,
        "rank_bins": histogram.counts.size,
        "ms": float(np.nanmedian(result.seconds)) * 1e3 if result.crps.size else "",
        "lost": int(result.lost),
        "failure": result.failure or "",
    }


def _series(result: Run, histogram: scores.RankHistogram) -> dict[str, Array]:
    return {
        "rmse": result.rmse,
        "spread": result.spread,
        "crps": result.crps,
        "rank_counts": histogram.counts.astype(np.float64),
        "rank_expected": histogram.expected,
    }


def _transport(task: Task, result: Run) -> dict[str, Array]:
    if result.ensembles is None:
        raise ValueError("W2 needs the ensembles of the run")
    cycles = _transport_cycles(find(task.setting), task.cycles)
    reference, effective = _reference(task, cycles)
    distances = [
        transport(result.ensembles[k], reference[place])
        for place, k in enumerate(cycles)
    ]
    shown = cycles[-SHOWN:]
    return {
        "w2": np.array(distances),
        "reference_ess": effective,
        "shown_cycles": shown.astype(np.float64) + 1,
        "shown_ensembles": result.ensembles[shown],
        "shown_references": reference[-SHOWN:],
        "shown_truths": result.truth[shown],
    }


def prepare(task: Task) -> None:
    """Make the reference posterior of a task, where it is not on file."""
    if task.reference is not None:
        cycles = _transport_cycles(find(task.setting), task.cycles)
        _reference(task, cycles)


def _transport_cycles(setting: Experiment, cycles: int) -> npt.NDArray[np.intp]:
    first = min(setting.burn_in, cycles - 1)
    count = min(TRANSPORT_CYCLES, cycles - first)
    return np.linspace(first, cycles - 1, count).round().astype(np.intp)


def _reference(task: Task, cycles: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Reference draws at the transport cycles, ``(cycles, kept, dx)``; made once.

    With them the effective size of the particles they were drawn from, ``(cycles,)``:
    a reference of which little was left is none.
    """
    path = task.reference_path
    if not path.exists():
        setting = find(task.setting)
        if setting.name.startswith("TOY"):
            made = toy_posterior(
                setting, task.seed, keep=REFERENCE_KEPT, cycles=task.cycles
            )
        else:
            made = particles(
                setting,
                task.seed,
                size=REFERENCE_PARTICLES,
                keep=REFERENCE_KEPT,
                cycles=task.cycles,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several workers may make the same one: each writes its own, the last stays.
        own = path.with_name(f"{path.stem}-{os.getpid()}.tmp.npz")
        samples = made.samples[cycles].astype(np.float32)
        np.savez(own, samples=samples, effective=made.effective_sample_size[cycles])
        own.replace(path)
    with np.load(path) as loaded:
        return loaded["samples"].astype(np.float64), loaded["effective"]


def transport(ensemble: Array, reference: Array) -> float:
    """W2, by the network simplex of POT where it is installed, else by assignment.

    Both are exact. Assignment needs a reference size that the ensemble divides, so it
    takes an evenly spread part of the reference.

    Args:
        ensemble: ``(N, dx)``.
        reference: ``(M, dx)``.
    """
    if ensemble.shape[1] == 1:
        return scores.wasserstein2(ensemble, reference)
    try:
        import ot
    except ImportError:
        size = ensemble.shape[0]
        size *= max(1, 500 // size)
        part = np.linspace(0, reference.shape[0] - 1, size).round().astype(np.intp)
        return scores.wasserstein2(ensemble, reference[part])
    cost = ot.dist(ensemble, reference)
    return float(np.sqrt(ot.emd2([], [], cost, numItermax=10_000_000)))
