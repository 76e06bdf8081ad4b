"""Reading sessions, cycles and analyses, and what being read does to a lifetime."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

from service.sessions.documents import (
    analysis_blob,
    cycle_record,
    read_session,
    unpack_cycle,
)
from service.sessions.errors import AnalysisNotKept, CycleNotFound
from service.sessions.models import Array, Cycle, Session
from service.stores.codec import unpack_array
from service.stores.errors import StoreCorrupt, StoreFull, StoreUnavailable
from service.stores.offloop import JSON_COST, off_loop
from service.stores.protocol import Loaded, Store

# Use renews the lifetime, but not every read is worth a write: only when this part of
# the lifetime has passed.
_RENEW_AFTER = 0.1
_log = logging.getLogger(__name__)


# Waits until so many bytes may be read, and counts them for the length of a block.
ReadRoom = Callable[[int], AbstractAsyncContextManager[None]]


def at_once(size: int) -> AbstractAsyncContextManager[None]:
    """Room for any reading."""
    return nullcontext()


class Reading:
    """Reads for one call at a time; keeps nothing."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        room: ReadRoom = at_once,
    ) -> None:
        self._room = room
        self._store = store
        self._clock = clock

    async def session(self, tenant: str, sid: str) -> Session:
        """A live session as it is now."""
        return await read_session(sid, await self._store.load(tenant, sid))

    async def renewed(self, tenant: str, session: Session) -> Session:
        """The session with its lifetime started anew, when that is worth a write."""
        now = self._clock()
        passed = session.ttl_seconds - (session.expires_at - now)
        if passed < _RENEW_AFTER * session.ttl_seconds:
            return session
        expires_at = now + session.ttl_seconds
        try:
            await self._store.touch(tenant, session.id, expires_at)
        except (StoreFull, StoreUnavailable):
            # The reader has asked for data, and has them: a full disk is no reason
            # to withhold them.
            return session
        return replace(session, expires_at=expires_at)

    async def cycle(self, tenant: str, session: Session, cycle: int) -> Cycle:
        """Facts about one finished cycle of a session just read."""
        if not 1 <= cycle <= session.cycle:
            raise CycleNotFound(cycle, session.cycle)
        return (await self.cycles(tenant, session, range(cycle, cycle + 1)))[0]

    async def cycles(
        self, tenant: str, session: Session, numbers: range
    ) -> list[Cycle]:
        """Facts about finished cycles of a session just read."""
        names = [cycle_record(number) for number in numbers]
        records = await self._store.records(tenant, session.id, names)
        found: list[bytes] = []
        for number, record in zip(numbers, records, strict=True):
            if record is None:
                # Deleted or expired since? Then this says so.
                await self._store.load(tenant, session.id)
                raise StoreCorrupt(f"session {session.id} has lost cycle {number}")
            found.append(record)
        return await off_loop(
            JSON_COST * sum(map(len, found)), lambda: list(map(unpack_cycle, found))
        )

    async def page(
        self, tenant: str, session: Session, numbers: range, most: int
    ) -> list[Cycle]:
        """Facts about as many of these cycles as take so many bytes; at least one."""
        found: list[Cycle] = []
        total, largest, left = 0, most, numbers
        # How long such records are is known of those that were read, so few at first.
        while left and (not found or total + largest <= most):
            together = max(1, min((most - total) // largest, 2 * len(found)))
            some, left = left[:together], left[together:]
            for cycle in await self.cycles(tenant, session, some):
                if found and total + cycle.size > most:
                    return found
                found.append(cycle)
                total += cycle.size
            largest = max(cycle.size for cycle in found)
        return found

    async def analysis(self, tenant: str, session: Session, cycle: int) -> Array:
        """Samples of one cycle of a session just read, ``(N, dx)``, read-only."""
        check_kept(session, cycle)
        # Of a cycle that is not the last one, most likely.
        rows = (session.members if cycle else session.initial_members) or 0
        async with self._room(8 * rows * session.state_dim):
            payload = await self._store.blob(tenant, session.id, analysis_blob(cycle))
        if payload is None:
            # Later cycles may have pushed it out since the session was read.
            check_kept(await self.session(tenant, session.id), cycle)
            raise StoreCorrupt(f"session {session.id} has lost analysis {cycle}")
        return unpack_array(payload)


async def listed(found: Iterable[tuple[str, Loaded]]) -> list[Session]:
    """Sessions of a page; one that cannot be read is left out, and the log says so."""
    sessions = []
    for sid, loaded in found:
        try:
            sessions.append(await read_session(sid, loaded))
        except (StoreCorrupt, ValueError, RecursionError):
            # It says so itself when it is asked for; the others are well.
            _log.exception("session %s cannot be read", sid)
    return sessions


def check_kept(session: Session, cycle: int) -> None:
    """Whether there is an analysis of a cycle, as far as the session says.

    Raises:
        CycleNotFound, AnalysisNotKept: when there is none.
    """
    initial_missing = cycle == 0 and session.initial_members is None
    if initial_missing or not 0 <= cycle <= session.cycle:
        raise CycleNotFound(cycle, session.cycle)
    if cycle < session.oldest_kept:
        raise AnalysisNotKept(cycle, session.oldest_kept)
