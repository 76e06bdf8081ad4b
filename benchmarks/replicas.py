"""Throughput of session cycles: two replicas on two processors, one on one.

Each side has its own Redis, its own proxy and its own clients, all on the processors of
that side: everything on one processor, against everything on two. A replica has one
processor to itself in both cases; clients, Redis and proxy go where there is room.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Client, at_once
from benchmarks.problems import problem
from benchmarks.service import Session, Table
from tests.support.nginx import find_nginx, proxied
from tests.support.redis import RedisServer
from tests.support.servers import Server

CLIENTS = 8
SIZES = ((50, 3), (100, 40), (1000, 40))
HEAD = ("N", "dx", "proxy", "one, cycles/s", "two, cycles/s", "ratio", "spread")


@dataclass(frozen=True)
class Side:
    """One side of the comparison: its processors, and where its clients go."""

    cores: frozenset[int]
    urls: list[str]


def compared(*, short: bool) -> Table:
    """For each size: one replica and two, by turns, and the median of the ratios."""
    rounds, seconds = (1, 2.0) if short else (5, 10.0)
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("two processors are needed, and this machine has one")
    lines: list[list[object]] = []
    for proxy in ("none", *(["nginx"] if find_nginx() else [])):
        with _side(cores[:1], proxy) as one, _side(cores, proxy) as two:
            for members, dimension in SIZES[:1] if short else SIZES:
                pairs = [
                    tuple(_rate(side, members, dimension, seconds) for side in pair)
                    for pair in [(one, two)] * rounds
                ]
                ratios = [second / first for first, second in pairs]
                medians = [
                    statistics.median(rates) for rates in zip(*pairs, strict=True)
                ]
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                ratio = statistics.median(ratios)
                lines.append([members, dimension, proxy, *medians, ratio, spread])
                print(*lines[-1], flush=True)
    return HEAD, lines


def _rate(side: Side, members: int, dimension: int, seconds: float) -> float:
    """Cycles per second of clients with a session each, spread over the addresses."""
    of = problem(members, dimension)
    with _on(side.cores):
        links = [Client(side.urls[i % len(side.urls)]) for i in range(CLIENTS)]
        sessions = [Session(link, of, "npy") for link in links]
        for session in sessions:
            session.cycle()
        begin = time.perf_counter()
        at_once(links, seconds, lambda _, i: sessions[i].cycle())
        took = time.perf_counter() - begin
        for link in links:
            link.close()
    done = sum(session.current for session in sessions) - CLIENTS
    return done / took


@contextmanager
def _on(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread, and what it starts, on these processors."""
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, whole)


@contextmanager
def _side(cores: list[int], proxy: str) -> Iterator[Side]:
    """So many services as there are processors, with all that they need."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with _on(frozenset(cores)):
            redis = stack.enter_context(RedisServer(folder / "redis", appendonly="yes"))
            urls = [_service(stack, folder, redis.url, core) for core in cores]
            if proxy == "nginx":
                # The configuration names two; both may be the same one.
                both = [urls[0], urls[-1]]
                urls = [stack.enter_context(proxied(folder / "nginx", both))]
        yield Side(frozenset(cores), urls)


def _service(stack: ExitStack, folder: Path, url: str, core: int) -> str:
    """The address of a service that has one processor, its workers included."""
    own = folder / f"service-{core}"
    own.mkdir()
    settings = {"STORE_URL": url, "LOG_LEVEL": "warning", "MAX_RUNNING": "1"}
    with _on(frozenset({core})):
        server = Server(own, **settings).start()
    stack.callback(server.stop)
    return server.url
