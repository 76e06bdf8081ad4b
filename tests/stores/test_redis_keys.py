"""Keys in Redis: which there are, and how long they live."""

from __future__ import annotations

import time

import pytest

from service.stores import (
    Outcome,
    SessionGone,
    Store,
    StoreUnavailable,
)
from service.stores.redis_keys import PIECE_BYTES, Keys
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.stores import Clock, change, opened

DAY = 86_400


async def test_touching_is_one_command_however_many_keys_there_are(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    blobs = {f"b{number}": bytes(10) for number in range(12)}
    begun = change(0, expires_at=clock.now + 600, records={"r": b"1"}, blobs=blobs)
    await own_store.commit("t", "s", begun)
    await own_store.touch("t", "s", clock.now + 700)
    before = own_redis.command_calls()
    await own_store.touch("t", "s", clock.now + 7000)
    after = own_redis.command_calls()
    assert after["evalsha"] - before["evalsha"] == 1
    with own_redis.client() as client:
        keys = list(client.keys("ccdm1:{t:s}*"))
        assert len(keys) == 3 + 12
        assert all(client.ttl(key) > 7000 for key in keys)


async def test_every_key_of_a_session_expires(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 1000
    begun = change(0, expires_at=end, records={"r": b"1"}, blobs={"b": b"1"})
    await own_store.commit("t", "s", begun)
    head = Keys.of("t", "s").head.encode()
    with own_redis.client() as client:
        lives = {key: client.ttl(key) for key in client.keys("ccdm1:{t:s}*")}
    assert len(lives) == 4
    assert 1000 + DAY + 3500 <= lives.pop(head) <= 1000 + DAY + 3600
    # An hour longer than the session, in case it is the clock that is wrong.
    assert all(4500 <= seconds <= 4600 for seconds in lives.values())
    await own_store.delete("t", "s")
    with own_redis.client() as client:
        assert client.keys("ccdm1:{t:s}*") == [head]
        assert 86_000 < client.ttl(head) <= DAY
        assert client.zcard("ccdm1:{t}:sessions") == 0


async def test_pieces_of_a_commit_that_never_comes_expire(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 90_000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.silent = True
        # Large, so that it goes ahead of the script.
        lost = change(1, expires_at=end, blobs={"b": bytes(2 << 20)})
        with pytest.raises(StoreUnavailable):
            await store.commit("t", "s", lost)
    with own_redis.client() as client:
        (piece,) = client.keys("ccdm1:{t:s}:2-*")
        assert 0 < client.ttl(piece) <= 600


async def test_a_lost_race_leaves_no_pieces(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await own_store.commit("t", "s", change(0, expires_at=end, blobs={"b": b"kept"}))
    for expected in (0, 5):
        late = change(expected, expires_at=end, blobs={"b": bytes(PIECE_BYTES * 2)})
        assert await own_store.commit("t", "s", late) is Outcome.CONFLICT
    await own_store.delete("t", "s")
    late = change(1, expires_at=end, blobs={"b": bytes(10)})
    with pytest.raises(SessionGone):
        await own_store.commit("t", "s", late)
    with own_redis.client() as client:
        assert client.keys("ccdm1:{t:s}:*") == []


async def test_pieces_that_vanish_before_the_flip_are_noticed(
    own_redis: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(own_redis.url, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, b"1", expires_at=end))
        # As good as an eviction: the pieces live for a second, the flip is late.
        monkeypatch.setattr("service.stores.redis_blobs.UPLOAD_SECONDS", 1)
        arguments = store._arguments  # type: ignore[attr-defined]

        def late(*given: object) -> object:
            time.sleep(1.3)
            return arguments(*given)

        monkeypatch.setattr(store, "_arguments", late)
        with pytest.raises(StoreUnavailable, match="dropped"):
            large = {"b": bytes(2 << 20)}
            await store.commit("t", "s", change(1, expires_at=end, blobs=large))
        assert (await store.load("t", "s")).version == 1


async def test_pieces_that_nothing_refers_to_are_taken_away(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    blobs = {"old": bytes(2 * PIECE_BYTES), "changed": bytes(2 * PIECE_BYTES)}
    await own_store.commit("t", "s", change(0, expires_at=end, blobs=blobs))
    second = change(1, expires_at=end, blobs={"changed": b"c"}, drop_blobs=("old",))
    await own_store.commit("t", "s", second)
    with own_redis.client() as client:
        assert len(client.keys("ccdm1:{t:s}:1-*")) == 0
        assert len(client.keys("ccdm1:{t:s}:2-*")) == 1


async def test_names_without_a_session_leave_the_list_in_time(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    with own_redis.client() as client:
        client.zadd("ccdm1:{t}:sessions", {f"dead{number}": 0 for number in range(50)})
        for number in range(40):
            item = change(0, expires_at=clock.now + 600)
            await own_store.commit("t", f"s{number}", item)
        assert client.zcard("ccdm1:{t}:sessions") < 40 + 25
        page = await own_store.list("t", after=None, limit=100)
        assert len(page.sessions) == 40
        assert client.zcard("ccdm1:{t}:sessions") == 40
