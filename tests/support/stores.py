"""Stores under test: both kinds, on a clock that tests can turn."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from service.stores import Change, Quota, Store, open_store
from tests.support.redis import RedisServer

KINDS = ("sqlite", "redis")
OpenStore = Callable[[], Awaitable[Store]]


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """The clock of sessions and stores."""
    return Clock()


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    server: RedisServer = request.getfixturevalue("redis_server")
    with server.client() as client:
        client.flushall()
    return server.url


@pytest.fixture
async def open_another(store_url: str, clock: Clock) -> AsyncIterator[OpenStore]:
    """Opens the same store once more, as another process would."""
    async with AsyncExitStack() as stack:

        async def opened() -> Store:
            store = open_store(store_url, clock=clock)
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield opened


@asynccontextmanager
async def opened(url: str, clock: Clock) -> AsyncIterator[Store]:
    """A store at an address."""
    store = open_store(url, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def own_store(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Store]:
    """A store on a server of its own, ``own_redis``."""
    async with opened(own_redis.url, clock) as store:
        yield store


@pytest.fixture
async def store(open_another: OpenStore) -> Store:
    """An open, empty store, of each kind in turn."""
    return await open_another()


_tokens = iter(range(10**9))


def change(
    expected_version: int,
    meta: bytes = b"{}",
    *,
    expires_at: float,
    token: str | None = None,
    records: dict[str, bytes] | None = None,
    blobs: dict[str, bytes] | None = None,
    drop_blobs: tuple[str, ...] = (),
    quota: Quota | None = None,
) -> Change:
    """A change with a token of its own."""
    return Change(
        expected_version=expected_version,
        token=token or f"token-{next(_tokens)}",
        meta=meta,
        expires_at=expires_at,
        records=records or {},
        blobs=blobs or {},
        drop_blobs=drop_blobs,
        quota=quota,
    )
