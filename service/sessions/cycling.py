"""One cycle: analyse and commit, repeat the kept answer, or conflict.

::

    put k <= current, same content     its kept result again, nothing changes
    put k == current + 1               analyse, then commit all of it or nothing
    put anything else                  conflict

Whoever loses a race looks again and finds the winner's cycle: a repetition of its own
request, or a conflict.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from service.media.lengths import least_length
from service.sessions.creation import new_token
from service.sessions.documents import cycle_record, pack_cycle, pack_session
from service.sessions.errors import CycleConflict
from service.sessions.keeping import (
    NOTHING_MORE,
    Keeping,
    advanced,
    dropped,
    stored,
)
from service.sessions.models import (
    Analyse,
    AnalysisResult,
    Array,
    Cycle,
    CycleResult,
    Document,
    Known,
    Session,
)
from service.sessions.reading import Reading
from service.sessions.requests import check_arrays, cycle_seed, digest
from service.stores.errors import StoreUnavailable
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop
from service.stores.protocol import Change, Outcome, Store

# Counts what waits or is held for the length of a block, and may refuse.
Room = Callable[..., AbstractContextManager[None]]


def freely(size: int = 0) -> AbstractContextManager[None]:
    """Room without bounds."""
    return nullcontext()


# A commit is tried again only after somebody else's change to the same session (a new
# lifetime, say), so this many in a row means a storm of writers.
_ATTEMPTS = 20


# What was read so long ago is next to certain to hold still; where it does not, an
# analysis was computed in vain, and nothing worse.
FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is known of a request whose members came one by one.

    Attributes:
        mark: digest of the request, which brought no members.
        absent: indices of members that did not arrive.
        facts: for the diagnostics.
        records: to be kept with the cycle.
        made_of: marks of the members, by the names of their parts.
        key: of the facts, in the diagnostics.
        reasons: why members failed, by their index, where that is known.
    """

    mark: str
    facts: Document
    absent: frozenset[int] = frozenset()
    records: Mapping[str, bytes] = field(default_factory=dict)
    made_of: Mapping[str, str] = field(default_factory=dict)
    key: str = "coupling"
    reasons: Mapping[int, str] = field(default_factory=dict)

    def noted(self, diagnostics: Document) -> Document:
        """Diagnostics that tell members that did not arrive from those that failed."""
        reasons = dict.fromkeys(self.absent, "did not arrive") | dict(self.reasons)
        failed = [
            {**entry, "reason": reasons[entry["member"]]}
            if entry["member"] in reasons
            else entry
            for entry in diagnostics.get("members_failed", ())
        ]
        return {**diagnostics, "members_failed": failed, self.key: self.facts}


class MembersChanged(Exception):
    """A member was taken back, or has come anew, while the cycle was computed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One put of one cycle: ``(N, dx)``, ``(N, dy)`` and ``(dy,)``.

    Where the members were gathered, those that did not arrive are rows of NaN.
    """

    tenant: str
    sid: str
    cycle: int
    forecast_states: Array
    simulated_measurements: Array
    observation: Array
    options: Document
    gathered: Gathered | None = None

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """The three arrays, in the order of every signature."""
        return self.forecast_states, self.simulated_measurements, self.observation


@dataclass(slots=True)
class _Timings:
    """Seconds by phase of one put."""

    seconds: dict[str, float] = field(default_factory=dict)

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def kept(self) -> Document:
        """What is known when a cycle is stored, to the microsecond."""
        return {name: round(self.seconds[name], 6) for name in ("queue", "compute")}


