"""Estimates held against what the engine takes, in time and in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from service.compute import SMALL_BYTES, SMALL_SECONDS, Compute
from service.compute.estimates import estimated_bytes, estimated_seconds
from service.errors import DeadlineExceededError
from service.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.alone]

_MIB = 2**20
# Peak memory is that of a process, so every measurement has one of its own.
_MEASURE = """
import json, resource, sys, time
import numpy as np
from ccdm_engine import AnalysisOptions, assimilate
from threadpoolctl import threadpool_limits

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

threadpool_limits(1)
members, dx, dy, options = json.load(sys.stdin)
rng = np.random.default_rng(0)
states = rng.standard_normal((members, dx))
simulated = states[:, :1] + rng.standard_normal((members, dy))
options = AnalysisOptions.from_dict(options)
assimilate(states[:5, :1], simulated[:5, :1], np.zeros(1), seed=1)
before, began = peak(), time.process_time()
assimilate(states, simulated, np.zeros(dy), options=options, seed=1)
print(json.dumps([time.process_time() - began, peak() - before]))
"""


class Job(NamedTuple):
    """Sizes and options of an analysis."""

    members: int
    dx: int
    dy: int
    options: dict[str, Any]

    def estimate(self) -> tuple[float, int]:
        """Seconds and bytes."""
        states = np.empty((self.members, self.dx))
        simulated = np.empty((self.members, self.dy))
        return (
            estimated_seconds(states, simulated, self.options),
            estimated_bytes(states, simulated, self.options),
        )

    def measure(self) -> tuple[float, int]:
        """Seconds and bytes."""
        output = subprocess.run(
            [sys.executable, "-c", _MEASURE],
            input=orjson.dumps(tuple(self)),
            check=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        ).stdout
        seconds, peak = orjson.loads(output)
        return float(seconds), int(peak)


def _places(dx: int, dy: int, axes: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "state_coordinates": rng.random((dx, axes)).tolist(),
        "measurement_coordinates": rng.random((dy, axes)).tolist(),
        "radius": 0.2,
    }


LARGE = {
    "many measurements": Job(10, 1, 600, {}),
    "very many measurements": Job(10, 1, 1500, {}),
    "shrunk": Job(10, 2, 1000, {"preconditioner": "shrunk"}),
    "localized measurements": Job(10, 2, 800, {"localization": _places(2, 800, 2)}),
    "localized states": Job(20, 2000, 200, {"localization": _places(2000, 200, 3)}),
    "kernel": Job(600, 2, 2, {"preconditioner": "kernel"}),
    "kernel, many measurements": Job(600, 2, 300, {"preconditioner": "kernel"}),
    "linear": Job(900, 2, 900, {"preconditioner": "linear"}),
    "whitened": Job(1500, 290, 2, {}),
    "whitened on request": Job(500, 450, 3, {"scaling": "whiten"}),
    "selection": Job(10_000, 2, 2, {}),
    "curved relations": Job(1500, 20, 20, {}),
    "many samples at once": Job(
        300, 2, 1, {"sampler": "rk45", "preconditioner": "none", "n_samples": 6000}
    ),
    "reverse diffusion": Job(600, 3, 1, {"sampler": "sde", "preconditioner": "none"}),
    "wide": Job(100, 10_000, 50, {}),
}
# Some arithmetic of every kind, to know how fast this machine is today.
CALIBRATION = Job(2000, 4, 4, {})


@pytest.fixture(scope="module")
def usual_ratio() -> float:
    """Estimated over measured seconds of a job that is estimated well."""
    measured = min(CALIBRATION.measure()[0] for _ in range(2))
    return CALIBRATION.estimate()[0] / measured


@pytest.mark.parametrize("name", LARGE)
def test_estimates_are_not_far_below_the_truth(name: str, usual_ratio: float) -> None:
    seconds, peak = LARGE[name].estimate()
    true_seconds, true_peak = LARGE[name].measure()
    assert seconds / true_seconds > usual_ratio / 5, (seconds, true_seconds)
    assert peak > true_peak / 2, (peak / _MIB, true_peak / _MIB)


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_never_called_small(name: str) -> None:
    seconds, peak = LARGE[name].estimate()
    assert seconds > SMALL_SECONDS or peak > SMALL_BYTES


async def test_many_measurements_end_with_the_deadline() -> None:
    """Few members and one state, but a matrix of all measurements."""
    workers = Compute(Settings(deadline_seconds=1.0, store_url="sqlite:///unused"))
    await workers.start()
    rng = np.random.default_rng(0)
    states, simulated = rng.standard_normal((10, 1)), rng.standard_normal((10, 3500))
    seconds = LARGE["very many measurements"].estimate()[0]
    assert seconds > SMALL_SECONDS  # in a process, as the larger one below
    with pytest.raises(DeadlineExceededError):
        await workers.analyse(states, simulated, np.zeros(3500), {}, 1)
    assert workers.load.running == 0
