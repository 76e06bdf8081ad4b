"""Saturation: more clients than the service can serve, for as long as asked."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from reliability.probe import Probe
from reliability.processes import ServiceProcess
from tests.support.servers import ROOT

MB = 1 << 20
# Fewer places in the queue than clients, so that some are turned away.
SETTINGS = {"MAX_QUEUED": "32"}
# What is promised: of the probe, and of memory.
LIVEZ_MS = 100.0
GROWTH = 0.05
# Of the probes that were due, how many must have been asked.
ASKED = 0.9


@dataclass
class Load:
    """Figures of one run.

    Attributes:
        store: kind of store; ``clients``: at the same time; ``minutes``: how long.
        requests: answered; ``statuses``: how often each came, or kind of failure.
        per_second: of requests answered with success.
        p50_ms, p99_ms: of these.
        livez: how often the probe was asked, of ``livez_expected`` times that it was
            due; ``livez_failed``: not answered 200.
        livez_p50_ms, livez_p99_ms, livez_max_ms: from when it was due to its answer.
        first_third_mb, second_third_mb, last_third_mb: mean memory of the service and
            its workers, the first without its own first third, in which they warm up.
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
    livez_expected: int = 0
    livez_failed: int = 0
    livez_p50_ms: float = 0.0
    livez_p99_ms: float = 0.0
    livez_max_ms: float = 0.0
    first_third_mb: float = 0.0
    second_third_mb: float = 0.0
    last_third_mb: float = 0.0
    growth: float = 0.0
    memory_mb: list[float] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Answers that are neither success nor "come back later"."""
        fine = {"200", "201", "204", "429", "503"}
        return sum(n for status, n in self.statuses.items() if status not in fine)

    @property
    def kept(self) -> bool:
        """Whether all were served or asked back, the probe at once, in like memory."""
        asked = self.livez > 0 and self.livez >= ASKED * self.livez_expected
        probed = asked and not self.livez_failed and self.livez_p99_ms <= LIVEZ_MS
        return probed and not self.errors and self.growth < GROWTH

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_load(service: ServiceProcess, store: str, clients: int, seconds: float) -> Load:
    """Saturate a running service and watch it."""
    figures = Load(store, clients, round(seconds / 60, 2))
    command = [sys.executable, "-m", "reliability.crowd"]
    command += [service.url, str(clients), str(seconds)]
    probe = Probe(service.port)
    crowd = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        # Not while clients are still being made and the engine is being loaded.
        time.sleep(min(5.0, seconds / 4))
        probe.start()
        memory = _watched(service, crowd, seconds - min(5.0, seconds / 4))
        probe.stop()
        text, _ = crowd.communicate(timeout=200)
    finally:
        crowd.kill()
        crowd.wait()
    _count(figures, json.loads(text), seconds)
    _probed(figures, probe)
    _remember(figures, memory)
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


def _count(figures: Load, seen: dict[str, Any], seconds: float) -> None:
    figures.statuses = dict(sorted(seen["statuses"].items()))
    figures.requests = sum(figures.statuses.values())
    served = sum(n for code, n in figures.statuses.items() if code[:1] == "2")
    figures.per_second = round(served / seconds, 1)
    times = seen["milliseconds"]
    figures.p50_ms, figures.p99_ms = _quantile(times, 50), _quantile(times, 99)


def _probed(figures: Load, probe: Probe) -> None:
    taken = probe.taken or [0.0]
    figures.livez, figures.livez_expected = len(probe.taken), probe.expected
    figures.livez_failed = probe.failed
    figures.livez_p50_ms = _quantile(taken, 50)
    figures.livez_p99_ms = _quantile(taken, 99)
    figures.livez_max_ms = round(max(taken), 1)


def _remember(figures: Load, memory: list[float]) -> None:
    third = len(memory) // 3
    first = statistics.fmean(memory[third // 3 : third])
    second = statistics.fmean(memory[third : 2 * third])
    last = statistics.fmean(memory[2 * third :])
    figures.first_third_mb = round(first, 1)
    figures.second_third_mb, figures.last_third_mb = round(second, 1), round(last, 1)
    figures.growth = round(last / second - 1, 4)
    step = max(1, len(memory) // 20)
    parts = [memory[at : at + step] for at in range(0, len(memory), step)]
    figures.memory_mb = [round(statistics.fmean(part), 1) for part in parts]


def _quantile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)
