"""Sessions that come into SQLite from elsewhere: staged in parts, published at once.

A staged session is a row under a name that no session has; publishing renames it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from service.stores import sqlite_rows as rows
from service.stores.codec import seal
from service.stores.errors import StoreUnavailable
from service.stores.places import META, place
from service.stores.protocol import Change, Loaded, Names, Outcome
from service.stores.sqlite_schema import transaction

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

# What is never published is swept away after this.
_STAGED_SECONDS = 6 * 3600.0


class SqliteImports:
    """The methods of the store that are about moving whole sessions."""

    _clock: Callable[[], float]

    async def _read(self, work: Work[Result]) -> Result:
        raise NotImplementedError

    async def _write(self, work: Work[Result], *, frees: bool = False) -> Result:
        raise NotImplementedError

    async def names(self, tenant: str, sid: str) -> Names:
        """Names of all records and blobs of a session; none where there is none."""

        def read(db: sqlite3.Connection) -> Names:
            found = [
                db.execute(
                    f"SELECT name FROM {table} JOIN sessions ON sessions.id = session "
                    "WHERE tenant = ? AND sid = ?",
                    (tenant, sid),
                ).fetchall()
                for table in ("records", "blobs")
            ]
            return Names(*([name for (name,) in names] for names in found))

        return await self._read(read)

    async def stage(
        self,
        tenant: str,
        sid: str,
        token: str,
        *,
        records: Mapping[str, bytes],
        blobs: Mapping[str, bytes],
    ) -> None:
        """Put parts of a session that comes from elsewhere aside, for ``publish``."""
        end = self._clock() + _STAGED_SECONDS
        change = Change(0, token, b"", end, records, blobs)

        def write(db: sqlite3.Connection) -> None:
            frames = rows.sealed(tenant, sid, change)
            with transaction(db):
                db.execute(
                    "INSERT INTO sessions (tenant, sid, version, expires_at, gone) "
                    "VALUES (?, ?, 0, ?, ?) ON CONFLICT DO UPDATE SET expires_at = ?",
                    (tenant, _aside(sid, token), end, rows.STAGED, end),
                )
                key = _staged_key(db, tenant, sid, token)
                rows.put(db, "records", key, frames.records)
                rows.put(db, "blobs", key, frames.blobs)

        await self._write(write)

    async def publish(
        self, tenant: str, sid: str, token: str, loaded: Loaded, staged: Names
    ) -> Outcome:
        """Make all that was staged under a token a live session, at once."""
        now = self._clock()
        meta = seal(loaded.meta, place(tenant, sid, META), compress=True)

        def write(db: sqlite3.Connection) -> Outcome:
            with transaction(db):
                return _publish(db, tenant, sid, token, loaded, meta, staged, now)

        return await self._write(write)


def _publish(
    db: sqlite3.Connection,
    tenant: str,
    sid: str,
    token: str,
    loaded: Loaded,
    meta: bytes,
    staged: Names,
    now: float,
) -> Outcome:
    found = db.execute(
        "SELECT id, token, gone IS NULL AND expires_at > ? FROM sessions "
        "WHERE tenant = ? AND sid = ?",
        (now, tenant, sid),
    ).fetchone()
    if found is not None:
        old, known, live = found
        if known == token:
            return Outcome.ALREADY
        if live:
            return Outcome.CONFLICT
        rows.forget(db, old)
    key = _staged_key(db, tenant, sid, token)
    counts, total = [], len(meta)
    for table in ("records", "blobs"):
        count, size = db.execute(
            f"SELECT count(*), coalesce(sum(length(frame)), 0) FROM {table} "
            "WHERE session = ?",
            (key,),
        ).fetchone()
        counts.append(count)
        total += size
    if counts != [len(staged.records), len(staged.blobs)]:
        raise StoreUnavailable("what was staged has vanished")
    values: tuple[Any, ...] = (sid, loaded.version, token, meta, loaded.expires_at)
    db.execute(
        "UPDATE sessions SET gone = NULL, sid = ?, version = ?, token = ?, meta = ?, "
        "expires_at = ?, arrivals = ?, bytes = ? WHERE id = ?",
        (*values, loaded.arrivals, total, key),
    )
    return Outcome.APPLIED


def _aside(sid: str, token: str) -> str:
    return f"{sid}~{token}"


def _staged_key(db: sqlite3.Connection, tenant: str, sid: str, token: str) -> int:
    found = db.execute(
        "SELECT id FROM sessions WHERE tenant = ? AND sid = ? AND gone = ?",
        (tenant, _aside(sid, token), rows.STAGED),
    ).fetchone()
    if found is None:
        raise StoreUnavailable("what was staged has vanished")
    return int(found[0])
