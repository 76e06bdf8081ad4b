"""A file that cannot grow refuses what is new and keeps what it has acknowledged."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.sessions import Sessions, SessionSpec
from service.stores import StoreFull
from service.stores.sqlite import SqliteStore
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock

MB = 1 << 20
MEMBERS = 4000


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _until_full(sessions: Sessions, sid: str) -> int:
    """Cycles that were acknowledged before the store was full."""
    for k in range(1, 200):
        try:
            await sessions.put_cycle("t", sid, k, *forecast(k, members=MEMBERS))
        except StoreFull:
            return k - 1
    pytest.fail("the store takes everything")


async def _whole(sessions: Sessions, sid: str, cycles: int) -> None:
    """All that was acknowledged is there, and nothing more."""
    assert (await sessions.get("t", sid)).cycle == cycles
    found = await sessions.cycles("t", sid, limit=1000)
    assert [cycle.cycle for cycle in found] == list(range(1, cycles + 1))
    for k in range(1, cycles + 1):
        again = await sessions.put_cycle("t", sid, k, *forecast(k, members=MEMBERS))
        assert again.replayed


async def _opened(path: Path) -> tuple[SqliteStore, Sessions]:
    clock = Clock()
    store = SqliteStore(path, clock=clock)
    await store.open()
    return store, Sessions(store, SmallAnalysis(), clock)


SPEC = SessionSpec(state_dim=3, measurement_dim=2, seed=1, keep_analyses=1000)


async def test_a_limit_on_files_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    store, sessions = await _opened(tmp_path / "s.sqlite")
    sid = (await sessions.create("t", SPEC)).id
    with file_limit(2 * MB):
        done = await _until_full(sessions, sid)
        assert 5 < done < 40
        for _ in range(3):
            with pytest.raises(StoreFull, match="cannot grow"):
                await sessions.put_cycle(
                    "t", sid, done + 1, *forecast(done + 1, members=MEMBERS)
                )
        await _whole(sessions, sid, done)
        await store.close()
    store, sessions = await _opened(tmp_path / "s.sqlite")
    await _whole(sessions, sid, done)
    after = await sessions.put_cycle("t", sid, done + 1, *forecast(0, members=MEMBERS))
    assert not after.replayed
    await store.close()
    db = sqlite3.connect(tmp_path / "s.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of sixteen megabytes, where this user may make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)],
        capture_output=True,
    )
    if not made or made.returncode or not umount:
        pytest.skip("only root makes file systems")
    yield place
    subprocess.run([umount, "-l", str(place)], check=True)


async def test_a_full_disk_loses_nothing_and_deleting_is_the_way_out(
    tiny_disk: Path,
) -> None:
    store, sessions = await _opened(tiny_disk / "s.sqlite")
    old = await sessions.create("t", SPEC)
    for k in range(1, 5):
        await sessions.put_cycle("t", old.id, k, *forecast(k, members=MEMBERS))
    sid = (await sessions.create("t", SPEC)).id
    done = await _until_full(sessions, sid)
    assert done > 3
    await _whole(sessions, sid, done)
    assert (await sessions.get("t", old.id)).cycle == 4
    health = await store.health()
    assert health.ok
    assert any("MiB of disk" in warning for warning in health.warnings)
    # A service that starts on a full disk reads, and deleting is the way out.
    await store.close()
    (tiny_disk / "filler").write_bytes(b"")
    with contextlib.suppress(OSError), (tiny_disk / "filler").open("wb", 0) as filler:
        while filler.write(bytes(4096)):
            pass
    store, sessions = await _opened(tiny_disk / "s.sqlite")
    await _whole(sessions, sid, done)
    with pytest.raises(StoreFull):
        await sessions.create("t", SPEC)
    await sessions.delete("t", old.id)
    assert [item.id for item in (await sessions.list("t"))[0]] == [sid]
    (tiny_disk / "filler").unlink()
    after = await sessions.put_cycle("t", sid, done + 1, *forecast(0, members=MEMBERS))
    assert not after.replayed
    await store.close()
