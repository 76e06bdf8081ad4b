"""One analysis in a process of its own: seconds and memory as one line of JSON.

python -m benchmarks.scale.one sampled 2000 40
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from ccdm_engine import AnalysisOptions, Localization, assimilate  # noqa: E402
from ccdm_engine.blockwise import assimilate_blocks  # noqa: E402
from ccdm_engine.parts import InTurn  # noqa: E402

Array = npt.NDArray[np.float64]
KERNELS: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 3.0,
    "shrink": False,
}
# One measurement for so many variables, and a radius of two of those gaps.
EVERY = 1000
ERROR = 0.1


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
    """

    shape: tuple[int, int]

    def read(self, columns: slice) -> Array:
        """Sums of eight waves, with amplitudes of each member's own, and roughness."""
        members, dimension = self.shape
        place = np.arange(columns.start, columns.stop) / dimension
        waves = np.sin(np.pi * np.arange(1, 9)[:, None] * place)
        rng = np.random.default_rng([members, columns.start])
        rough = 0.05 * rng.standard_normal((members, place.size))
        return self.amplitudes @ waves + rough

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


def sampled(members: int, dimension: int) -> tuple[Callable[[], Any], Any]:
    """Kernels as given: the sampler alone."""
    triple = cloud(members, dimension, 1)
    return lambda: assimilate(*triple, options=KERNELS, seed=1).diagnostics, None


def chosen(members: int, dimension: int) -> tuple[Callable[[], Any], Any]:
    """Everything left to the engine, every variable measured."""
    triple = cloud(members, dimension, dimension)
    return lambda: assimilate(*triple, seed=1).diagnostics, None


def blocks(members: int, dimension: int) -> tuple[Callable[[], Any], Any]:
    """Localized, block by block."""
    states = Waves((members, dimension))
    simulated, observed, local = states.measured()
    options = AnalysisOptions(localization=local, measurement_error=ERROR)

    def call() -> Any:
        return assimilate_blocks(
            states,
            simulated,
            observed,
            lambda columns, samples: None,
            options=options,
            seed=1,
            crew=InTurn(),
        )

    def reading() -> None:
        for begin in range(0, dimension, 8192):
            states.read(slice(begin, min(begin + 8192, dimension)))

    return call, reading


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
    """Best processor seconds of up to three runs, and memory beyond what was there."""
    call, reading = CASES[kind](members, dimension)
    CASES[kind](50, 20)[0]()  # what is loaded at first use is no part of it
    before = peak_mib(os.getpid())
    best, facts = np.inf, None
    for _ in range(3):
        start = time.process_time()
        facts = call()
        best = min(best, time.process_time() - start)
        if best > 2.0:
            break
    after = peak_mib(os.getpid())
    if reading is not None:  # making the states, twice, is the benchmark's own
        start = time.process_time()
        reading()
        best -= 2 * (time.process_time() - start)
    return {
        "kind": kind,
        "members": members,
        "dimension": dimension,
        "evaluations": facts.score_evaluations if facts else 0,
        "seconds": best,
        "mebibytes": after - before,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
