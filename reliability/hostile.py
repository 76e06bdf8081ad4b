"""Attacks on a service beside a client that behaves, with its memory watched.

The limit of a process is stated, not fitted: the service may hold ``max_held_bytes`` of
bodies over what it takes when idle, a worker ``max_memory_bytes``. What each was seen
to take stays under twice that. Nor is the time that others wait: ``OTHERS_MS`` at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx

from reliability.attacks import ATTACKS, Attack
from reliability.ledger import DIMS, OPTIONS, Account
from reliability.processes import ServiceProcess
from service.client import Client, ClientError

MB = 1 << 20
# Small, so that a run takes seconds where the defaults would take minutes.
SETTINGS = {
    "MAX_BODY_BYTES": str(16 * MB),
    "MAX_HELD_BYTES": str(64 * MB),
    "MAX_MEMORY_BYTES": str(256 * MB),
}
HELD = 64 * MB
# A cycle of the client beside it, or the probe: generous, as all share the processors.
OTHERS_MS = 5000.0


@dataclass
class Hostile:
    """Figures of one attack.

    Attributes:
        attack: in words.
        answers: how often each status came; 0 is a connection closed without one, -1
            one that was neither answered nor closed in its time.
        service_mb, worker_mb: most memory of the service, and of its largest worker.
        limit_mb: what is stated for the service.
        others: calls of the client beside it; ``failed``: of these.
        slowest_ms: the longest that one of these took.
        livez_ms: the longest that the probe took.
        seconds: how long the attack took.
    """

    attack: str
    answers: dict[int, int] = field(default_factory=dict)
    service_mb: float = 0.0
    worker_mb: float = 0.0
    limit_mb: float = 0.0
    others: int = 0
    failed: int = 0
    slowest_ms: float = 0.0
    livez_ms: float = 0.0
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Answers 500 and above but for 501, 503 and 505, which say what they mean."""
        return sum(
            count
            for status, count in self.answers.items()
            if status >= 500 and status not in (501, 503, 505)
        )

    @property
    def withstood(self) -> bool:
        """Whether each was answered or cut off, in bounds, and all others served."""
        within = self.service_mb < 2 * self.limit_mb and self.worker_mb < 2 * 768
        handled = bool(self.answers) and not self.errors and not self.answers.get(-1)
        prompt = max(self.slowest_ms, self.livez_ms) <= OTHERS_MS
        return within and handled and prompt and bool(self.others) and not self.failed

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Bystander:
    """A client that cycles a session and asks the probe, and watches memory."""

    def __init__(self, service: ServiceProcess) -> None:
        self.row = Hostile("")
        self._service = service
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._cycle, self._probe, self._watch)
        ]

    def __enter__(self) -> Bystander:
        """Begin, and wait for the first answers."""
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + 60
        while not self.row.others and time.monotonic() < end:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what is under way."""
        self._done.set()
        for thread in self._threads:
            thread.join(60)
            # One that still waits has not said how long.
            self.row.failed += thread.is_alive()

    def _cycle(self) -> None:
        with Client(self._service.url) as client:
            account = Account(1)
            session = client.create_session(**DIMS, options=OPTIONS)
            while not self._done.is_set():
                began = time.monotonic()
                cycle = session.current_cycle + 1
                try:
                    session.cycle(*account.forecast(cycle), number=cycle)
                except ClientError:
                    self.row.failed += 1
                self.row.others += 1
                spent = 1000 * (time.monotonic() - began)
                self.row.slowest_ms = round(max(self.row.slowest_ms, spent), 1)
                self._done.wait(0.02)

    def _probe(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=30) as client:
            while not self._done.is_set():
                began = time.monotonic()
                try:
                    self.row.failed += client.get("/livez").status_code != 200
                except httpx.HTTPError:
                    self.row.failed += 1
                spent = 1000 * (time.monotonic() - began)
                self.row.livez_ms = round(max(self.row.livez_ms, spent), 1)
                self._done.wait(0.02)

    def _watch(self) -> None:
        row = self.row
        while not self._done.is_set():
            taken = self._service.resident_bytes()
            own = taken.pop(self._service.pid, 0) / MB
            row.service_mb = round(max(row.service_mb, own), 1)
            workers = max(taken.values(), default=0) / MB
            row.worker_mb = round(max(row.worker_mb, workers), 1)
            self._done.wait(0.05)


def run_hostile(
    folder: Path, times: int, attacks: Iterable[Attack] = ATTACKS, seconds: float = 3.0
) -> list[Hostile]:
    """Each attack in turn against one service, so that what one leaves is seen.

    Args:
        folder: for its store and log.
        times: how often what an attack sends is repeated.
        attacks: which.
        seconds: that the service waits for a head, a body, or a reader.
    """
    rows = []
    waits = ("BODY_SECONDS", "HEAD_SECONDS", "STALL_SECONDS", "ANSWER_SECONDS")
    settings = SETTINGS | {name: str(seconds) for name in waits}
    with ServiceProcess(folder, settings=settings) as service:
        with Bystander(service):
            time.sleep(1.0)
        idle = service.resident_bytes()[service.pid]
        for attack in attacks:
            began = time.monotonic()
            with Bystander(service) as bystander:
                answers = attack(service.port, times)
            row = bystander.row
            row.attack = (attack.__doc__ or "").strip()
            row.answers = dict(sorted(answers.items()))
            row.limit_mb = round((idle + HELD) / MB, 1)
            row.seconds = round(time.monotonic() - began, 1)
            rows.append(row)
            print(row, flush=True)
    return rows
