"""What the SQLite store does to its tables, one function per operation.

Every function that writes expects to be inside a transaction.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from service.stores.codec import seal, unseal
from service.stores.errors import (
    GoneReason,
    QuotaExceeded,
    SessionGone,
    SessionNotFound,
)
from service.stores.places import META, place
from service.stores.protocol import (
    MOST_TOMBSTONES,
    TOMBSTONE_SECONDS,
    Change,
    Loaded,
    Outcome,
    Page,
    PageRoom,
    Quota,
    Usage,
)

# Few, because one of them may have to free hundreds of megabytes.
_SWEEP_ROWS = 8
# Expired sessions of one tenant with a quota whose data stay for a while.
_MOST_EXPIRED = 1000
# What a staged session says in ``gone`` until it is published.
STAGED = "staged"


@dataclass(frozen=True, slots=True)
class Frames:
    """A change, ready to be stored."""

    meta: bytes
    records: list[tuple[str, bytes]]
    blobs: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class _Row:
    key: int
    version: int
    token: str | None
    meta: bytes | None
    expires_at: float
    gone: GoneReason | None
    arrivals: int


def sealed(tenant: str, sid: str, change: Change) -> Frames:
    """Put everything under checksums before the file is locked."""
    return Frames(
        seal(change.meta, place(tenant, sid, META), compress=True),
        [
            (name, seal(data, place(tenant, sid, name), compress=True))
            for name, data in change.records.items()
        ],
        [
            (name, seal(data, place(tenant, sid, name)))
            for name, data in change.blobs.items()
        ],
    )


def load(db: sqlite3.Connection, tenant: str, sid: str, now: float) -> Loaded:
    """The small part of a live session."""
    return _loaded(tenant, sid, live_row(db, tenant, sid, now))


def frame(
    db: sqlite3.Connection,
    table: Literal["records", "blobs", "parts"],
    tenant: str,
    sid: str,
    name: str,
) -> bytes | None:
    """One stored frame, unchecked."""
    found = db.execute(
        f"SELECT frame FROM {table} JOIN sessions ON sessions.id = session "
        "WHERE tenant = ? AND sid = ? AND name = ?",
        (tenant, sid, name),
    ).fetchone()
    return None if found is None else found[0]


def commit(
    db: sqlite3.Connection,
    tenant: str,
    sid: str,
    change: Change,
    frames: Frames,
    now: float,
) -> Outcome:
    """Compare and set."""
    if change.expected_version == 0:
        before = _row(db, tenant, sid)
        if before is not None:
            same = before.token == change.token
            return Outcome.ALREADY if same else Outcome.CONFLICT
        check_quota(db, tenant, change.quota, grown := size(frames), now, new=True)
        key = _insert(db, tenant, sid, change, frames.meta)
        _thin_out(db, tenant)
    else:
        before = live_row(db, tenant, sid, now)
        if before.token == change.token:
            return Outcome.ALREADY
        if before.version != change.expected_version:
            return Outcome.CONFLICT
        key = before.key
        if not _whole(db, key, change):
            return Outcome.PARTED
        grown = size(frames) - _replaced(db, before, change)
        check_quota(db, tenant, change.quota, grown, now)
        db.execute(
            "UPDATE sessions SET version = version + 1, token = ?, meta = ?, "
            "expires_at = ? WHERE id = ?",
            (change.token, frames.meta, change.expires_at, key),
        )
    count(db, key, grown)
    put(db, "records", key, frames.records)
    put(db, "blobs", key, frames.blobs)
    db.executemany(
        "DELETE FROM blobs WHERE session = ? AND name = ?",
        [(key, name) for name in change.drop_blobs],
    )
    if change.drop_parts:
        db.execute("DELETE FROM parts WHERE session = ?", (key,))
    return Outcome.APPLIED


def _whole(db: sqlite3.Connection, key: int, change: Change) -> bool:
    """Whether all parts that a change was made of are still there."""
    if not change.made_of:
        return True
    found = dict(
        db.execute("SELECT name, mark FROM parts WHERE session = ?", (key,)).fetchall()
    )
    return change.made_of.items() <= found.items()


def size(frames: Frames) -> int:
    """Bytes that a change brings."""
    brought = frames.records + frames.blobs
    return len(frames.meta) + sum(len(data) for _, data in brought)


def _replaced(db: sqlite3.Connection, before: _Row, change: Change) -> int:
    """Bytes that a change takes away or replaces."""
    found = len(before.meta or b"")
    for table, names in (
        ("records", [*change.records]),
        ("blobs", [*change.blobs, *change.drop_blobs]),
    ):
        for name in names:
            row = db.execute(
                f"SELECT length(frame) FROM {table} WHERE session = ? AND name = ?",
                (before.key, name),
            ).fetchone()
            found += row[0] if row else 0
    if change.drop_parts:
        (parts,) = db.execute(
            "SELECT coalesce(sum(size), 0) FROM parts WHERE session = ?", (before.key,)
        ).fetchone()
        found += parts
    return found


def count(db: sqlite3.Connection, key: int, grown: int) -> None:
    """Enter how many bytes a session has grown by."""
    db.execute("UPDATE sessions SET bytes = bytes + ? WHERE id = ?", (grown, key))


def usage(db: sqlite3.Connection, tenant: str, now: float) -> Usage:
    """What a tenant keeps in live sessions."""
    found = db.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM sessions "
        "WHERE tenant = ? AND gone IS NULL AND expires_at > ?",
        (tenant, now),
    ).fetchone()
    return Usage(*found)


def check_quota(
    db: sqlite3.Connection,
    tenant: str,
    quota: Quota | None,
    grown: int,
    now: float,
    *,
    new: bool = False,
) -> None:
    """Refuse to go beyond a quota; expired data make room first.

    Args:
        db: the file.
        tenant: whose quota.
        quota: what it may keep.
        grown: bytes that are to come.
        now: seconds since 1970.
        new: whether a session is to come.
    """
    if quota is None or quota == Quota():
        return
    used = usage(db, tenant, now)
    if new and quota.sessions is not None and used.sessions >= quota.sessions:
        raise QuotaExceeded("sessions", quota.sessions, used.sessions)
    if quota.bytes is not None and grown > 0 and used.bytes + grown > quota.bytes:
        raise QuotaExceeded("bytes", quota.bytes, used.bytes)
    if quota.bytes is not None and grown > 0:
        _bury_expired(db, tenant, quota.bytes - used.bytes - grown, now)


def _bury_expired(db: sqlite3.Connection, tenant: str, room: int, now: float) -> None:
    """Leave so many bytes of expired sessions, the latest ones, and not too many."""
    found = db.execute(
        "SELECT id, bytes, expires_at FROM sessions WHERE tenant = ? "
        "AND gone IS NULL AND expires_at <= ? ORDER BY expires_at DESC",
        (tenant, now),
    ).fetchall()
    for nth, (key, size, expires_at) in enumerate(found):
        room -= size
        if room < 0 or nth >= _MOST_EXPIRED:
            _bury(db, key, "expired", expires_at + TOMBSTONE_SECONDS)


def touch(
    db: sqlite3.Connection, tenant: str, sid: str, expires_at: float, now: float
) -> None:
    """Move the expiry further away."""
    key = live_row(db, tenant, sid, now).key
    db.execute(
        "UPDATE sessions SET expires_at = max(expires_at, ?) WHERE id = ?",
        (expires_at, key),
    )


def delete(
    db: sqlite3.Connection,
    tenant: str,
    sid: str,
    expected_version: int | None,
    now: float,
) -> Outcome:
    """Turn a live session into a tombstone."""
    row = live_row(db, tenant, sid, now)
    if expected_version not in (None, row.version):
        return Outcome.CONFLICT
    _bury(db, row.key, "deleted", now + TOMBSTONE_SECONDS)
    return Outcome.APPLIED


def _thin_out(db: sqlite3.Connection, tenant: str) -> None:
    """Forget the oldest tombstones of a tenant that has very many."""
    for reason in ("deleted", "expired"):
        db.execute(
            "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions "
            "WHERE tenant = ? AND gone = ? ORDER BY expires_at DESC LIMIT ? OFFSET ?)",
            (tenant, reason, _SWEEP_ROWS, MOST_TOMBSTONES),
        )


def page(
    db: sqlite3.Connection, tenant: str, after: str | None, room: PageRoom, now: float
) -> Page:
    """One page of live sessions."""
    found = db.execute(
        "SELECT sid, id, version, token, meta, expires_at, gone, arrivals "
        "FROM sessions "
        "WHERE tenant = ? AND sid > ? AND gone IS NULL AND expires_at > ? "
        "ORDER BY sid",
        (tenant, after or "", now),
    )
    sessions: list[tuple[str, Loaded]] = []
    with closing(found):
        for sid, *columns in found:
            loaded = _loaded(tenant, sid, _Row(*columns))
            if not room.take(loaded):
                return Page(sessions, sessions[-1][0])
            sessions.append((sid, loaded))
    return Page(sessions, None)


def sweep(db: sqlite3.Connection, now: float, *, kept: float = 0.0) -> bool:
    """Bury a few expired sessions and forget a few old tombstones.

    Args:
        db: the file.
        now: seconds since 1970.
        kept: for how many seconds after its end the data of a session stay.
    """
    found = db.execute(
        "SELECT id, expires_at, gone FROM sessions WHERE expires_at <= ? "
        "AND (gone IS NOT NULL OR expires_at <= ?) ORDER BY expires_at LIMIT ?",
        (now, now - kept, _SWEEP_ROWS),
    ).fetchall()
    for key, expires_at, gone in found:
        if gone is None:
            _bury(db, key, "expired", expires_at + TOMBSTONE_SECONDS)
        else:
            forget(db, key)
    return bool(found)


def journal_mode(db: sqlite3.Connection) -> str:
    """Read the tables, then say how the file is journalled."""
    db.execute("SELECT version FROM sessions LIMIT 1").fetchone()
    return str(db.execute("PRAGMA journal_mode").fetchone()[0])


def _row(db: sqlite3.Connection, tenant: str, sid: str) -> _Row | None:
    found = db.execute(
        "SELECT id, version, token, meta, expires_at, gone, arrivals FROM sessions "
        "WHERE tenant = ? AND sid = ?",
        (tenant, sid),
    ).fetchone()
    return None if found is None else _Row(*found)


def live_row(db: sqlite3.Connection, tenant: str, sid: str, now: float) -> _Row:
    """The row of a session that is neither deleted nor expired."""
    row = _row(db, tenant, sid)
    if row is None:
        raise SessionNotFound(sid)
    # What the sweep has not reached yet reads as if it had.
    buried = row.gone is not None
    end = row.expires_at if buried else row.expires_at + TOMBSTONE_SECONDS
    if end <= now:
        raise SessionNotFound(sid)
    if row.gone is not None or row.expires_at <= now:
        raise SessionGone(sid, row.gone or "expired")
    return row


def _loaded(tenant: str, sid: str, row: _Row) -> Loaded:
    meta = bytes(unseal(row.meta or b"", place(tenant, sid, META)))
    return Loaded(row.version, meta, row.expires_at, row.arrivals)


def _insert(
    db: sqlite3.Connection, tenant: str, sid: str, change: Change, meta: bytes
) -> int:
    cursor = db.execute(
        "INSERT INTO sessions (tenant, sid, version, token, meta, expires_at) "
        "VALUES (?, ?, 1, ?, ?, ?)",
        (tenant, sid, change.token, meta, change.expires_at),
    )
    return int(cursor.lastrowid or 0)


def put(
    db: sqlite3.Connection,
    table: Literal["records", "blobs"],
    key: int,
    frames: list[tuple[str, bytes]],
) -> None:
    """Add or replace frames of a session."""
    db.executemany(
        f"INSERT OR REPLACE INTO {table} (session, name, frame) VALUES (?, ?, ?)",
        [(key, name, data) for name, data in frames],
    )


def forget(db: sqlite3.Connection, key: int) -> None:
    """Remove a row and all that belongs to it."""
    _empty(db, key)
    db.execute("DELETE FROM sessions WHERE id = ?", (key,))


def _empty(db: sqlite3.Connection, key: int) -> None:
    for table in ("records", "blobs", "parts"):
        db.execute(f"DELETE FROM {table} WHERE session = ?", (key,))


def _bury(db: sqlite3.Connection, key: int, reason: str, until: float) -> None:
    _empty(db, key)
    db.execute(
        "UPDATE sessions SET gone = ?, token = NULL, meta = NULL, bytes = 0, "
        "expires_at = ? "
        "WHERE id = ?",
        (reason, until, key),
    )
