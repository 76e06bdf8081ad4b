"""What one cycle costs service and Redis, what a byte of it does, and what idling does.

A cost is a line in the bytes of the ensemble; one size between the others is held out.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import redis

from benchmarks.load import Client
from benchmarks.problems import problem
from benchmarks.processes import processor_seconds
from benchmarks.service import Session
from service.stored.beneath import Beneath
from service.stored.targets import Target, beside
from tests.support.redis import RedisServer
from tests.support.servers import serving

# Members are moved along a regression: the analysis is the small part.
SHIFT: dict[str, object] = {"preconditioner": "linear", "measurement_bandwidth": "inf"}
# N, dx, and whether it is held out.
SIZES = ((50, 3, False), (500, 40, False), (50, 1000, True), (100, 1000, False))
# Cycles before those that count, until workers have loaded all they need.
WARM = 10
# Sessions of each size whose memory is looked at.
HELD = 20
COSTS = ("cycle", "store", "line", "held")


def measure(seconds: float) -> tuple[list[dict[str, Any]], float]:
    """What a cycle and a session cost.

    Args:
        seconds: of cycles, for each size.

    Returns:
        By cost and bytes of an ensemble: processor seconds of the service (``cycle``)
        and of Redis (``store``), bytes on Redis' network line (``line``) and, of a
        session, in its memory (``held``); and seconds of Redis that a process of the
        service takes each second, idle.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with RedisServer(place / "redis", appendonly="yes") as server:
            settings = {"STORE_URL": server.url, "LOG_LEVEL": "warning"}
            with redis.Redis.from_url(server.url) as link:
                alone = _idle(link, seconds)
                with serving(place, **settings) as on:
                    idle = max(_idle(link, seconds) - alone, 0.0)
                    for members, dimension, held in SIZES:
                        size = 8 * members * dimension
                        session = _session(on.url, members, dimension)
                        found = _cycles(session, seconds, on.pid, link)
                        memory = _memory(link)
                        for _ in range(HELD):
                            _session(on.url, members, dimension, cycles=2)
                        found["held"] = (_memory(link) - memory) / HELD
                        rows += [_row(cost, size, found[cost], held) for cost in COSTS]
    return rows, idle


def _idle(link: Any, seconds: float) -> float:
    """What Redis spends each second while nothing is asked of the service."""
    before = _spent(link)
    time.sleep(seconds)
    return (_spent(link) - before) / seconds


def _spent(link: Any) -> float:
    told = link.info("cpu")
    return float(told["used_cpu_sys"]) + float(told["used_cpu_user"])


def _row(cost: str, size: int, value: float, held: bool) -> dict[str, Any]:
    return {"cost": cost, "bytes": size, "measured": value, "held out": held}


def _session(url: str, members: int, dimension: int, cycles: int = WARM) -> Session:
    session = Session(Client(url), problem(members, dimension), "npy", SHIFT)
    for _ in range(cycles):
        session.cycle()
    return session


def _cycles(session: Session, seconds: float, pid: int, link: Any) -> dict[str, float]:
    before = processor_seconds(pid), _spent(link), _crossed(link)
    end, done = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        session.cycle()
        done += 1
    after = processor_seconds(pid), _spent(link), _crossed(link)
    names = ("cycle", "store", "line")
    spent = zip(names, before, after, strict=True)
    return {name: (late - early) / done for name, early, late in spent}


def _crossed(link: Any) -> int:
    told = link.info("stats")
    return int(told["total_net_input_bytes"]) + int(told["total_net_output_bytes"])


def _memory(link: Any) -> int:
    return int(link.info("memory")["used_memory"])


def write_seconds() -> float:
    """Processor seconds to write one byte of a result, digest included."""
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
