"""Parts: put from many sides, dropped by the commit, never mixed up, never lost."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from service.stores import Outcome, SessionGone, SessionNotFound, Store, open_store
from service.stores.protocol import Dropping, Part, PartLimits, Putting
from service.stores.sqlite_schema import _TABLES
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.stores import Clock, OpenStore, change, opened

MANY = PartLimits(1000, 1 << 24)


async def created(store: Store, clock: Clock) -> None:
    """A session ``s`` of tenant ``t`` in version 1."""
    first = change(0, expires_at=clock.now + 60)
    assert await store.commit("t", "s", first) is Outcome.APPLIED


async def put(
    store: Store,
    name: str,
    payload: bytes = b"x",
    mark: str = "m",
    *,
    version: int = 1,
    limits: PartLimits = MANY,
) -> Putting:
    """One part beside the session."""
    part = Part(name, mark, payload, f'{{"of":"{name}"}}'.encode())
    return await store.put_part("t", "s", part, expected_version=version, limits=limits)


async def drop(store: Store, name: str, version: int = 1) -> Dropping:
    """Take one part beside the session away."""
    return await store.drop_part("t", "s", name, expected_version=version)


async def test_parts_are_listed_as_they_came_and_read_back(
    store: Store, clock: Clock
) -> None:
    await created(store, clock)
    large = bytes(range(256)) * 40_000
    assert await put(store, "b", large) is Putting.ADDED
    assert await put(store, "a", b"") is Putting.ADDED
    listed = await store.parts("t", "s")
    assert [(p.name, p.arrival, p.size) for p in listed] == [
        ("b", 1, len(large)),
        ("a", 2, 0),
    ]
    assert await store.parts("t", "s", after=1) == [listed[1]]
    assert await store.parts("t", "s", after=2) == []
    assert [p.info for p in listed] == [b'{"of":"b"}', b'{"of":"a"}']
    found = await store.part_payloads("t", "s", ["a", "none", "b"])
    assert [None if f is None else bytes(f) for f in found] == [b"", None, large]
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.arrivals) == (1, 2)


async def test_the_first_part_of_a_name_stays(store: Store, clock: Clock) -> None:
    await created(store, clock)
    assert await put(store, "a", b"1", "one") is Putting.ADDED
    assert await put(store, "a", b"1", "one") is Putting.SAME
    assert await put(store, "a", b"2", "two") is Putting.OTHER
    assert bytes((await store.part_payloads("t", "s", ["a"]))[0] or b"") == b"1"
    assert (await store.load("t", "s")).arrivals == 1


async def test_a_part_for_another_version_is_refused(
    store: Store, clock: Clock
) -> None:
    await created(store, clock)
    assert await put(store, "a", version=2) is Putting.MOVED
    assert await store.parts("t", "s") == []


async def test_there_is_room_for_so_many_and_no_more(
    store: Store, clock: Clock
) -> None:
    await created(store, clock)
    few = PartLimits(2, 10)
    assert await put(store, "a", b"12345678", limits=few) is Putting.ADDED
    assert await put(store, "b", b"123", limits=few) is Putting.OVERFULL
    assert await put(store, "b", b"12", limits=few) is Putting.ADDED
    assert await put(store, "c", b"", limits=few) is Putting.OVERFULL
    assert await drop(store, "a") is Dropping.APPLIED
    assert await drop(store, "a") is Dropping.ABSENT
    assert await put(store, "c", b"12345678", limits=few) is Putting.ADDED
    # Arrivals are counted up only, so that nobody misses one.
    assert [p.arrival for p in await store.parts("t", "s")] == [2, 3]


async def test_a_commit_drops_parts_only_when_told(store: Store, clock: Clock) -> None:
    await created(store, clock)
    await put(store, "a")
    end = clock.now + 60
    await store.commit("t", "s", change(1, expires_at=end))
    assert len(await store.parts("t", "s")) == 1
    dropping = replace(change(2, expires_at=end), drop_parts=True)
    assert await store.commit("t", "s", dropping) is Outcome.APPLIED
    assert await store.parts("t", "s") == []
    assert await store.part_payloads("t", "s", ["a"]) == [None]
    assert await put(store, "a", b"new", "new", version=3) is Putting.ADDED
    assert [p.arrival for p in await store.parts("t", "s")] == [2]


async def test_a_commit_takes_the_parts_that_it_was_made_of_or_nothing(
    store: Store, clock: Clock
) -> None:
    await created(store, clock)
    for name in ("a", "b", "c"):
        await put(store, name, mark=f"mark {name}")
    whole = replace(
        change(1, b"new", expires_at=clock.now + 60, blobs={"x": b"1"}),
        drop_parts=True,
        made_of={"a": "mark a", "b": "mark b"},
    )
    assert await drop(store, "b") is Dropping.APPLIED
    assert await store.commit("t", "s", whole) is Outcome.PARTED
    await put(store, "b", mark="another mark")
    assert await store.commit("t", "s", whole) is Outcome.PARTED
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.meta) == (1, b"{}")
    assert await store.blob("t", "s", "x") is None
    assert len(await store.parts("t", "s")) == 3
    await drop(store, "b")
    await put(store, "b", mark="mark b")
    assert await store.commit("t", "s", whole) is Outcome.APPLIED
    assert await store.commit("t", "s", whole) is Outcome.ALREADY


async def test_a_part_is_not_taken_back_once_a_commit_has_come_in_between(
    store: Store, clock: Clock
) -> None:
    await created(store, clock)
    await put(store, "a")
    await store.commit("t", "s", change(1, expires_at=clock.now + 60))
    assert await drop(store, "a", version=1) is Dropping.MOVED
    assert len(await store.parts("t", "s")) == 1
    assert await drop(store, "a", version=2) is Dropping.APPLIED


async def test_a_lost_reply_tells_whether_there_was_a_part(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        await created(store, clock)
        await put(store, "a")
        # Each script is known to the server from here on.
        assert await drop(store, "none") is Dropping.ABSENT
        proxy.lose_reply_to = b"EVALSHA"
        assert await drop(store, "none") is Dropping.ABSENT
        proxy.lose_reply_to = b"EVALSHA"
        assert await drop(store, "a") is Dropping.APPLIED
        assert proxy.lost == 2
        assert await store.parts("t", "s") == []


async def test_a_second_try_leaves_what_has_come_anew(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with (
        Proxy(own_redis.port) as proxy,
        opened(proxy.url, clock) as store,
        opened(own_redis.url, clock) as other,
    ):
        await created(store, clock)
        await put(store, "a")
        assert await drop(store, "none") is Dropping.ABSENT
        proxy.lose_reply_to, proxy.shut_after_loss = b"EVALSHA", True

        async def meanwhile() -> None:
            while proxy.lost == 0:
                await asyncio.sleep(0.001)
            try:
                await put(other, "a", b"new", "new")
            finally:
                proxy.gate.set()

        outcome, _ = await asyncio.gather(drop(store, "a"), meanwhile())
        assert outcome is Dropping.APPLIED
        assert [part.mark for part in await store.parts("t", "s")] == ["new"]


async def test_parts_end_with_their_session(store: Store, clock: Clock) -> None:
    with pytest.raises(SessionNotFound):
        await put(store, "a")
    await created(store, clock)
    await put(store, "a")
    await store.delete("t", "s")
    assert await store.parts("t", "s") == []
    for call in (put(store, "b"), drop(store, "a")):
        with pytest.raises(SessionGone):
            await call


async def test_tenants_have_parts_of_their_own(store: Store, clock: Clock) -> None:
    await created(store, clock)
    await put(store, "a")
    assert await store.parts("u", "s") == []
    assert await store.part_payloads("u", "s", ["a"]) == [None]
    with pytest.raises(SessionNotFound):
        await store.drop_part("u", "s", "a", expected_version=1)


async def test_many_writers_at_once_lose_nothing(
    open_another: OpenStore, clock: Clock
) -> None:
    stores = [await open_another() for _ in range(3)]
    await created(stores[0], clock)
    outcomes = await asyncio.gather(
        *(
            put(store, str(i), str(i).encode() * 1000, mark=str(number))
            for i in range(20)
            for number, store in enumerate(stores)
        )
    )
    assert outcomes.count(Putting.ADDED) == 20
    assert outcomes.count(Putting.OTHER) == 40
    listed = await stores[1].parts("t", "s")
    assert [part.arrival for part in listed] == list(range(1, 21))
    assert {part.name for part in listed} == {str(i) for i in range(20)}


async def test_every_key_of_a_part_expires_and_a_touch_keeps_it(
    redis_server: RedisServer, clock: Clock
) -> None:
    with redis_server.client() as client:
        client.flushall()
        store = open_store(redis_server.url, clock=clock)
        await store.open()
        try:
            await created(store, clock)
            await put(store, "a", b"x" * 100)
            keys = [key for key in client.keys("*") if b"part" in key]
            assert len(keys) == 2
            before = [client.pttl(key) for key in keys]
            assert all(0 < each <= (60 + 3600) * 1000 + 1000 for each in before)
            await store.touch("t", "s", clock.now + 600)
            after = [client.pttl(key) for key in keys]
            assert all(b > a + 500_000 for a, b in zip(before, after, strict=True))
            # What is refused leaves nothing behind.
            await put(store, "a", b"y" * 100, "other")
            assert len([key for key in client.keys("*") if b"part" in key]) == 2
            await store.delete("t", "s")
            assert not [key for key in client.keys("*") if b"part" in key]
        finally:
            await store.close()


async def test_a_file_of_the_first_schema_is_taken_over(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    for statement in _TABLES:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    store = open_store(f"sqlite:///{path}", clock=clock)
    await store.open()
    try:
        await created(store, clock)
        assert await put(store, "a") is Putting.ADDED
    finally:
        await store.close()
