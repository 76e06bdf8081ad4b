"""Observations, of their own, that a fault took effect: each a number of times."""

from __future__ import annotations

import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import monotonic, time

import httpx

from reliability.ledger import DIMS
from tests.support.redis import RedisServer

PATIENCE = 30.0


class Watch:
    """Looks again and again for the length of a block.

    Args:
        look: 1 when it saw the fault, else 0.

    Attributes:
        count: how often it saw it.
    """

    def __init__(self, look: Callable[[], int]) -> None:
        self.count = 0
        self._look = look
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while not self._done.is_set():
            self.count += self._look()
            self._done.wait(0.05)


def refused(url: str, slow: float = PATIENCE) -> Watch:
    """New sessions that the service at an address refuses to store, or not in time."""

    def look() -> int:
        began = monotonic()
        try:
            answer = httpx.post(f"{url}/v1/sessions", json=DIMS, timeout=PATIENCE)
        except httpx.HTTPError:
            return 0
        return int(answer.status_code in (503, 507) or monotonic() - began > slow)

    return Watch(look)


def silent(url: str) -> Watch:
    """Probes of the service at an address that are not answered in half a second."""

    def look() -> int:
        try:
            httpx.get(f"{url}/livez", timeout=0.5)
        except httpx.TimeoutException:
            return 1
        except httpx.HTTPError:
            pass
        return 0

    return Watch(look)


def ahead(url: str) -> float:
    """Seconds by which a service's clock is ahead of ours, by the date it answers."""
    date = httpx.get(f"{url}/livez", timeout=PATIENCE).headers["date"]
    return parsedate_to_datetime(date).timestamp() - time()


def told(server: RedisServer, error: str) -> int:
    """How often Redis has answered a command with a kind of error since its start."""
    with server.client() as client:
        found = client.info("errorstats").get(f"errorstat_{error}", {"count": 0})
    return int(found["count"])


def metric(url: str, name: str) -> float:
    """What the service counts."""
    for line in httpx.get(f"{url}/metrics", timeout=PATIENCE).text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise LookupError(f"the service does not count {name}")
