"""Saturation: more clients than the service can serve, for as long as asked."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from reliability.processes import ServiceProcess
from tests.support.servers import ROOT

MB = 1 << 20
# Fewer places in the queue than clients, so that some are turned away.
SETTINGS = {"MAX_QUEUED": "32"}


@dataclass
class Load:
    """Figures of one run.

    Attributes:
        store: kind of store; ``clients``: at the same time; ``minutes``: how long.
        requests: answered; ``statuses``: how often each came, or kind of failure.
        per_second: of requests answered with success.
        p50_ms, p99_ms: of these.
        livez: how often the probe was asked; ``livez_p50_ms``, ``livez_p99_ms``,
            ``livez_max_ms``: how long it took.
        second_third_mb, last_third_mb: mean memory of the service and its workers.
        growth: of the last third over the second, 0.05 is 5 %.
        memory_mb: means of twenty parts of the run.
    """

    store: str
    clients: int
    minutes: float
    requests: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    livez: int = 0
    livez_p50_ms: float = 0.0
    livez_p99_ms: float = 0.0
    livez_max_ms: float = 0.0
    second_third_mb: float = 0.0
    last_third_mb: float = 0.0
    growth: float = 0.0
    memory_mb: list[float] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Answers that are neither success nor "come back later"."""
        fine = {"200", "201", "204", "429", "503"}
        return sum(n for status, n in self.statuses.items() if status not in fine)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_load(service: ServiceProcess, store: str, clients: int, seconds: float) -> Load:
    """Saturate a running service and watch it."""
    figures = Load(store, clients, round(seconds / 60, 2))
    command = [sys.executable, "-m", "reliability.crowd"]
    command += [service.url, str(clients), str(seconds)]
    done = threading.Event()
    taken: list[float] = []
    probe = threading.Thread(target=_probe, args=(service.port, done, taken))
    crowd = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        # Not while clients are still being made and the engine is being loaded.
        time.sleep(min(5.0, seconds / 4))
        probe.start()
        memory = _watched(service, crowd, seconds - min(5.0, seconds / 4))
        done.set()
        text, _ = crowd.communicate(timeout=200)
    finally:
        done.set()
        crowd.kill()
        crowd.wait()
    probe.join(30)
    _count(figures, json.loads(text), seconds)
    _describe(figures, taken, memory)
    return figures


def _watched(
    service: ServiceProcess, crowd: subprocess.Popen[bytes], seconds: float
) -> list[float]:
    memory = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and crowd.poll() is None:
        memory.append(sum(service.resident_bytes().values()) / MB)
        time.sleep(min(1.0, seconds / 60))
    return memory


def _probe(port: int, done: threading.Event, taken: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not done.wait(0.05):
        began = time.perf_counter()
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()
        taken.append(1000 * (time.perf_counter() - began))
        if answer.status != 200:
            taken.append(60_000.0)
    connection.close()


def _count(figures: Load, seen: dict[str, Any], seconds: float) -> None:
    figures.statuses = dict(sorted(seen["statuses"].items()))
    figures.requests = sum(figures.statuses.values())
    served = sum(n for code, n in figures.statuses.items() if code[:1] == "2")
    figures.per_second = round(served / seconds, 1)
    times = seen["milliseconds"]
    figures.p50_ms, figures.p99_ms = _quantile(times, 50), _quantile(times, 99)


def _describe(figures: Load, taken: list[float], memory: list[float]) -> None:
    figures.livez = len(taken)
    figures.livez_p50_ms, figures.livez_p99_ms = (
        _quantile(taken, 50),
        _quantile(taken, 99),
    )
    figures.livez_max_ms = round(max(taken), 1)
    third = len(memory) // 3
    second = statistics.fmean(memory[third : 2 * third])
    last = statistics.fmean(memory[2 * third :])
    figures.second_third_mb, figures.last_third_mb = round(second, 1), round(last, 1)
    figures.growth = round(last / second - 1, 4)
    step = max(1, len(memory) // 20)
    parts = [memory[at : at + step] for at in range(0, len(memory), step)]
    figures.memory_mb = [round(statistics.fmean(part), 1) for part in parts]


def _quantile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)
