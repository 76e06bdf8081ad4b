"""The service over HTTP: a process of its own, real stores, one connection a client."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import Client, Times, at_once, body_of
from benchmarks.problems import Problem, problem
from tests.support.redis import RedisServer
from tests.support.servers import Server, serving

Table = tuple[tuple[str, ...], list[list[Any]]]
ACCEPT = {
    "json": "application/json",
    "npy": "application/x-npy",
    "octet-stream": "application/octet-stream",
}
FIXED: dict[str, object] = {
    "preconditioner": "none",
    "state_bandwidth": 0.5,
    "measurement_bandwidth": 1.5,
    "shrink": False,
}
PERCENTILES = ("p50 ms", "p95 ms", "p99 ms")
STAGES = ("queue", "decode", "compute", "store", "encode")
LINE_HEAD = (
    *("N", "dx", "form", *PERCENTILES, *STAGES),
    *("all but compute", "processor ms each"),
)


def everything(*, short: bool) -> dict[str, Table]:
    """All tables, by title."""
    seconds = 0.5 if short else 5.0
    found: dict[str, Table] = {}
    with tempfile.TemporaryDirectory() as folder, _stores(Path(folder)) as stores:
        for kind, url in stores.items():
            own = _fresh(folder, kind)
            with serving(own, STORE_URL=url, LOG_LEVEL="warning") as on:
                if kind == "sqlite":
                    found["One-shot analyses"] = _forms(on, seconds)
                    found["Analyses, N = 50, dx = 3"] = _crowds(on, seconds, short)
                found[f"Session cycles, {kind}"] = _cycles(on, seconds)
                count, patience = (100, 5.0) if short else (10_000, 100.0)
                found[f"Memory over cycles, {kind}"] = _memory(on, count, patience)
    return found


@contextmanager
def _stores(folder: Path) -> Iterator[dict[str, str]]:
    with RedisServer(folder / "redis-data", appendonly="yes") as redis:
        yield {"redis": redis.url, "sqlite": f"sqlite:///{folder}/sessions.sqlite"}


def _fresh(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def _forms(on: Server, seconds: float) -> Table:
    """One client, one-shot, by size and form."""
    lines = []
    for members, dimension in ((50, 3), (100, 40), (1000, 1000)):
        of = problem(members, dimension)
        for form in ACCEPT:
            send = _one_shot(of, form)
            before = processor_seconds(on.pid)
            times, _ = at_once(on.url, 1, seconds, send)
            spent = processor_seconds(on.pid) - before
            lines.append([members, dimension, form, *_line(times, spent)])
    return LINE_HEAD, lines


def _line(times: Times, spent: float) -> list[float]:
    stages = [times.stage(name) for name in STAGES]
    each = 1e3 * spent / len(times.total)
    return [*times.percentiles(), *stages, times.beside("compute"), each]


def _one_shot(of: Problem, form: str) -> Callable[[Client, int], None]:
    return partial(_send, *body_of(of, form, FIXED), accept=ACCEPT[form])


def _send(
    kind: str, body: bytes, client: Client, _: int, accept: str = ACCEPT["npy"]
) -> None:
    client.ask("POST", "/v1/analyses", body, Content_Type=kind, Accept=accept)


def _crowds(on: Server, seconds: float, short: bool) -> Table:
    """More and more clients, while somebody asks whether the service lives."""
    lines = []
    of = problem(50, 3)
    for options in ({}, FIXED):
        kind, body = body_of(of, "npy", options)
        for clients in (1, 16) if short else (1, 4, 16, 64):
            send = partial(_send, kind, body)
            before = processor_seconds(on.pid)
            with _probing(on.url) as probes:
                times, rate = at_once(on.url, clients, seconds, send)
            spent = processor_seconds(on.pid) - before
            model = "fixed" if options else "automatic"
            alive = probes.percentiles()
            each = 1e3 * spent / len(times.total)
            row = [model, clients, rate, *times.percentiles(), each]
            lines.append([*row, alive[0], alive[2]])
    head = ("model", "clients", "analyses/s", *PERCENTILES, "processor ms each")
    return (*head, "/livez p50 ms", "/livez p99 ms"), lines


@contextmanager
def _probing(url: str) -> Iterator[Times]:
    client, stop = Client(url), threading.Event()

    def run() -> None:
        while not stop.is_set():
            client.ask("GET", "/livez")
            stop.wait(0.02)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield client.times
    finally:
        stop.set()
        thread.join()


def _cycles(on: Server, seconds: float) -> Table:
    """One client, one session, cycle after cycle."""
    lines = []
    for members, dimension in ((50, 3), (100, 40)):
        of = problem(members, dimension)
        for form in ACCEPT:
            client = Client(on.url)
            session = Session(client, of, form)
            end = time.perf_counter() + seconds
            client.times = Times()
            before = processor_seconds(on.pid)
            while time.perf_counter() < end:
                session.cycle()
            spent = processor_seconds(on.pid) - before
            lines.append([members, dimension, form, *_line(client.times, spent)])
    return LINE_HEAD, lines


class Session:
    """One session and its client; the forecast is the same at every cycle."""

    def __init__(
        self,
        client: Client,
        of: Problem,
        form: str,
        options: Mapping[str, object] = FIXED,
    ) -> None:
        self._client, self._accept, self._cycle = client, ACCEPT[form], 0
        self._kind, self._body = body_of(of, form, {})
        fields = {
            "state_dim": of.states.shape[1],
            "measurement_dim": of.observation.size,
            "options": dict(options),
            "seed": 1,
        }
        _, content = client.ask(
            "POST",
            "/v1/sessions",
            orjson.dumps(fields),
            Content_Type="application/json",
        )
        self._path = f"/v1/sessions/{orjson.loads(content)['id']}/cycles/"

    @property
    def current(self) -> int:
        """The last cycle that was asked for."""
        return self._cycle

    def cycle(self) -> None:
        """The next one."""
        self._cycle += 1
        self._client.ask(
            "PUT",
            f"{self._path}{self._cycle}",
            self._body,
            Content_Type=self._kind,
            Accept=self._accept,
        )


def _memory(on: Server, cycles: int, patience: float) -> Table:
    """Resident memory of the service while so many cycles go by, if there is time."""
    client = Client(on.url)
    session = Session(client, problem(50, 3), "npy")
    lines: list[list[Any]] = [[0, _resident_mib(on.pid)]]
    end, done = time.perf_counter() + patience, 0
    while done < cycles and time.perf_counter() < end:
        for _ in range(cycles // 5):
            session.cycle()
            done += 1
            if time.perf_counter() > end:
                break
        lines.append([done, _resident_mib(on.pid)])
    return ("cycles", "resident MiB"), lines


def processor_seconds(pid: int) -> float:
    """User and system time of the service and of its workers so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(_ticks(one) for one in (pid, *_children(pid))) / ticks


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0
