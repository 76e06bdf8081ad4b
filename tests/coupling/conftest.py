"""Services on both stores, some of them two processes on one store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.redis import RedisServer, own_redis, redis_server
from tests.support.servers import PATIENCE, Server, serving
from tests.support.stores import clock, open_another, store, store_url

__all__ = [
    "clock",
    "open_another",
    "own_redis",
    "redis_server",
    "store",
    "store_url",
]

KEYS = "alice:key-of-alice,bob:key-of-bob"
# Short, so that tests see the effect of each.
SETTINGS = {
    "HEARTBEAT_SECONDS": "0.3",
    "MAX_STREAMS": "8",
    "MAX_WAIT_SECONDS": "20",
    "MAX_STAGED_BYTES": "4096",
    "DRAIN_SECONDS": "0.2",
}


@dataclass(frozen=True)
class Pair:
    """Two processes on one store."""

    first: Server
    second: Server

    def clients(self) -> tuple[httpx.Client, httpx.Client]:
        """One client for each, of the tenant ``alice``."""
        headers = {"X-API-Key": "key-of-alice"}
        return (
            httpx.Client(base_url=self.first.url, timeout=PATIENCE, headers=headers),
            httpx.Client(base_url=self.second.url, timeout=PATIENCE, headers=headers),
        )


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two processes on one store, of each kind in turn."""
    folder: Path = tmp_path_factory.mktemp("pair")
    url = f"sqlite:///{folder}/sessions.sqlite"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        url = server.url.replace("/0", "/1")
    with ExitStack() as stack:
        both = []
        for name in ("first", "second"):
            own = folder / name
            own.mkdir()
            settings = {**SETTINGS, "STORE_URL": url, "API_KEYS": KEYS}
            both.append(stack.enter_context(serving(own, **settings)))
        yield Pair(*both)


@pytest.fixture
def both(pair: Pair) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client for each of the two processes."""
    first, second = pair.clients()
    with first, second:
        yield first, second
