"""What one cycle costs service and Redis, and what a byte of it does."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.load import Client
from benchmarks.problems import problem
from benchmarks.service import Session, processor_seconds
from service.stored.beneath import Beneath
from service.stored.targets import Target, beside
from tests.support.redis import RedisServer
from tests.support.servers import serving

# Members are moved along a regression: the analysis is the small part.
SHIFT: dict[str, object] = {"preconditioner": "linear", "measurement_bandwidth": "inf"}
SIZES = ((50, 3), (100, 1000))
# Cycles before those that count, until workers have loaded all they need.
WARM = 10


def cycle_seconds(seconds: float) -> dict[str, tuple[float, float]]:
    """Processor seconds of ``service`` and ``redis``: a cycle's own, and a byte's."""
    found: list[tuple[int, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with RedisServer(place / "redis", appendonly="yes") as redis:
            settings = {"STORE_URL": redis.url, "LOG_LEVEL": "warning"}
            with serving(place, **settings) as on:
                for members, dimension in SIZES:
                    client = Client(on.url)
                    of = problem(members, dimension)
                    session = Session(client, of, "npy", SHIFT)
                    for _ in range(WARM):
                        session.cycle()
                    pids = (on.pid, redis.pid)
                    before = [processor_seconds(pid) for pid in pids]
                    end, done = time.perf_counter() + seconds, 0
                    while time.perf_counter() < end:
                        session.cycle()
                        done += 1
                    spent = [
                        (processor_seconds(pid) - start) / done
                        for pid, start in zip(pids, before, strict=True)
                    ]
                    found.append((of.states.nbytes, spent[0], spent[1]))
    (small, *first), (large, *second) = found
    slopes = [
        max(b - a, 0.0) / (large - small) for a, b in zip(first, second, strict=True)
    ]
    return {name: (first[k], slopes[k]) for k, name in enumerate(("service", "redis"))}


def gather_seconds() -> float:
    """Processor seconds to take in and write one byte of a result, digest included."""
    block = np.random.default_rng(1).standard_normal((100, 8192))
    count = 16
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        file = Beneath(Path(folder), ("out.npy",))
        with Target(file, beside(file), count * 8192) as target:
            for begin in range(0, count * 8192, 8192):
                target.put(slice(begin, begin + 8192), block)
        spent = time.process_time() - start
    return spent / (count * block.nbytes)


def machine_memory() -> float:
    """GiB of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
