"""The SQLite file: its tables, and how a connection to it is set up.

Write-ahead log, so that readers never wait for the writer, and ``synchronous=FULL``,
so that a commit is on the disk before it is acknowledged.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.stores.errors import StoreCorrupt, StoreError, StoreFull, StoreUnavailable

SCHEMA_VERSION = 4

# A row with ``gone`` is a tombstone, or a session that is staged and not published yet;
# its ``expires_at`` is the end of that.
_TABLES = (
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        sid TEXT NOT NULL,
        version INTEGER NOT NULL,
        token TEXT,
        meta BLOB,
        expires_at REAL NOT NULL,
        gone TEXT,
        UNIQUE (tenant, sid)
    )""",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    """CREATE TABLE records (
        session INTEGER NOT NULL REFERENCES sessions (id),
        name TEXT NOT NULL,
        frame BLOB NOT NULL,
        UNIQUE (session, name)
    )""",
    """CREATE TABLE blobs (
        session INTEGER NOT NULL REFERENCES sessions (id),
        name TEXT NOT NULL,
        frame BLOB NOT NULL,
        UNIQUE (session, name)
    )""",
)
# What each later schema adds to the one before; a new file goes through all of them.
_LATER: dict[int, tuple[str, ...]] = {
    2: (
        "ALTER TABLE sessions ADD COLUMN arrivals INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE parts (
            session INTEGER NOT NULL REFERENCES sessions (id),
            name TEXT NOT NULL,
            mark TEXT NOT NULL,
            info BLOB NOT NULL,
            arrival INTEGER NOT NULL,
            size INTEGER NOT NULL,
            frame BLOB NOT NULL,
            UNIQUE (session, name)
        )""",
        # Counting and adding up need not touch the frames.
        "CREATE INDEX parts_by_size ON parts (session, size)",
    ),
    3: (
        # Bytes of a session's document, records and blobs, as they are stored.
        "ALTER TABLE sessions ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
        """UPDATE sessions SET bytes = coalesce(length(meta), 0)
            + (SELECT coalesce(sum(length(frame)), 0) FROM records WHERE session = id)
            + (SELECT coalesce(sum(length(frame)), 0) FROM blobs WHERE session = id)
        """,
        "CREATE INDEX sessions_by_tenant ON sessions (tenant, gone, expires_at, bytes)",
    ),
    4: (
        # And of its parts, without what is stored around them.
        """UPDATE sessions SET bytes = bytes
            + (SELECT coalesce(sum(size), 0) FROM parts WHERE session = id)
        """,
    ),
}
_WAL_LIMIT_BYTES = 64 << 20
# Only ENOSPC is a full disk to SQLite; a quota of the user or a limit on the size of
# files is an error of writing.
_CANNOT_GROW = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)


def create_file(path: Path) -> None:
    """Make an empty file that is its owner's alone, unless there is one.

    Raises:
        StoreUnavailable: where there is a folder.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        if path.is_dir():
            raise StoreUnavailable(
                "it is a folder, wanted a file, such as sessions.sqlite in it"
            ) from None
        return
    os.close(handle)
    # SQLite syncs what is in the file; the name of the file is ours to sync.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(
    path: Path, *, busy_seconds: float, max_bytes: int | None
) -> sqlite3.Connection:
    """A connection in autocommit mode; transactions are begun by name."""
    db = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        _use_wal(db, busy_seconds)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        if max_bytes is not None:
            size = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // size)}")
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection, busy_seconds: float) -> None:
    # The change of mode needs the file for itself and does not wait for it as other
    # statements do, so processes that start together have to wait here.
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def ensure_schema(db: sqlite3.Connection) -> None:
    """Create the tables in a new file, or add what an older one lacks.

    Raises:
        StoreUnavailable: when a newer release has written the file.
    """
    with transaction(db):
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"the file has schema {found}, this release knows {SCHEMA_VERSION}"
            )
        statements: tuple[str, ...] = () if found else _TABLES
        for version in range(max(found, 1) + 1, SCHEMA_VERSION + 1):
            statements += _LATER[version]
        for statement in statements:
            db.execute(statement)
        if statements:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Everything inside happens, or nothing; writers wait for each other here."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk among them, have rolled back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def checkpoint(db: sqlite3.Connection) -> bool:
    """Whether the log ahead is in the file now, and can be used from its beginning."""
    try:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    except sqlite3.OperationalError:
        # The file itself has to grow first, and cannot.
        return False
    return not busy


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection has the file locked."""
    return _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error) -> StoreError:
    """What an error of SQLite means to the caller of a store."""
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("the disk or the file's size limit")
    if getattr(error, "sqlite_errorcode", None) in _CANNOT_GROW:
        return StoreFull("the file cannot grow: a quota, a limit, or a failing disk")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(f"the file is damaged or not a store ({error})")
    if is_busy(error):
        return StoreUnavailable("the file was locked for too long", 1.0)
    return StoreUnavailable(f"SQLite says: {error}")


def _primary(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return 0 if code is None else code & 0xFF
