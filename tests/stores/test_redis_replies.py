"""Replies that are lost, late or delivered twice; scripts that are forgotten."""

from __future__ import annotations

import asyncio
import socket

from service.stores import (
    Outcome,
    Store,
)
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.stores import Clock, change, opened

MB = 1 << 20


async def test_scripts_that_were_flushed_are_sent_again(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    with own_redis.client() as client:
        client.script_flush()
        await own_store.commit("t", "s", change(0, b"1", expires_at=end))
        client.script_flush()
        second = change(1, b"2", expires_at=end, blobs={"b": b"2"})
        assert await own_store.commit("t", "s", second) is Outcome.APPLIED
        client.script_flush()
        await own_store.touch("t", "s", end + 5)
        client.script_flush()
        assert await own_store.delete("t", "s", expected_version=2) is Outcome.APPLIED


async def test_a_lost_reply_does_not_look_like_a_conflict(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 600
        for version in range(3):
            proxy.lose_reply_to = b"EVALSHA" if version else b"EVAL"
            item = change(version, b"m%d" % version, expires_at=end, blobs={"b": b"1"})
            assert await store.commit("t", "s", item) in (
                Outcome.ALREADY,
                # The first reply that was lost was that the script is not known.
                Outcome.APPLIED if version == 0 else Outcome.ALREADY,
            )
            assert (await store.load("t", "s")).version == version + 1
            assert await store.blob("t", "s", "b") == b"1"
        proxy.lose_reply_to = b"SET"
        third = change(3, expires_at=end, blobs={"b": bytes(2 * MB)})
        assert await store.commit("t", "s", third) is Outcome.APPLIED
        proxy.lose_reply_to = b"EVALSHA"
        assert await store.delete("t", "s") is Outcome.APPLIED
        assert proxy.lost == 5


async def test_commits_cost_few_round_trips(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, expires_at=end))
        await store.touch("t", "s", end + 1)
        before = proxy.round_trips
        await store.load("t", "s")
        assert proxy.round_trips - before == 1
        grown = change(1, expires_at=end, records={"r": b"1"}, blobs={"b": bytes(9999)})
        await store.commit("t", "s", grown)
        assert proxy.round_trips - before == 2, "its arrays come with the script"
        await store.touch("t", "s", end + 2)
        assert proxy.round_trips - before == 3
        await store.blob("t", "s", "b")
        assert proxy.round_trips - before == 5
        large = change(2, expires_at=end, blobs={"b": bytes(2 * MB)})
        await store.commit("t", "s", large)
        assert proxy.round_trips - before == 7, "large ones are sent ahead of it"


async def test_a_second_try_that_lost_its_race_keeps_what_the_first_has_brought(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with (
        Proxy(own_redis.port) as proxy,
        opened(proxy.url, clock) as store,
        opened(own_redis.url, clock) as other,
    ):
        end = clock.now + 6000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.lose_reply_to, proxy.shut_after_loss = b"EVALSHA", True

        async def meanwhile() -> Outcome:
            while proxy.lost == 0:
                await asyncio.sleep(0.001)
            try:
                return await other.commit("t", "s", change(2, expires_at=end))
            finally:
                proxy.gate.set()

        item = change(1, expires_at=end, blobs={"b": bytes(100)})
        outcomes = await asyncio.gather(store.commit("t", "s", item), meanwhile())
        # That its first try has succeeded cannot be seen any more.
        assert outcomes == [Outcome.CONFLICT, Outcome.APPLIED]
        assert (await store.load("t", "s")).version == 3
        assert await store.blob("t", "s", "b") == bytes(100)


async def test_what_is_delivered_late_does_not_shorten_lives(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 6000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.heard.clear()
        item = change(1, expires_at=end, blobs={"b": bytes(100)})
        await store.commit("t", "s", item)
        assert await store.commit("t", "s", item) is Outcome.ALREADY
        said = bytes(proxy.heard)
    assert said.count(b"SET") == 2
    with socket.create_connection(("127.0.0.1", own_redis.port)) as late:
        late.sendall(said)
        late.settimeout(5)
        assert late.recv(1000)
    with own_redis.client() as client:
        (piece,) = client.keys("ccdm1:{t:s}:2-*")
        assert client.ttl(piece) > 5000
