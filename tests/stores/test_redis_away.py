"""What happens to sessions when Redis is down, silent, or not to be reached."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from service.stores import (
    Store,
    StoreUnavailable,
    open_store,
)
from tests.support.redis import RedisServer, free_port
from tests.support.stores import Clock, change, opened

pytestmark = pytest.mark.alone

MB = 1 << 20


async def _refused_within(
    seconds: float, work: Callable[[], Awaitable[object]]
) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await work()
    assert time.monotonic() - start < seconds
    assert refused.value.retry_after == 2.0


async def test_a_server_that_is_down_is_reported_at_once_and_noticed_when_back(
    own_redis: RedisServer, clock: Clock
) -> None:
    own_redis.configure(appendfsync="always")
    async with opened(own_redis.url, clock) as store:
        begun = change(0, b"1", expires_at=clock.now + 600)
        await store.commit("t", "s", begun)
        own_redis.kill()
        for _ in range(5):
            await _refused_within(1.0, lambda: store.load("t", "s"))
            late = change(1, expires_at=clock.now + 600, blobs={"b": b"x"})
            await _refused_within(1.0, lambda item=late: store.commit("t", "s", item))  # type: ignore[misc]
        assert not (await store.health()).ok
        own_redis.start()
        await _recovered(store)
        assert (await store.load("t", "s")).meta == b"1"
        assert (await store.health()).ok


async def _recovered(store: Store) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            await store.load("t", "s")
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_store_opens_before_its_server(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    url = f"redis://u:secret@127.0.0.1:{port}/0"
    async with opened(url, clock) as store:
        health = await store.health()
        assert (health.ok, health.detail) == (
            False,
            "redis: The session store is not available: Redis does not answer.",
        )
        await _refused_within(1.0, lambda: store.load("t", "s"))
    # The log alone says where, and once.
    told = [text for text in caplog.messages if text.startswith("Redis at")]
    assert told == [f"Redis at redis://u:***@127.0.0.1:{port}/0 does not answer"]


@pytest.mark.slow
async def test_a_server_that_accepts_and_says_nothing_costs_two_seconds(
    clock: Clock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        store = open_store(url, clock=clock)
        start = time.monotonic()
        await store.open()
        for _ in range(3):
            await _refused_within(2.5, lambda: store.load("t", "s"))
        assert time.monotonic() - start > 6.0
        # By now it is not worth waiting for.
        for _ in range(10):
            await _refused_within(0.5, lambda: store.load("t", "s"))
        await store.close()


async def test_an_address_that_swallows_packets_costs_two_seconds(clock: Clock) -> None:
    with socket.socket() as full:
        # A queue of no pending connections, filled: the kernel drops further ones.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        plugs = [socket.socket() for _ in range(3)]
        for plug in plugs:
            plug.setblocking(False)
            plug.connect_ex(full.getsockname())
        async with opened(
            f"redis://127.0.0.1:{full.getsockname()[1]}/0", clock
        ) as store:
            await _refused_within(2.5, lambda: store.load("t", "s"))
        for plug in plugs:
            plug.close()


async def test_a_call_that_was_given_up_does_not_answer_the_next_one(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    blobs = {name: secrets.token_bytes(MB) for name in "abcdef"}
    await own_store.commit("t", "s", change(0, expires_at=end, blobs=blobs))

    async def given_up(name: str, after: float) -> None:
        task = asyncio.create_task(own_store.blob("t", "s", name))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for step in range(40):
        await asyncio.gather(*(given_up(name, step * 2e-4) for name in "abcdef"))
        for name, blob in blobs.items():
            assert await own_store.blob("t", "s", name) == blob
        assert (await own_store.load("t", "s")).version == 1
