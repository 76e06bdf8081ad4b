"""What happens to sessions when the file is full, locked, shared, foreign or gone."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from service import observed
from service.metrics import Metrics
from service.stores import (
    Outcome,
    SessionGone,
    SessionNotFound,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from service.stores import sqlite as sqlite_store
from service.stores.errors import StoreBusy
from service.stores.sqlite import SqliteStore
from tests.support.stores import Clock, change

MB = 1 << 20
DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of this test."""
    return tmp_path / "store.sqlite"


@asynccontextmanager
async def opened(
    path: Path, clock: Clock, **settings: Any
) -> AsyncIterator[SqliteStore]:
    """A store on a file."""
    store = SqliteStore(path, clock=clock, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def test_a_full_file_leaves_the_old_state_and_a_way_out(
    path: Path, clock: Clock
) -> None:
    async with opened(path, clock, max_bytes=4 * MB) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, b"1", expires_at=end, blobs={"b": b"1"}))
        big = change(0, expires_at=end, blobs={"b": bytes(3 * MB)})
        await store.commit("t", "big", big)
        grown = change(
            1, b"2", expires_at=end, records={"r": b"2"}, blobs={"b": bytes(2 * MB)}
        )
        for _ in range(2):
            with pytest.raises(StoreFull):
                await store.commit("t", "s", grown)
        assert (await store.load("t", "s")).meta == b"1"
        assert await store.blob("t", "s", "b") == b"1"
        assert await store.records("t", "s", ["r"]) == [None]
        await store.delete("t", "big")
        assert await store.commit("t", "s", grown) is Outcome.APPLIED
        assert await store.blob("t", "s", "b") == bytes(2 * MB)


async def test_expired_sessions_make_room_at_once(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.sqlite._SWEEP_EVERY_SECONDS", 1e9)
    async with opened(path, clock, max_bytes=4 * MB) as store:
        big = change(0, expires_at=clock.now + 10, blobs={"b": bytes(3 * MB)})
        await store.commit("t", "big", big)
        clock.advance(11)
        end = clock.now + 600
        more = change(0, expires_at=end, blobs={"b": bytes(3 * MB)})
        assert await store.commit("t", "new", more) is Outcome.APPLIED
        with pytest.raises(SessionGone, match="expired"):
            await store.load("t", "big")


async def test_expired_sessions_are_cleared_away_a_few_at_a_time(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.sqlite._KEPT_SECONDS", 0.0)
    async with opened(path, clock) as store:
        for number in range(20):
            item = change(0, expires_at=clock.now + 10, blobs={"b": bytes(1000)})
            await store.commit("t", f"s{number}", item)
        clock.advance(11)
        cleared = [_left(path)]
        for number in range(12):
            store._swept_at = 0.0
            await store.commit("t", f"n{number}", change(0, expires_at=clock.now + 1e6))
            await store.commit("t", f"m{number}", change(0, expires_at=clock.now + 1e6))
            cleared.append(_left(path))
        assert cleared[0] == 20
        assert cleared[-1] == 0
        assert max(a - b for a, b in itertools.pairwise(cleared)) <= 16
        with pytest.raises(SessionGone, match="expired"):
            await store.load("t", "s3")
        clock.advance(DAY)
        with pytest.raises(SessionNotFound):
            await store.load("t", "s3")
        for number in range(12):
            store._swept_at = 0.0
            await store.touch("t", f"n{number}", clock.now + 1e6)
    with sqlite3.connect(path) as db:
        gone = db.execute("SELECT count(*) FROM sessions WHERE gone IS NOT NULL")
        assert gone.fetchone() == (0,)
    db.close()


def _left(path: Path) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute("SELECT count(*) FROM blobs").fetchone()[0])
    finally:
        db.close()


async def test_commits_are_synced_and_logged_ahead(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:

        def pragmas(db: sqlite3.Connection) -> tuple[Any, ...]:
            names = ("journal_mode", "synchronous")
            return tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)

        full = 2
        assert await store._write(pragmas) == ("wal", full)


async def test_a_file_locked_by_another_process_can_be_read(
    path: Path, clock: Clock
) -> None:
    async with opened(path, clock, busy_seconds=0.2) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, b"1", expires_at=end))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(StoreUnavailable, match="locked") as refused:
                await store.commit("t", "s", change(1, b"2", expires_at=end))
            assert refused.value.retry_after > 0
            assert (await store.load("t", "s")).meta == b"1"
        finally:
            other.close()
        again = change(1, b"2", expires_at=end)
        assert await store.commit("t", "s", again) is Outcome.APPLIED


async def test_a_replaced_file_is_not_written_to(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, b"1", expires_at=end))
        path.rename(path.with_suffix(".away"))
        with pytest.raises(StoreUnavailable):
            await store.commit("t", "s", change(1, b"2", expires_at=end))
        assert not (await store.health()).ok
        path.touch()
        with pytest.raises(StoreUnavailable, match="replaced"):
            await store.commit("t", "s", change(1, b"2", expires_at=end))


def _text(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)


