"""The embedded store: one SQLite file, any number of processes on one machine.

All SQLite work happens in threads: one that writes, a few that read. A commit is one
transaction, synced to the disk before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from service.stores import sqlite_rows as rows
from service.stores.codec import unseal
from service.stores.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from service.stores.places import place
from service.stores.protocol import (
    TOMBSTONE_SECONDS,
    Change,
    Loaded,
    Outcome,
    Page,
    PageRoom,
    StoreHealth,
    Usage,
)
from service.stores.sqlite_imports import SqliteImports
from service.stores.sqlite_parts import SqliteParts
from service.stores.sqlite_reserve import Reserve
from service.stores.sqlite_schema import (
    checkpoint,
    connect,
    create_file,
    ensure_schema,
    transaction,
    translated,
)

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

_READERS = 4
# Writes that wait at once, from whom the file is locked away for long.
_MOST_WRITES = 256
_SWEEP_EVERY_SECONDS = 1.0
_LITTLE_DISK_BYTES = 256 << 20
# Data of expired sessions stay for so long, in case it was the clock that was wrong;
# unless the disk is full.
_KEPT_SECONDS = TOMBSTONE_SECONDS
_log = logging.getLogger(__name__)


class SqliteStore(SqliteImports, SqliteParts):
    """Sessions in one SQLite file.

    Args:
        path: the file; it and its folder are created when missing.
        clock: seconds since 1970.
        busy_seconds: how long a write waits for other processes' writes.
        max_bytes: refuse to let the file grow beyond this.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
        max_bytes: int | None = None,
    ) -> None:
        self.path = path.absolute()
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._max_bytes = max_bytes
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._inode = 0
        self._swept_at = 0.0
        self._writes = 0
        self._reserve = Reserve(self.path)

    async def open(self) -> None:
        """Create the file where needed and check that it is ours.

        Raises:
            StoreError: when the file cannot be used at all.
        """
        self._local = threading.local()
        self._writer = ThreadPoolExecutor(1, "ccdm-sqlite-write")
        self._readers = ThreadPoolExecutor(_READERS, "ccdm-sqlite-read")
        try:
            await self._run(self._writer, ensure_schema, create=True)
            await self._run(self._writer, lambda _: self._reserve.fill())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is running and close the file."""
        pools = [pool for pool in (self._writer, self._readers) if pool is not None]
        self._writer = self._readers = None
        for pool in pools:
            await asyncio.to_thread(pool.shutdown)
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    async def health(self) -> StoreHealth:
        """Read from the file and look at the room around it."""
        try:
            mode = await self._read(rows.journal_mode)
        except StoreError as error:
            return StoreHealth(False, f"sqlite: {error}")
        warnings = []
        if mode != "wal":
            warnings.append(
                f"journal mode is {mode!r}: the file seems to be on a network or "
                "read-only file system; put it on a local disk"
            )
        free = shutil.disk_usage(self.path.parent).free
        if free < _LITTLE_DISK_BYTES:
            warnings.append(f"only {free >> 20} MiB of disk are left for sessions")
        return StoreHealth(True, "sqlite", tuple(warnings))

    async def load(self, tenant: str, sid: str) -> Loaded:
        """Version, document and expiry of a live session."""
        now = self._clock()
        return await self._read(lambda db: rows.load(db, tenant, sid, now))

    async def records(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> list[bytes | None]:
        """Records by name; ``None`` where there is none."""

        def read(db: sqlite3.Connection) -> list[bytes | None]:
            frames = [rows.frame(db, "records", tenant, sid, name) for name in names]
            return [
                None
                if frame is None
                else bytes(unseal(frame, place(tenant, sid, name)))
                for name, frame in zip(names, frames, strict=True)
            ]

        return await self._read(read)

    async def blob(self, tenant: str, sid: str, name: str) -> memoryview | None:
        """One blob, its checksum verified; ``None`` when there is none."""

        def read(db: sqlite3.Connection) -> memoryview | None:
            frame = rows.frame(db, "blobs", tenant, sid, name)
            return None if frame is None else unseal(frame, place(tenant, sid, name))

        return await self._read(read)

    async def commit(self, tenant: str, sid: str, change: Change) -> Outcome:
        """Apply a change if the session still has the expected version."""
        now = self._clock()

        def write(db: sqlite3.Connection) -> Outcome:
            frames = rows.sealed(tenant, sid, change)
            with transaction(db):
                return rows.commit(db, tenant, sid, change, frames, now)

        return await self._write(write)

    async def touch(self, tenant: str, sid: str, expires_at: float) -> None:
        """Move the expiry of a live session further away; the version stays."""
        now = self._clock()

        def write(db: sqlite3.Connection) -> None:
            with transaction(db):
                rows.touch(db, tenant, sid, expires_at, now)

        await self._write(write)

    async def delete(
        self, tenant: str, sid: str, *, expected_version: int | None = None
    ) -> Outcome:
        """Remove a live session and leave a tombstone for a day."""
        now = self._clock()

        def write(db: sqlite3.Connection) -> Outcome:
            with transaction(db):
                return rows.delete(db, tenant, sid, expected_version, now)

        return await self._write(write, frees=True)

    async def list(
        self,
        tenant: str,
        *,
        after: str | None,
        limit: int,
        max_bytes: int | None = None,
    ) -> Page:
        """Live sessions of a tenant whose names sort after ``after``."""
        now = self._clock()
        room = PageRoom(limit, max_bytes)
        return await self._read(lambda db: rows.page(db, tenant, after, room, now))

    async def usage(self, tenant: str) -> Usage:
        """What a tenant keeps in live sessions."""
        now = self._clock()
        return await self._read(lambda db: rows.usage(db, tenant, now))

    async def _read(self, work: Work[Result]) -> Result:
        return await self._run(self._readers, work)

    async def _write(self, work: Work[Result], *, frees: bool = False) -> Result:
        try:
            with self._queued():
                result = await self._run(self._writer, work)
        except StoreFull as error:
            result = await self._squeezed(work, error, frees=frees)
        self._sweep_later()
        return result

    @contextlib.contextmanager
    def _queued(self) -> Iterator[None]:
        """One writes, and not too many wait for it."""
        if self._writes >= _MOST_WRITES:
            raise StoreBusy("too many writes wait for their turn", 1.0)
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1

    async def _squeezed(
        self, work: Work[Result], error: StoreFull, *, frees: bool
    ) -> Result:
        """The same work, once there is room; what frees some may use the reserve."""

        def spending(db: sqlite3.Connection) -> Result:
            with self._reserve.spent():
                result = work(db)
                checkpoint(db)
                return result

        for means in (checkpoint, self._make_room):
            with contextlib.suppress(StoreError):
                if await self._run(self._writer, means):
                    return await self._run(self._writer, work)
        if not frees:
            raise error
        return await self._run(self._writer, spending)

    async def _run(
        self,
        pool: ThreadPoolExecutor | None,
        work: Work[Result],
        *,
        create: bool = False,
    ) -> Result:
        if pool is None:
            raise StoreUnavailable("it is closed")

        def job() -> Result:
            try:
                return work(self._connection(create=create))
            except sqlite3.Error as error:
                raise translated(error) from error
            except OSError as error:
                # Where files lie here is nothing for strangers.
                _log.warning("session store: %s: %s", error.strerror, self.path)
                detail = f"its file: {error.strerror}"
                raise StoreUnavailable(detail) from error

        return await asyncio.get_running_loop().run_in_executor(pool, job)

    def _connection(self, *, create: bool) -> sqlite3.Connection:
        """This thread's own connection."""
        if create:
            create_file(self.path)
            self._inode = os.stat(self.path).st_ino
        if os.stat(self.path).st_ino != self._inode:
            # Writing on into a file that has lost its name would acknowledge cycles
            # that no restart could find.
            raise StoreUnavailable("the file was replaced; restart the service")
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = connect(
                self.path, busy_seconds=self._busy_seconds, max_bytes=self._max_bytes
            )
            self._local.connection = found
            with self._guard:
                self._connections.append(found)
        return found

    def _sweep_later(self) -> None:
        """Clear away a few expired sessions, behind the writes that wait already."""
        now = time.monotonic()
        if self._writer is None or now - self._swept_at < _SWEEP_EVERY_SECONDS:
            return
        self._swept_at = now
        self._writer.submit(self._sweep_quietly)

    def _sweep_quietly(self) -> None:
        try:
            if self._sweep(self._connection(create=False)):
                self._swept_at = 0.0
            self._reserve.fill()
        except (sqlite3.Error, OSError, StoreError) as error:
            _log.warning("expired sessions could not be cleared: %s", error)

    def _sweep(self, db: sqlite3.Connection) -> bool:
        """Whether there was anything to clear."""
        with transaction(db):
            return rows.sweep(db, self._clock(), kept=_KEPT_SECONDS)

    def _make_room(self, db: sqlite3.Connection) -> bool:
        """Whether anything that has expired could go at once."""
        with self._reserve.spent():
            with transaction(db):
                swept = rows.sweep(db, self._clock())
            if swept:
                checkpoint(db)
        return swept
