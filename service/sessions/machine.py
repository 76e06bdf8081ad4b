"""The session and cycle state machine.

A session is created, goes through cycles 1, 2, 3, ..., and is deleted or expires.
Nothing is kept in memory between calls: any number of processes may serve the same
sessions, and killing one of them loses nothing that was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from service.media.lengths import least_length
from service.sessions.coupling import check_coupling
from service.sessions.creation import (
    check_document,
    check_ttl,
    check_whole,
    new_session,
    new_token,
)
from service.sessions.cycling import Cycling, Request, Room, freely
from service.sessions.documents import (
    analysis_blob,
    merged,
    pack_session,
)
from service.sessions.driving import Driving
from service.sessions.errors import DocumentTooLarge, VersionConflict
from service.sessions.events import Telling
from service.sessions.gathering import Gathering
from service.sessions.keeping import Keeping
from service.sessions.members import Members
from service.sessions.models import (
    DEFAULT_KEEP_ANALYSES,
    Analyse,
    Array,
    CheckOptions,
    Cycle,
    CycleResult,
    Document,
    Known,
    Session,
    SessionSpec,
)
from service.sessions.reading import Reading, ReadRoom, at_once, listed
from service.sessions.requests import as_vector
from service.sessions.watching import Watching
from service.stores.clocks import SteadyClock
from service.stores.codec import pack_array
from service.stores.errors import StoreUnavailable
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop
from service.stores.protocol import Change, Outcome, PartLimits, Quota, Store

DEFAULT_PART_LIMITS = PartLimits(100_000, 256 << 20)
_ATTEMPTS = 20
_PAGE_LIMIT = 1000
# Documents on one page, written out; more are on the next.
PAGE_BYTES = 8 << 20
DEFAULT_DOCUMENT_BYTES = 8 << 20

# Inside the class, ``list`` is the method.
Cycles = list[Cycle]


class Sessions:
    """Named sessions that keep an ensemble between cycles.

    Args:
        store: where they are kept, open.
        analyse: computes one analysis.
        clock: seconds since 1970; one that no jump takes along when not given.
        keep_analyses: analyses kept in full where a session does not say.
        check_options: refuses options that no analysis would take; called before
            options are stored.
        part_limits: the most members, and bytes of them, that may wait in a session.
        stopping: nobody waits any more once this is set.
        keep_inputs: cycles of a session whose inputs are kept, for doing them again.
        quota: what one tenant may keep.
        waiting: entered by a cycle while it waits for its turn; may refuse.
        holding: likewise with the bytes of members that come out of the store.
        document_bytes: what a session may keep besides its arrays, as JSON.
        reading: waits until so many bytes of an analysis may be read.

    Attributes:
        watching: waits until something happens to a session.
        members: members that come one by one.
        gathering: puts cycles whose members have come so.
        driving: puts cycles whose members models compute.
        telling: tells what happens to a session.
    """

    def __init__(
        self,
        store: Store,
        analyse: Analyse,
        clock: Callable[[], float] | None = None,
        *,
        keep_analyses: int = DEFAULT_KEEP_ANALYSES,
        check_options: CheckOptions | None = None,
        part_limits: PartLimits = DEFAULT_PART_LIMITS,
        stopping: asyncio.Event | None = None,
        keep_inputs: int = 0,
        quota: Quota | None = None,
        waiting: Room = freely,
        holding: Room = freely,
        document_bytes: int = DEFAULT_DOCUMENT_BYTES,
        reading: ReadRoom = at_once,
    ) -> None:
        clock = clock or SteadyClock().late
        self._store = store
        self._clock = clock
        self._keep_analyses = keep_analyses
        self._check_options = check_options
        self._document_bytes = document_bytes
        self._reading = Reading(store, clock, reading)
        self._keeping = Keeping(keep_inputs, quota)
        self._cycling = Cycling(
            store, self._reading, analyse, clock, self._keeping, waiting
        )
        self.watching = Watching(store, stopping)
        self.members = Members(
            store, self._reading, self.watching, clock, part_limits, quota
        )
        self.telling = Telling(self._reading, self.members, self.watching)
        self.gathering = Gathering(
            *(self.members, self._reading, self._cycling, self.watching, clock),
            *(waiting, holding),
        )
        self.driving = Driving(self._reading, self._cycling, self.watching)

    async def create(self, tenant: str, spec: SessionSpec) -> Session:
        """Begin a session.

        Raises:
            SessionInputError: naming the first argument that does not fit.
        """

        def begun() -> tuple[Session, bytes, dict[str, bytes]]:
            session = new_session(spec, self._clock(), self._keep_analyses)
            if self._check_options is not None:
                self._check_options(session.options)
            meta = self._bounded(pack_session(session))
            if ensemble is None:
                return session, meta, {}
            return session, meta, {analysis_blob(0): pack_array(ensemble)}

        ensemble = spec.initial_ensemble
        cost = _cost(spec.names, spec.coordinates, spec.options)
        cost += 0 if ensemble is None else ensemble.nbytes
        session, meta, blobs = await off_loop(cost, begun)
        session = replace(session, size=len(meta))
        change = Change(
            expected_version=0,
            token=new_token(),
            meta=meta,
            expires_at=session.expires_at,
            blobs=blobs,
            quota=self._keeping.quota,
        )
        outcome = await self._store.commit(tenant, session.id, change)
        if outcome is Outcome.CONFLICT:
            # 80 random bits do not collide: the store is not in its right mind.
            raise StoreUnavailable("a new session's name was taken")
        return session

    async def peek(self, tenant: str, sid: str) -> Session:
        """A session as it is now; its lifetime goes on as it was.

        Raises:
            SessionNotFound, SessionGone: when there is no live session.
        """
        return await self._reading.session(tenant, sid)

    async def get(self, tenant: str, sid: str) -> Session:
        """A session as it is now; its lifetime starts anew.

        Raises:
            SessionNotFound, SessionGone: when there is no live session.
        """
        session = await self._reading.session(tenant, sid)
        return await self._reading.renewed(tenant, session)

    async def list(
        self, tenant: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[list[Session], str | None]:
        """Sessions in order of creation, and where the next page begins, if any.

        Fewer than ``limit`` where their documents are long.
        """
        check_whole("limit", limit, 1, below=_PAGE_LIMIT + 1)
        page = await self._store.list(
            tenant, after=after, limit=limit, max_bytes=PAGE_BYTES
        )
        return await listed(page.sessions), page.next

    async def update(
        self,
        tenant: str,
        sid: str,
        *,
        expected_version: int | None = None,
        ttl_seconds: float | None = None,
        metadata: Document | None = None,
        options: Document | None = None,
        coupling: Document | None = None,
    ) -> Session:
        """Change a session between cycles.

        Args:
            tenant: whose session.
            sid: its name.
            expected_version: change it only in this version.
            ttl_seconds: new lifetime, from now on.
            metadata: JSON merge patch: ``null`` removes a name.
            options: JSON merge patch: ``null`` brings back the default.
            coupling: JSON merge patch: ``null`` brings back the default.

        Raises:
            VersionConflict: when the session has another version.
        """
        if ttl_seconds is not None:
            check_ttl(ttl_seconds)

        def patched(before: Session) -> tuple[Session, bytes]:
            check_document("metadata", metadata or {})
            check_document("options", options or {})
            check_document("coupling", coupling or {})
            after = self._patched(before, ttl_seconds, metadata, options)
            if coupling is not None:
                declared = check_coupling(merged(before.coupling, coupling))
                after = replace(after, coupling=declared)
            return after, self._bounded(pack_session(after), before.size)

        for _ in range(_ATTEMPTS):
            before = await self._reading.session(tenant, sid)
            if expected_version not in (None, before.version):
                raise VersionConflict(before.version)
            if all(x is None for x in (ttl_seconds, metadata, options, coupling)):
                return await self._reading.renewed(tenant, before)
            cost = JSON_COST * before.size + _cost(options)
            after, meta = await off_loop(cost, partial(patched, before))
            after = replace(after, size=len(meta))
            if await self._replaced(tenant, after, meta):
                return after
        raise StoreUnavailable("too many changes to one session at once", 1.0)

    def _bounded(self, meta: bytes, before: int = 0) -> bytes:
        """A document that is short enough, or at least no longer than before."""
        if len(meta) > max(before, self._document_bytes):
            raise DocumentTooLarge(len(meta), self._document_bytes)
        return meta

    def _patched(
        self,
        before: Session,
        ttl_seconds: float | None,
        metadata: Document | None,
        options: Document | None,
    ) -> Session:
        ttl = before.ttl_seconds if ttl_seconds is None else float(ttl_seconds)
        changed = before.options if options is None else merged(before.options, options)
        if options is not None and self._check_options is not None:
            self._check_options(changed)
        noted = before.metadata
        now = self._clock()
        return replace(
            before,
            version=before.version + 1,
            ttl_seconds=ttl,
            expires_at=now + ttl,
            updated_at=now,
            options=changed,
            metadata=noted if metadata is None else merged(noted, metadata),
        )

    async def _replaced(self, tenant: str, after: Session, meta: bytes) -> bool:
        change = Change(
            expected_version=after.version - 1,
            token=new_token(),
            meta=meta,
            expires_at=after.expires_at,
            quota=self._keeping.quota,
        )
        outcome = await self._store.commit(tenant, after.id, change)
        return outcome is not Outcome.CONFLICT

    async def delete(
        self, tenant: str, sid: str, *, expected_version: int | None = None
    ) -> None:
        """Remove a session; asking for it is answered ``SessionGone`` for a day.

        Raises:
            VersionConflict: when the session has another version.
        """
        outcome = await self._store.delete(
            tenant, sid, expected_version=expected_version
        )
        if outcome is Outcome.CONFLICT:
            raise VersionConflict((await self._reading.session(tenant, sid)).version)
        self.watching.nudge(tenant, sid)

    async def put_cycle(
        self,
        tenant: str,
        sid: str,
        k: int,
        forecast_states: Array,
        simulated_measurements: Array,
        observation: Array,
        *,
        options: Document | None = None,
        known: Known | None = None,
    ) -> CycleResult:
        """Assimilate cycle ``k``, or answer again when it has happened.

        Args:
            tenant: whose session.
            sid: its name.
            k: the cycle, from 1; the lock and the idempotency key in one.
            forecast_states: ``(N, dx)``.
            simulated_measurements: ``(N, dy)``.
            observation: ``(dy,)``, or one row or column of so many; NaN is a missing
                entry.
            options: laid over the session's options for this cycle alone.
            known: the session as it was not long ago; spares reading it once more.

        Raises:
            SessionInputError: when the arrays do not fit the session.
            CycleConflict: when ``k`` is not next, or was another request.
            AnalysisNotKept: for a repetition whose samples are no longer kept.
        """
        check_whole("cycle", k, 1)
        await off_loop(_cost(options), lambda: check_document("options", options or {}))
        request = Request(
            tenant=tenant,
            sid=sid,
            cycle=k,
            forecast_states=forecast_states,
            simulated_measurements=simulated_measurements,
            observation=as_vector(observation),
            options=options or {},
        )
        result = await self._cycling.put(request, known)
        self.watching.nudge(tenant, sid)
        return result

    async def cycle(self, tenant: str, sid: str, k: int) -> Cycle:
        """Facts about cycle ``k``.

        Raises:
            CycleNotFound: when it has not happened.
        """
        session = await self.get(tenant, sid)
        return await self._reading.cycle(tenant, session, k)

    async def cycles(
        self, tenant: str, sid: str, *, after: int = 0, limit: int = 100
    ) -> Cycles:
        """Facts about the cycles after ``after``, in order.

        Fewer than ``limit`` where their records are long.
        """
        check_whole("after", after, 0)
        check_whole("limit", limit, 1, below=_PAGE_LIMIT + 1)
        session = await self.get(tenant, sid)
        last = min(session.cycle, after + limit)
        numbers = range(after + 1, last + 1)
        return await self._reading.page(tenant, session, numbers, PAGE_BYTES)

    async def analysis(
        self, tenant: str, sid: str, k: int, members: slice | None = None
    ) -> Array:
        """Samples of cycle ``k``, ``(N, dx)`` or the chosen rows, read-only.

        Cycle 0 is the initial ensemble.

        Raises:
            CycleNotFound: when the cycle has not happened.
            AnalysisNotKept: when only newer analyses are kept.
        """
        session = await self.get(tenant, sid)
        samples = await self._reading.analysis(tenant, session, k)
        # A copy: a view would keep all of the others in memory.
        return samples if members is None else samples[members].copy()


def _cost(*documents: Document | None) -> int:
    """What going through these takes, in bytes of hashing."""
    return JSON_COST * least_length(list(documents), INLINE_JSON)
