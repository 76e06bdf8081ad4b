"""Whole sessions come in: staged out of sight, and published at once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from service.stores import (
    Loaded,
    Names,
    Outcome,
    SessionGone,
    SessionNotFound,
    Store,
    StoreUnavailable,
)
from service.stores.redis_keys import PIECE_BYTES
from service.stores.sqlite import SqliteStore
from tests.support.redis import RedisServer
from tests.support.stores import Clock, change

RECORDS = {f"cycle/{k}": b'{"k":%d}' % k for k in range(20)}
BLOBS = {"analysis/18": bytes(range(256)) * 20000, "a:b": b"1", "empty": b""}
NAMES = Names(list(RECORDS), list(BLOBS))


async def staged(store: Store, token: str = "one") -> None:
    """A session, in several steps."""
    half = dict(list(RECORDS.items())[:9])
    await store.stage("t", "s", token, records=half, blobs={})
    for name, blob in BLOBS.items():
        await store.stage("t", "s", token, records={}, blobs={name: blob})
    await store.stage("t", "s", token, records=RECORDS, blobs={})


async def whole(store: Store) -> None:
    """All of it is there."""
    names = await store.names("t", "s")
    assert sorted(names.records) == sorted(NAMES.records)
    assert sorted(names.blobs) == sorted(NAMES.blobs)
    found = await store.records("t", "s", NAMES.records)
    assert found == list(RECORDS.values())
    for name, blob in BLOBS.items():
        assert bytes(await store.blob("t", "s", name) or b"") == blob


async def test_a_staged_session_is_seen_once_it_is_published(
    store: Store, clock: Clock
) -> None:
    await staged(store)
    with pytest.raises(SessionNotFound):
        await store.load("t", "s")
    assert (await store.list("t", after=None, limit=9)).sessions == []
    assert (await store.usage("t")).sessions == 0
    loaded = Loaded(20, b"meta" * 500, clock.now + 60, 7)
    assert await store.publish("t", "s", "one", loaded, NAMES) is Outcome.APPLIED
    assert await store.publish("t", "s", "one", loaded, NAMES) is Outcome.ALREADY
    assert await store.load("t", "s") == loaded
    await whole(store)
    page = await store.list("t", after=None, limit=9)
    assert page.sessions == [("s", loaded)]
    usage = await store.usage("t")
    assert usage.sessions == 1
    # It is a session like any other.
    more = change(20, b"m", expires_at=clock.now + 90, drop_blobs=("a:b",))
    assert await store.commit("t", "s", more) is Outcome.APPLIED
    assert (await store.usage("t")).bytes < usage.bytes
    assert await store.delete("t", "s") is Outcome.APPLIED


async def test_what_was_taken_from_one_store_comes_back_out_of_another(
    store: Store, clock: Clock
) -> None:
    begun = change(0, b"1", expires_at=clock.now + 60, records=RECORDS, blobs=BLOBS)
    await store.commit("t", "s", begun)
    await whole(store)
    size = (await store.usage("t")).bytes
    await store.delete("t", "s")
    await staged(store)
    loaded = Loaded(1, b"1", clock.now + 60)
    assert await store.publish("t", "s", "one", loaded, NAMES) is Outcome.APPLIED
    await whole(store)
    assert (await store.usage("t")).bytes == size


async def test_a_live_session_is_not_overwritten(store: Store, clock: Clock) -> None:
    await store.commit("t", "s", change(0, b"mine", expires_at=clock.now + 60))
    await staged(store)
    loaded = Loaded(20, b"theirs", clock.now + 60)
    assert await store.publish("t", "s", "one", loaded, NAMES) is Outcome.CONFLICT
    assert (await store.load("t", "s")).meta == b"mine"
    assert await store.names("t", "s") == Names([], [])
    clock.advance(61)
    with pytest.raises(SessionGone):
        await store.load("t", "s")
    fresh = Loaded(20, b"theirs", clock.now + 60)
    assert await store.publish("t", "s", "one", fresh, NAMES) is Outcome.APPLIED
    await whole(store)


async def test_what_is_incomplete_is_not_published(store: Store, clock: Clock) -> None:
    loaded = Loaded(20, b"m", clock.now + 60)
    with pytest.raises(StoreUnavailable, match="vanished"):
        await store.publish("t", "s", "never", loaded, NAMES)
    await staged(store, "one")
    with pytest.raises(StoreUnavailable, match="vanished"):
        await store.publish("t", "s", "two", loaded, NAMES)
    more = Names([*NAMES.records, "cycle/99"], NAMES.blobs)
    with pytest.raises(StoreUnavailable, match="vanished"):
        await store.publish("t", "s", "one", loaded, more)
    with pytest.raises(SessionNotFound):
        await store.load("t", "s")


async def test_what_is_never_published_vanishes_from_redis(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    await own_store.stage("t", "s", "one", records=RECORDS, blobs=BLOBS)
    with own_redis.client() as client:
        keys = list(client.keys("*"))
        assert len(keys) == 2 + 3 + len(BLOBS["analysis/18"]) // PIECE_BYTES
        assert all(0 < client.ttl(key) <= 6 * 3600 for key in keys)


async def test_what_is_never_published_is_swept_out_of_sqlite(
    tmp_path: Path, clock: Clock
) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", clock=clock)
    await store.open()
    await store.stage("t", "s", "one", records=RECORDS, blobs=BLOBS)
    clock.advance(7 * 3600)
    store._swept_at = 0.0
    await store.commit("t", "x", change(0, expires_at=clock.now + 60))
    await store.close()
    db = sqlite3.connect(tmp_path / "s.sqlite")
    counts = [
        db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("sessions", "records", "blobs")
    ]
    db.close()
    assert counts == [1, 0, 0]