def _later_schema(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("prepare", "error", "words"),
    [
        (_text, StoreCorrupt, "not a store"),
        (_later_schema, StoreUnavailable, "schema 99"),
        (Path.mkdir, StoreUnavailable, "it is a folder"),
    ],
)
async def test_what_is_not_our_file_is_refused(
    path: Path,
    clock: Clock,
    prepare: Callable[[Path], None],
    error: type[Exception],
    words: str,
) -> None:
    prepare(path)
    store = SqliteStore(path, clock=clock)
    with pytest.raises(error, match=words):
        await store.open()


async def test_a_damaged_file_is_reported(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        blobs = {"b": bytes(MB)}
        await store.commit("t", "s", change(0, expires_at=clock.now + 60, blobs=blobs))
    content = bytearray(path.read_bytes())
    content[8192 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 8192)
    path.write_bytes(content)
    async with opened(path, clock) as store:
        with pytest.raises(StoreCorrupt):
            await store.load("t", "s")
            await store.blob("t", "s", "b")


async def test_little_disk_is_reported(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path, clock) as store:
        assert (await store.health()).ok
        monkeypatch.setattr("service.stores.sqlite._LITTLE_DISK_BYTES", 1 << 60)
        (warning,) = (await store.health()).warnings
        assert "MiB of disk" in warning


async def test_given_up_calls_harm_nobody(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, expires_at=end, blobs={"b": bytes(MB)}))
        for version in range(1, 20):
            item = change(version, expires_at=end, blobs={"b": bytes([version]) * MB})
            task = asyncio.create_task(store.commit("t", "s", item))
            await asyncio.sleep(version * 3e-4)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # Whether it was in time or not, sending it again settles it.
            again = await store.commit("t", "s", item)
            assert again in (Outcome.APPLIED, Outcome.ALREADY)
            assert (await store.load("t", "s")).version == version + 1
            assert await store.blob("t", "s", "b") == bytes([version]) * MB


_WRITER = """
import asyncio, sys, time
from pathlib import Path
from service.stores import Change, Outcome, SessionNotFound
from service.stores import sqlite as sqlite_store
from service.stores.errors import StoreBusy
from service.stores.sqlite import SqliteStore

async def main(path, name, rounds):
    store = SqliteStore(Path(path))
    await store.open()
    won = 0
    for step in range(rounds):
        try:
            version = (await store.load("t", "shared")).version
        except SessionNotFound:
            version = 0
        change = Change(
            expected_version=version,
            token=f"{name}-{step}",
            meta=name.encode(),
            expires_at=time.time() + 600,
            records={f"v{version + 1}": name.encode()},
        )
        won += await store.commit("t", "shared", change) is Outcome.APPLIED
        own = Change(step, f"own-{step}", b"%d" % step, time.time() + 600)
        assert await store.commit("t", name, own) is Outcome.APPLIED
    await store.close()
    print(won)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def test_several_processes_share_a_file_from_its_first_moment(
    path: Path, clock: Clock
) -> None:
    rounds = 25
    names = [f"p{number}" for number in range(4)]
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WRITER, str(path), name, str(rounds)),
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for name in names
    ]
    said = await asyncio.gather(*(writer.communicate() for writer in writers))
    assert [writer.returncode for writer in writers] == [0] * 4
    won = {name: int(out) for name, (out, _) in zip(names, said, strict=True)}
    async with opened(path, clock) as store:
        shared = await store.load("t", "shared")
        assert shared.version == sum(won.values()) >= rounds
        versions = [f"v{number}" for number in range(1, shared.version + 1)]
        authors = await store.records("t", "shared", versions)
        assert None not in authors
        for name in names:
            assert authors.count(name.encode()) == won[name]
            assert (await store.load("t", name)).version == rounds


async def test_where_the_file_lies_is_told_to_the_operator_alone(
    path: Path, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path, clock) as store:
        path.rename(tmp_path / "away.sqlite")
        health = await store.health()
        with pytest.raises(StoreUnavailable) as raised:
            await store.load("t", "s")
    for text in (health.detail, str(raised.value), raised.value.detail):
        assert "No such file" in text and str(tmp_path) not in text
    assert str(path) in caplog.text


async def test_writes_to_a_locked_file_wait_in_a_short_queue_and_in_time(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty of them had waited five seconds each, one after the other."""
    monkeypatch.setattr(sqlite_store, "_MOST_WRITES", 3)
    monkeypatch.setattr(observed, "STORE_SECONDS", 0.3)
    async with opened(path, clock) as plain:
        store = observed.observed(plain, Metrics())
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            ends = clock.now + 60
            calls = [
                store.commit("t", f"s{i}", change(0, expires_at=ends)) for i in range(4)
            ]
            began = time.monotonic()
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() < began + 4
            other.rollback()
        assert [type(error) for error in found] == [*3 * [StoreUnavailable], StoreBusy]
        assert "within 0.3 seconds" in str(found[0])
        # Those that had not begun never do.
        assert await plain.commit("t", "s9", change(0, expires_at=ends))
        page = await plain.list("t", after=None, limit=9)
        assert {sid for sid, _ in page.sessions} <= {"s0", "s9"}
