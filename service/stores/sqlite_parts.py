"""Parts in the SQLite store: what comes from many sides between two commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from service.stores import sqlite_rows as rows
from service.stores.codec import seal, unseal
from service.stores.places import part_place, place
from service.stores.protocol import (
    Dropping,
    ListedPart,
    Part,
    PartLimits,
    Putting,
    Quota,
)
from service.stores.sqlite_schema import transaction

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]


class SqliteParts:
    """The methods of the store that are about parts."""

    _clock: Callable[[], float]

    async def _read(self, work: Work[Result]) -> Result:
        raise NotImplementedError

    async def _write(self, work: Work[Result], *, frees: bool = False) -> Result:
        raise NotImplementedError

    async def put_part(
        self,
        tenant: str,
        sid: str,
        part: Part,
        *,
        expected_version: int,
        limits: PartLimits,
        quota: Quota | None = None,
    ) -> Putting:
        """Keep a part until a commit drops it; no new version, no new expiry."""
        now = self._clock()

        def write(db: sqlite3.Connection) -> Putting:
            frame = seal(part.payload, part_place(tenant, sid, part.name))
            info = seal(part.info, place(tenant, sid, f"info/{part.name}"))
            with transaction(db):
                row = rows.live_row(db, tenant, sid, now)
                if row.version != expected_version:
                    return Putting.MOVED
                outcome = _put(db, row.key, part, info, frame, limits)
                if outcome is Putting.ADDED:
                    size = len(part.payload)
                    # What goes beyond is rolled back with the transaction.
                    rows.check_quota(db, tenant, quota, size, now)
                    rows.count(db, row.key, size)
                return outcome

        return await self._write(write)

    async def drop_part(
        self, tenant: str, sid: str, name: str, *, expected_version: int
    ) -> Dropping:
        """Take one part away again, if no commit has come in between."""
        now = self._clock()

        def write(db: sqlite3.Connection) -> Dropping:
            with transaction(db):
                row = rows.live_row(db, tenant, sid, now)
                if row.version != expected_version:
                    return Dropping.MOVED
                return _drop(db, row.key, name)

        return await self._write(write, frees=True)

    async def parts(
        self, tenant: str, sid: str, *, after: int = 0
    ) -> Sequence[ListedPart]:
        """What there is now of later arrivals than ``after``, in their order."""

        def read(db: sqlite3.Connection) -> list[ListedPart]:
            found = db.execute(
                "SELECT name, mark, info, arrival, size FROM parts "
                "JOIN sessions ON sessions.id = session "
                "WHERE tenant = ? AND sid = ? AND arrival > ? ORDER BY arrival",
                (tenant, sid, after),
            ).fetchall()
            return [
                ListedPart(
                    name=name,
                    mark=mark,
                    info=bytes(unseal(info, place(tenant, sid, f"info/{name}"))),
                    arrival=arrival,
                    size=size,
                )
                for name, mark, info, arrival, size in found
            ]

        return await self._read(read)

    async def part_payloads(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> Sequence[memoryview | None]:
        """Payloads of parts, checksums verified; ``None`` where there is none."""

        def read(db: sqlite3.Connection) -> list[memoryview | None]:
            frames = [rows.frame(db, "parts", tenant, sid, name) for name in names]
            return [
                None if frame is None else unseal(frame, part_place(tenant, sid, name))
                for name, frame in zip(names, frames, strict=True)
            ]

        return await self._read(read)


def _drop(db: sqlite3.Connection, key: int, name: str) -> Dropping:
    gone = db.execute(
        "DELETE FROM parts WHERE session = ? AND name = ? RETURNING size", (key, name)
    ).fetchone()
    if gone is None:
        return Dropping.ABSENT
    rows.count(db, key, -gone[0])
    return Dropping.APPLIED


def _put(
    db: sqlite3.Connection,
    key: int,
    part: Part,
    info: bytes,
    frame: bytes,
    limits: PartLimits,
) -> Putting:
    found = db.execute(
        "SELECT mark FROM parts WHERE session = ? AND name = ?", (key, part.name)
    ).fetchone()
    if found is not None:
        return Putting.SAME if found[0] == part.mark else Putting.OTHER
    count, used = db.execute(
        "SELECT count(*), coalesce(sum(size), 0) FROM parts WHERE session = ?", (key,)
    ).fetchone()
    size = len(part.payload)
    if count >= limits.parts or used + size > limits.bytes:
        return Putting.OVERFULL
    (arrival,) = db.execute(
        "UPDATE sessions SET arrivals = arrivals + 1 WHERE id = ? RETURNING arrivals",
        (key,),
    ).fetchone()
    db.execute(
        "INSERT INTO parts (session, name, mark, info, arrival, size, frame) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, part.name, part.mark, info, arrival, size, frame),
    )
    return Putting.ADDED
