"""The service over HTTP: a process of its own, real stores, one connection a client."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import Client, Crowd, Times, at_once, body_of, prepared
from benchmarks.problems import Problem, problem
from benchmarks.processes import processor_seconds, resident_mib
from tests.support.redis import RedisServer
from tests.support.servers import Server, serving

Table = tuple[tuple[str, ...], list[list[Any]]]
Options = Mapping[str, object]
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
# Next to no engine: what remains is the way there and back.
EXACT: dict[str, object] = {**FIXED, "sampler": "exact"}
MODELS: dict[str, Options] = {"automatic": {}, "fixed": FIXED}
# N, dx, options, forms; a median of fewer requests than these says little.
FEWEST = 30
ONE_SHOTS: Sequence[tuple[int, int, Options, tuple[str, ...]]] = (
    (50, 3, FIXED, tuple(ACCEPT)),
    (100, 40, FIXED, tuple(ACCEPT)),
    (1000, 1000, EXACT, tuple(ACCEPT)),
    (1000, 1000, FIXED, ("npy",)),
)
CROWDS = (1, 4, 16, 64)
JSON_CLIENTS = 16
LOG_LEVEL = "warning"
PERCENTILES = ("p50 ms", "p95 ms", "p99 ms")
STAGES = ("queue", "decode", "compute", "engine", "store", "encode")
SPENT = ("processor ms each", "clients' ms each")
LINE_HEAD = (
    *("N", "dx", "sampler", "form", "requests", *PERCENTILES, *STAGES),
    *("all but the engine", *SPENT),
)
CROWD_HEAD = (
    *("model", "form", "clients", "a second", *PERCENTILES, *SPENT),
    *("/livez p50 ms", "/livez p99 ms"),
)
Step = Callable[[Client, int], None]


def everything(*, short: bool) -> dict[str, Table]:
    """All tables, by title."""
    seconds = 0.5 if short else 4.0
    clients = (1, 16) if short else CROWDS
    count, patience = (100, 5.0) if short else (10_000, 100.0)
    found: dict[str, Table] = {}
    with tempfile.TemporaryDirectory() as folder, _stores(Path(folder)) as stores:
        for kind, url in stores.items():
            own = _fresh(folder, kind)
            with serving(own, STORE_URL=url, LOG_LEVEL=LOG_LEVEL) as on:
                if kind == "sqlite":
                    found["One-shot analyses"] = forms(
                        on, seconds, ONE_SHOTS[:2] if short else ONE_SHOTS
                    )
                    found["Analyses, N = 50, dx = 3"] = crowds(on, seconds, clients)
                found[f"Session cycles, {kind}"] = cycles(on, seconds)
                title = f"Session cycles of many clients, {kind}, N = 50, dx = 3"
                found[title] = cycle_crowds(on, seconds, clients)
                title = f"Memory over cycles, {kind}"
                found[title] = memory(on, count, patience)
        own = _fresh(folder, "two")
        with _two_processes(own) as on:
            title = "Analyses, N = 50, dx = 3, `ccdm serve --workers 2`, SQLite"
            found[title] = crowds(on, seconds, clients[-2:], forms=("npy",))
    return found


@contextmanager
def _stores(folder: Path) -> Iterator[dict[str, str]]:
    with RedisServer(folder / "redis-data", appendonly="yes") as redis:
        yield {"redis": redis.url, "sqlite": f"sqlite:///{folder}/sessions.sqlite"}


def _fresh(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


@contextmanager
def _two_processes(folder: Path) -> Iterator[Server]:
    server = Server(folder, LOG_LEVEL=LOG_LEVEL).start("--workers", "2")
    try:
        yield server
    finally:
        server.stop()


def forms(
    on: Server,
    seconds: float,
    sizes: Sequence[tuple[int, int, Options, tuple[str, ...]]] = ONE_SHOTS,
    fewest: int = FEWEST,
) -> Table:
    """One client, one-shot, by size and form; so many requests at least."""
    lines = []
    for members, dimension, options, wanted in sizes:
        of = problem(members, dimension)
        for form in wanted:
            with _clients(on.url, 1) as links:
                send = one_shot(of, form, options)
                send(links[0], 0)  # workers and engine are warm
                crowd, spent = _measured(on, links, seconds, send, fewest)
            sampler = str(options.get("sampler", "ode"))
            start = [members, dimension, sampler, form]
            lines.append([*start, *_line(crowd, spent)])
    return LINE_HEAD, lines


def _measured(
    on: Server, links: list[Client], seconds: float, work: Step, fewest: int = 1
) -> tuple[Crowd, float]:
    """What clients met, and processor seconds of the service meanwhile."""
    before = processor_seconds(on.pid)
    crowd = at_once(links, seconds, work, fewest)
    return crowd, processor_seconds(on.pid) - before


def _line(crowd: Crowd, spent: float) -> list[Any]:
    times, count = crowd.times, len(crowd.times.total)
    stages = [times.stage(name) for name in STAGES]
    each = [1e3 * spent / count, 1e3 * crowd.spent / count]
    return [count, *times.percentiles(), *stages, times.beside("engine"), *each]


@contextmanager
def _clients(url: str, count: int) -> Iterator[list[Client]]:
    links = [Client(url) for _ in range(count)]
    try:
        yield links
    finally:
        for link in links:
            link.close()


def one_shot(of: Problem, form: str, options: Options) -> Step:
    """What a client does who asks for one analysis after the other."""
    kind, body = body_of(of, form, dict(options))
    request = prepared("POST", body, Content_Type=kind, Accept=ACCEPT[form])
    return lambda client, _: client.send(request, "/v1/analyses")


def crowds(
    on: Server,
    seconds: float,
    clients: Sequence[int] = CROWDS,
    forms: Sequence[str] = ("npy", "json"),
) -> Table:
    """More and more clients, while somebody asks whether the service lives."""
    of = problem(50, 3)
    lines = []
    for model, options in MODELS.items():
        for form in forms:
            send = one_shot(of, form, options)
            for count in _counts(form, clients):
                with _clients(on.url, count) as links:
                    line = _crowd(on, links, seconds, send)
                lines.append([model, form, count, *line])
    return CROWD_HEAD, lines


def cycle_crowds(on: Server, seconds: float, clients: Sequence[int] = CROWDS) -> Table:
    """The same with a session for each client, cycle after cycle."""
    of = problem(50, 3)
    lines = []
    for form in ("npy", "json"):
        for count in _counts(form, clients):
            with _clients(on.url, count) as links:
                sessions = [Session(link, of, form) for link in links]
                step = partial(_next, sessions)
                line = _crowd(on, links, seconds, step)
            lines.append(["fixed", form, count, *line])
    return CROWD_HEAD, lines


def _next(sessions: list[Session], _: Client, place: int) -> None:
    sessions[place].cycle()


def _counts(form: str, clients: Sequence[int]) -> Sequence[int]:
    """JSON where there are some clients, which is enough to compare it."""
    if form == "npy":
        return clients
    return [count for count in clients if count == JSON_CLIENTS] or clients[-1:]


def _crowd(on: Server, links: list[Client], seconds: float, work: Step) -> list[float]:
    # Until every process has loaded what it needs.
    at_once(links, seconds / 4, work)
    with _probing(on.url) as probes:
        crowd, spent = _measured(on, links, seconds, work)
    count = len(crowd.times.total)
    each = [1e3 * spent / count, 1e3 * crowd.spent / count]
    alive = probes.percentiles()
    return [crowd.rate, *crowd.times.percentiles(), *each, alive[0], alive[2]]


@contextmanager
def _probing(url: str) -> Iterator[Times]:
    client, stop = Client(url), threading.Event()

    def run() -> None:
        while True:
            client.ask("GET", "/livez")
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield client.times
    finally:
        stop.set()
        thread.join()
        client.close()


def cycles(
    on: Server,
    seconds: float,
    sizes: Sequence[tuple[int, int]] = ((50, 3), (100, 40)),
    fewest: int = FEWEST,
) -> Table:
    """One client, one session, cycle after cycle."""
    lines = []
    for members, dimension in sizes:
        of = problem(members, dimension)
        for form in ACCEPT:
            with _clients(on.url, 1) as links:
                sessions = [Session(links[0], of, form)]
                sessions[0].cycle()
                step = partial(_next, sessions)
                crowd, spent = _measured(on, links, seconds, step, fewest)
            lines.append([members, dimension, "ode", form, *_line(crowd, spent)])
    return LINE_HEAD, lines


class Session:
    """One session and its client; the forecast is the same at every cycle."""

    def __init__(
        self,
        client: Client,
        of: Problem,
        form: str,
        options: Options = FIXED,
    ) -> None:
        self._client, self._cycle = client, 0
        kind, body = body_of(of, form, {})
        self._request = prepared("PUT", body, Content_Type=kind, Accept=ACCEPT[form])
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
        self._client.send(self._request, f"{self._path}{self._cycle}")


def memory(on: Server, cycles: int, patience: float) -> Table:
    """Resident memory of the service while so many cycles go by, if there is time."""
    lines: list[list[Any]] = []
    with _clients(on.url, 1) as links:
        session = Session(links[0], problem(50, 3), "npy")
        end, done = time.perf_counter() + patience, 0
        lines.append([0, *resident_mib(on.pid)])
        while done < cycles and time.perf_counter() < end:
            for _ in range(cycles // 5):
                session.cycle()
                done += 1
                if time.perf_counter() > end:
                    break
            lines.append([done, *resident_mib(on.pid)])
    return ("cycles", "service, MiB", "its child processes, MiB"), lines
