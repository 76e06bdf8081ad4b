"""More is asked of Redis at once than there are connections."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from service.stores.breaker import Breaker
from service.stores.errors import StoreBusy
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

    # With as much time as an operation that moves megabytes has.
    busy = [
        asyncio.create_task(link.call(held, moved_bytes=300_000_000))
        for _ in range(CONNECTIONS)
    ]
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
