"""More is asked of Redis at once than there are connections."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from service.stores.breaker import Breaker
from service.stores.errors import StoreBusy, StoreUnavailable
from service.stores.redis_link import Client, RedisLink, ask
from tests.support.redis import RedisServer

CONNECTIONS = 32


async def test_waiting_for_a_connection_is_no_failure_of_the_server(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.redis_link.TURN_SECONDS", 0.2)
    breaker = Breaker()
    link = RedisLink(redis_server.url, breaker)
    key = f"turns:{secrets.token_hex(8)}"

    async def held(client: Client, number: int) -> object:
        return await ask(client, "BLPOP", key, 0)

    async def short(client: Client, number: int) -> object:
        return await ask(client, "PING")

    monkeypatch.setattr("service.stores.redis_link.ANSWER_SECONDS", 30.0)
    busy = [asyncio.create_task(link.call(held)) for _ in range(CONNECTIONS)]
    try:
        await asyncio.sleep(0.1)
        for _ in range(4):
            with pytest.raises(StoreBusy):
                await link.call(short)
        assert not breaker.is_open
    finally:
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
    # Every turn was given back.
    assert await asyncio.gather(*(link.call(short) for _ in range(2 * CONNECTIONS)))
    await link.close()


async def test_megabytes_wait_for_each_other_and_are_no_failure_of_the_server(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight slow readers of one large analysis had timed each other out."""
    monkeypatch.setattr("service.stores.redis_link.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("service.stores.redis_link.BYTES_PER_SECOND", 40e6)
    breaker = Breaker()
    link = RedisLink(redis_server.url, breaker)
    under_way = most = 0

    async def slow(client: Client, number: int) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            # As it would be with one line for all of them.
            await asyncio.sleep(0.1 * under_way)
            return await ask(client, "PING")
        finally:
            under_way -= 1

    moved = 4 << 20
    readers = (link.call(slow, moved_bytes=moved) for _ in range(8))
    assert all(await asyncio.gather(*readers)) and most == 2

    async def never(client: Client, number: int) -> object:
        return await asyncio.Event().wait()

    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            await link.call(never, moved_bytes=moved)
    assert not breaker.is_open
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            await link.call(never)
    assert breaker.is_open
    await link.close()


async def test_who_waits_too_long_to_move_megabytes_is_told_so(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.redis_link.LARGE_TURN_SECONDS", 0.1)
    link = RedisLink(redis_server.url)
    let = asyncio.Event()

    async def held(client: Client, number: int) -> object:
        return await let.wait()

    busy = [asyncio.create_task(link.call(held, moved_bytes=8 << 20)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreBusy):
        await link.call(held, moved_bytes=8 << 20)
    let.set()
    assert await asyncio.gather(*busy) == [True, True]
    await link.close()
