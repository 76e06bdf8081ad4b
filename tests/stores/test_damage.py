"""Bytes damaged behind a store's back are reported and never handed out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.stores import Store, StoreCorrupt
from service.stores.redis_keys import PIECE_BYTES, Blob, Keys
from tests.support.redis import RedisServer
from tests.support.stores import Clock, change

BLOB = bytes(range(256)) * ((PIECE_BYTES + 5000) // 256)
Damage = Callable[[bytes], bytes]


def flip_first(frame: bytes) -> bytes:
    """One bit of the magic."""
    return bytes([frame[0] ^ 1]) + frame[1:]


def flip_last(frame: bytes) -> bytes:
    """One bit at the end."""
    return frame[:-1] + bytes([frame[-1] ^ 128])


def cut(frame: bytes) -> bytes:
    """The end is missing."""
    return frame[:-1]


def emptied(frame: bytes) -> bytes:
    """Nothing is left."""
    return b""


DAMAGES = [flip_first, flip_last, cut, emptied]


class Behind:
    """Reaches into a store from behind."""

    def __init__(self, url: str, server: RedisServer | None) -> None:
        self._url = url
        self._server = server

    def damage(self, what: str, sid: str, damage: Damage) -> None:
        """Replace ``meta``, the record ``r`` or a part of the blob ``b``."""
        if self._server is None:
            self._damage_file(what, sid, damage)
        else:
            self._damage_keys(self._server, what, sid, damage)

    def _damage_file(self, what: str, sid: str, damage: Damage) -> None:
        table = {"meta": "sessions", "record": "records", "blob": "blobs"}[what]
        column = "meta" if what == "meta" else "frame"
        owner = "id" if what == "meta" else "session"
        db = sqlite3.connect(Path(self._url.removeprefix("sqlite:///")))
        with db:
            (key,) = db.execute(
                "SELECT id FROM sessions WHERE sid = ?", (sid,)
            ).fetchone()
            (frame,) = db.execute(
                f"SELECT {column} FROM {table} WHERE {owner} = ?", (key,)
            ).fetchone()
            db.execute(
                f"UPDATE {table} SET {column} = ? WHERE {owner} = ?",
                (damage(frame), key),
            )
        db.close()

    def _damage_keys(
        self, server: RedisServer, what: str, sid: str, damage: Damage
    ) -> None:
        keys = Keys.of("t", sid)
        with server.client() as client:
            if what == "blob":
                last = self.last_piece(sid)
                client.set(last, damage(client.get(last)))
                return
            key, field = (keys.head, "meta") if what == "meta" else (keys.records, "r")
            client.hset(key, field, damage(client.hget(key, field)))

    def last_piece(self, sid: str) -> str:
        """Key of the last piece of the blob ``b``."""
        assert self._server is not None
        keys = Keys.of("t", sid)
        with self._server.client() as client:
            blob = Blob.parse(client.hget(keys.blobs, "b"))
        return keys.pieces(blob)[-1]


@pytest.fixture
def behind(store_url: str, request: pytest.FixtureRequest) -> Behind:
    """The way into the store of this test."""
    sqlite_file = store_url.startswith("sqlite")
    return Behind(
        store_url, None if sqlite_file else request.getfixturevalue("redis_server")
    )


async def _session(store: Store, clock: Clock, sid: str = "s") -> None:
    begun = change(
        0,
        b"meta " * 200,
        expires_at=clock.now + 60,
        records={"r": b"record " * 200},
        blobs={"b": BLOB + sid.encode()},
    )
    await store.commit("t", sid, begun)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_blob_is_not_handed_out(
    store: Store, clock: Clock, behind: Behind, damage: Damage
) -> None:
    await _session(store, clock)
    assert await store.blob("t", "s", "b") == BLOB + b"s"
    behind.damage("blob", "s", damage)
    with pytest.raises(StoreCorrupt):
        await store.blob("t", "s", "b")


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_record_is_not_handed_out(
    store: Store, clock: Clock, behind: Behind, damage: Damage
) -> None:
    await _session(store, clock)
    behind.damage("record", "s", damage)
    with pytest.raises(StoreCorrupt):
        await store.records("t", "s", ["r"])


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_document_is_not_handed_out(
    store: Store, clock: Clock, behind: Behind, damage: Damage
) -> None:
    await _session(store, clock)
    behind.damage("meta", "s", damage)
    with pytest.raises(StoreCorrupt):
        await store.load("t", "s")


@pytest.mark.parametrize("what", ["meta", "record", "blob"])
async def test_another_sessions_bytes_are_not_handed_out(
    store: Store, clock: Clock, behind: Behind, what: str
) -> None:
    await _session(store, clock, "s")
    await _session(store, clock, "other")
    seen: list[bytes] = []

    def keep(frame: bytes) -> bytes:
        seen.append(frame)
        return frame

    behind.damage(what, "other", keep)
    behind.damage(what, "s", lambda frame: seen[0])
    with pytest.raises(StoreCorrupt):
        await store.load("t", "s")
        await store.records("t", "s", ["r"])
        await store.blob("t", "s", "b")
    await store.load("t", "other")
    assert await store.blob("t", "other", "b") == BLOB + b"other"


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
async def test_a_lost_piece_is_damage(
    store: Store, clock: Clock, behind: Behind, redis_server: RedisServer
) -> None:
    await _session(store, clock)
    with redis_server.client() as client:
        assert client.delete(behind.last_piece("s")) == 1
    with pytest.raises(StoreCorrupt, match="lost a piece"):
        await store.blob("t", "s", "b")


@pytest.mark.parametrize("store_url", ["redis"], indirect=True)
@pytest.mark.parametrize("descriptor", [b"", b"x", b"x:1", b"x:9:100", b"x:-1:-1"])
async def test_a_damaged_descriptor_is_damage(
    store: Store, clock: Clock, redis_server: RedisServer, descriptor: bytes
) -> None:
    await _session(store, clock)
    with redis_server.client() as client:
        client.hset(Keys.of("t", "s").blobs, "b", descriptor)
    with pytest.raises(StoreCorrupt, match="descriptor"):
        await store.blob("t", "s", "b")
