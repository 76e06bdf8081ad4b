"""One analysis in a process of its own: seconds and memory as one line of JSON.

Of many parts that are alike a few are done, from all over the analysis, and stand for
the rest: that is how sizes are measured that would take an hour. What one process has
to do alone is done whole.

python -m benchmarks.scale.one sampled 2000 40
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterable, Iterator  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TypeVar  # noqa: E402

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from benchmarks.scale.model import EVERY  # noqa: E402
from ccdm_engine import AnalysisOptions, Localization, assimilate  # noqa: E402
from ccdm_engine.blockwise import assimilate_blocks  # noqa: E402

C = TypeVar("C")
P = TypeVar("P")
R = TypeVar("R")
Array = npt.NDArray[np.float64]
KERNELS: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 3.0,
    "shrink": False,
}
ERROR = 0.1
# Parts of a stage that are done.
PARTS = 4


@dataclass(slots=True)
class Some:
    """Does a few parts of each stage, and hands in their results for all of them.

    Attributes:
        made: seconds of the benchmark's own, which are no part of the work.
        parts: seconds that all would have taken.
        done: seconds that were spent on parts.
    """

    made: list[float] = field(default_factory=list)
    parts: float = 0.0
    done: float = 0.0

    def __call__(
        self,
        stage: str,
        work: Callable[[C, P], R],
        common: C,
        parts: Iterable[P],
        total: int,
    ) -> Iterator[R]:
        """See :class:`ccdm_engine.parts.Crew`."""
        count = min(PARTS, total)
        # From the middle of so many stretches; and the last, which may be a short one.
        chosen = {(2 * k + 1) * total // (2 * count) for k in range(count)}
        result: Any = None
        for place, part in enumerate(parts):
            if result is None or place in chosen or place == total - 1:
                start, own = time.process_time(), sum(self.made)
                result = work(common, part)
                spent = time.process_time() - start
                self.done += spent
                if place in chosen:
                    self.parts += (spent - sum(self.made) + own) * total / count
            yield result


def cloud(members: int, dimension: int, measured: int) -> tuple[Array, Array, Array]:
    """A Gaussian cloud, its first variables measured with noise."""
    rng = np.random.default_rng([members, dimension])
    states = rng.standard_normal((members, dimension))
    simulated = states[:, :measured] + 0.5 * rng.standard_normal((members, measured))
    return states, simulated, np.full(measured, 0.3)


@dataclass(frozen=True, slots=True)
class Waves:
    """Smooth fields on a line, made block by block: never in memory together.

    Attributes:
        shape: ``(N, dx)``.
        spent: seconds to make each block that was read.
    """

    shape: tuple[int, int]
    spent: list[float] = field(default_factory=list)

    def read(self, columns: slice) -> Array:
        """Sums of eight waves, with amplitudes of each member's own, and roughness."""
        start = time.process_time()
        members, dimension = self.shape
        place = np.arange(columns.start, columns.stop) / dimension
        waves = np.sin(np.pi * np.arange(1, 9)[:, None] * place)
        rng = np.random.default_rng([members, columns.start])
        rough = 0.05 * rng.standard_normal((members, place.size))
        made = self.amplitudes @ waves + rough
        self.spent.append(time.process_time() - start)
        return np.asarray(made)

    @property
    def amplitudes(self) -> Array:
        """``(N, 8)``."""
        return np.random.default_rng([9, self.shape[0]]).standard_normal(
            (self.shape[0], 8)
        )

    def measured(self) -> tuple[Array, Array, Localization]:
        """Noise-free measurements, an observation, and where all of it is."""
        dimension = self.shape[1]
        where = np.arange(EVERY // 2, dimension, EVERY)
        waves = np.sin(np.pi * np.arange(1, 9)[:, None] * (where / dimension))
        truth = np.random.default_rng(10).standard_normal(8) @ waves
        noise = ERROR * np.random.default_rng(11).standard_normal(where.size)
        places = np.arange(dimension, dtype=np.float64)
        local = Localization(places, places[where], 2.0 * EVERY)
        return self.amplitudes @ waves, truth + noise, local


Case = Callable[[Some], Any]


def sampled(members: int, dimension: int) -> tuple[Case, list[float]]:
    """Kernels as given: the sampler alone."""
    triple = cloud(members, dimension, 1)
    return lambda crew: _assimilated(triple, KERNELS, crew), []


def chosen(members: int, dimension: int) -> tuple[Case, list[float]]:
    """Everything left to the engine, every variable measured."""
    triple = cloud(members, dimension, dimension)
    return lambda crew: _assimilated(triple, None, crew), []


def _assimilated(
    triple: tuple[Array, Array, Array], options: dict[str, Any] | None, crew: Some
) -> Any:
    return assimilate(*triple, options=options, seed=1, crew=crew).diagnostics


def blocks(members: int, dimension: int) -> tuple[Case, list[float]]:
    """Localized, block by block."""
    states = Waves((members, dimension))
    simulated, observed, local = states.measured()
    options = AnalysisOptions(localization=local, measurement_error=ERROR)

    def call(crew: Some) -> Any:
        return assimilate_blocks(
            states,
            simulated,
            observed,
            lambda columns, samples: None,
            options=options,
            seed=1,
            crew=crew,
        )

    return call, states.spent


def peak_mib(pid: int) -> float:
    """Most resident memory of a process so far, MiB; 0 when it has ended.

    The system's own figure for a process begins with that of whoever started it.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(found[0]) / 1024 if found else 0.0


CASES = {"sampled": sampled, "chosen": chosen, "blocks": blocks}


def measure(kind: str, members: int, dimension: int) -> dict[str, Any]:
    """Processor seconds of the parts and of the rest, and memory, inputs and all.

    Making the states is the benchmark's own, and no part of it.
    """
    CASES[kind](50, 20)[0](Some())  # what is loaded at first use is no part of it
    before = peak_mib(os.getpid())
    call, made = CASES[kind](members, dimension)
    crew = Some(made)
    start = time.process_time()
    facts = call(crew)
    spent = time.process_time() - start
    return {
        "evaluations": facts.score_evaluations,
        "parts": crew.parts,
        "rest": spent - crew.done,
        "mebibytes": peak_mib(os.getpid()) - before,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