class Cycling:
    """Runs cycles. Holds nothing that another process would need to know."""

    def __init__(
        self,
        store: Store,
        reading: Reading,
        analyse: Analyse,
        clock: Callable[[], float],
        keeping: Keeping = NOTHING_MORE,
        waiting: Room = freely,
    ) -> None:
        self._waiting = waiting
        self._store = store
        self._reading = reading
        self._analyse = analyse
        self._clock = clock
        self._keeping = keeping
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    async def put(self, request: Request, known: Known | None = None) -> CycleResult:
        """The result of a cycle, whether it happens now or happened before.

        Args:
            request: what was put.
            known: the session as it was not long ago, where somebody has read it.

        Raises:
            MembersChanged: when members that were gathered are not those any more.
        """
        timings = _Timings()
        async with timings.phase("store"):
            session = await self._session(request, known)
            check_arrays(
                *request.arrays,
                state_dim=session.state_dim,
                measurement_dim=session.measurement_dim,
            )
            mark = await _digest(request)
            done = await self._finished(session, request, mark)
        if done is None:
            done = await self._in_turn(session, request, mark, timings)
        return replace(done, timings=timings.seconds)

    async def _session(self, request: Request, known: Known | None) -> Session:
        """The session, read once more only where that could tell something.

        A cycle that had happened by then is finished for good. Whether another one is
        next the commit asks anyhow: who read it a moment ago need not ask before.
        """
        if known is not None:
            is_fresh = time.perf_counter() - known.since < FRESH_SECONDS
            if is_fresh or request.cycle <= known.session.cycle:
                return known.session
        return await self._reading.session(request.tenant, request.sid)

    async def _in_turn(
        self, session: Session, request: Request, mark: str, timings: _Timings
    ) -> CycleResult:
        # Two puts of one cycle in this process would both compute and one would lose:
        # let the second wait. Between processes the store decides.
        key = (request.tenant, request.sid)
        turn = self._turns.setdefault(key, asyncio.Lock())
        waiting = turn.locked()
        async with in_turn(turn, self._waiting):
            if waiting:
                async with timings.phase("store"):
                    session = await self._reading.session(*key)
                    done = await self._finished(session, request, mark)
                if done is not None:
                    return done
            return await self._run(session, request, mark, timings)

    async def _run(
        self, session: Session, request: Request, mark: str, timings: _Timings
    ) -> CycleResult:
        seed = cycle_seed(session.seed, request.cycle)
        options = await self._options(session, request, timings)
        result = await self._compute(request, options, seed, timings)
        for _ in range(_ATTEMPTS):
            async with timings.phase("store"):
                cycle = _cycle(request, mark, seed, result, self._clock())
                cycle = replace(cycle, timings=timings.kept())
                if await self._commit(session, request, cycle, result):
                    return CycleResult(
                        cycle=cycle, samples=result.samples, replayed=False
                    )
                key = (request.tenant, request.sid)
                session = await self._reading.session(*key)
                done = await self._finished(session, request, mark)
            if done is not None:
                return done
            changed = await self._options(session, request, timings)
            if options != changed:
                options = changed
                result = await self._compute(request, options, seed, timings)
        raise StoreUnavailable("too many changes to one session at once", 1.0)

    async def _options(
        self, session: Session, request: Request, timings: _Timings
    ) -> Document:
        """Options of the session and the request, and what cycles have learned."""
        options = session.options | request.options
        if options.get("inflation") != "adaptive" or session.cycle == 0:
            return options
        async with timings.phase("store"):
            before = await self._reading.cycle(request.tenant, session, session.cycle)
        learned = before.diagnostics.get("forecast_inflation", 1.0)
        return {"learned_inflation": learned} | options

    async def _compute(
        self, request: Request, options: Document, seed: int, timings: _Timings
    ) -> AnalysisResult:
        start = time.perf_counter()
        result = await self._analyse(*request.arrays, options, seed)
        spent = time.perf_counter() - start
        queued = float(getattr(result, "queue_seconds", 0.0))
        timings.seconds["queue"] = timings.seconds.get("queue", 0.0) + queued
        computed = timings.seconds.get("compute", 0.0) + spent - queued
        timings.seconds["compute"] = computed
        inside = getattr(result, "engine_seconds", None)
        if inside is not None:
            timings.seconds["engine"] = timings.seconds.get("engine", 0.0) + inside
        return result

    async def _finished(
        self, session: Session, request: Request, mark: str
    ) -> CycleResult | None:
        """The kept result of a repetition; ``None`` when it is this cycle's turn."""
        return await self.finished(request.tenant, session, request.cycle, mark)

    async def finished(
        self, tenant: str, session: Session, number: int, mark: str
    ) -> CycleResult | None:
        """The kept result of a cycle that was put with this mark, as above."""
        if number == session.cycle + 1:
            return None
        if not 1 <= number <= session.cycle:
            raise CycleConflict(number, session.cycle)
        cycle = await self._reading.cycle(tenant, session, number)
        if cycle.digest != mark:
            raise CycleConflict(number, session.cycle, same_cycle=True)
        samples = await self._reading.analysis(tenant, session, number)
        await self._reading.renewed(tenant, session)
        return CycleResult(cycle=cycle, samples=samples, replayed=True)

    async def _commit(
        self, session: Session, request: Request, cycle: Cycle, result: AnalysisResult
    ) -> bool:
        """Whether the cycle is in, all of it; if not, nothing of it is."""
        after = advanced(session, cycle, self._keeping)
        # Diagnostics have lists as long as the ensemble or the observation.
        cost = JSON_COST * session.size + sum(array.nbytes for array in request.arrays)
        meta, record = await off_loop(
            cost, lambda: (pack_session(after), pack_cycle(cycle))
        )
        change = Change(
            expected_version=session.version,
            token=new_token(),
            meta=meta,
            expires_at=cycle.created_at + session.ttl_seconds,
            records={
                cycle_record(cycle.cycle): record,
                **(request.gathered.records if request.gathered else {}),
            },
            blobs=await stored(after, request.arrays, result.samples),
            drop_blobs=dropped(session, after),
            quota=self._keeping.quota,
            # Those that were used are in the cycle, the others are late.
            drop_parts=True,
            made_of=request.gathered.made_of if request.gathered else {},
        )
        outcome = await self._store.commit(request.tenant, request.sid, change)
        if outcome is Outcome.PARTED:
            raise MembersChanged
        return outcome is not Outcome.CONFLICT


@asynccontextmanager
async def in_turn(
    turn: asyncio.Lock | asyncio.Semaphore,
    waiting: Room,
) -> AsyncIterator[None]:
    """Hold a lock, and be counted as waiting until then if it is not free."""
    with waiting() if turn.locked() else nullcontext():
        await turn.acquire()
    try:
        yield
    finally:
        turn.release()


async def _digest(request: Request) -> str:
    if request.gathered is not None:
        return request.gathered.mark
    size = sum(array.nbytes for array in request.arrays)
    size += JSON_COST * least_length(request.options, INLINE_JSON)
    return await off_loop(size, lambda: digest(*request.arrays, request.options))


def _cycle(
    request: Request, mark: str, seed: int, result: AnalysisResult, now: float
) -> Cycle:
    gathered, diagnostics = request.gathered, result.diagnostics
    return Cycle(
        cycle=request.cycle,
        digest=mark,
        seed=seed,
        created_at=now,
        diagnostics=gathered.noted(diagnostics) if gathered else diagnostics,
        n_samples=len(result.samples),
        options=request.options,
    )
