"""A cycle put with only its observation: its members have come, or are waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.media.lengths import least_length
from service.sessions.coupling import Coupling, Member, Roll, check_coupling
from service.sessions.cycling import (
    Cycling,
    Gathered,
    MembersChanged,
    Request,
    Room,
    freely,
    in_turn,
)
from service.sessions.documents import members_record
from service.sessions.errors import MembersOverfull
from service.sessions.members import Members, made_of, pack_members
from service.sessions.models import Array, CycleResult, Document, Session
from service.sessions.reading import Reading
from service.sessions.requests import check_vector, gathered_mark
from service.sessions.watching import Watching, state_of
from service.stores.errors import StoreUnavailable
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop

_ITEM_BYTES = 8
# Payloads read from the store at once.
_TOGETHER = 64
# Ensembles that one process reads at once.
_AT_ONCE = 4
# Analyses in vain, because members were exchanged meanwhile.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Observed:
    """One put of one cycle without its members.

    Attributes:
        tenant, sid, cycle: whose session, its name, the cycle.
        observation: ``(dy,)``; NaN is a missing entry.
        options: this cycle's own options.
        coupling: this cycle's own declaration, laid over the session's.
        wait: seconds that the caller waits for members at most.
    """

    tenant: str
    sid: str
    cycle: int
    observation: Array
    options: Document
    coupling: Document
    wait: float


class Gathering:
    """Waits for members, and puts the cycle with those there are."""

    def __init__(
        self,
        members: Members,
        reading: Reading,
        cycling: Cycling,
        watching: Watching,
        clock: Callable[[], float],
        waiting: Room = freely,
        holding: Room = freely,
    ) -> None:
        self._members = members
        self._reading = reading
        self._cycling = cycling
        self._watching = watching
        self._clock = clock
        self._waiting = waiting
        self._holding = holding
        self._assembling = asyncio.Semaphore(_AT_ONCE)

    async def put(self, observed: Observed) -> CycleResult:
        """Assimilate what has arrived, or answer again when that has happened.

        Raises:
            SessionInputError: when something does not fit the session.
            CycleConflict: when the cycle is not next, or was another request.
            MembersMissing: when too few have arrived, after waiting.
        """
        end = time.monotonic() + observed.wait
        tried = 0
        while tried < _ATTEMPTS:
            session = await self._reading.session(observed.tenant, observed.sid)
            observation = check_vector(
                "observation", observed.observation, session.measurement_dim
            )
            asked = observed.options, observed.coupling
            mark = await off_loop(
                JSON_COST * least_length(asked[0], INLINE_JSON),
                partial(gathered_mark, observation, *asked),
            )
            done = await self._cycling.finished(
                observed.tenant, session, observed.cycle, mark
            )
            if done is not None:
                return done
            roll = await self._complete(observed, session, end)
            if roll is not None:
                done = await self._analysed(observed, session, roll, mark)
                tried += 1
            if done is not None:
                return done
        raise StoreUnavailable("too many changes to one session at once", 1.0)

    async def _complete(
        self, observed: Observed, session: Session, end: float
    ) -> Roll | None:
        """Who has arrived; ``None`` after a wait, when it is time to look again."""
        key = (observed.tenant, observed.sid)
        # Seen before the members are counted: who comes in between wakes the wait.
        seen = state_of(await self._watching.moved(*key, None, 0.0))
        coupling = Coupling.of(session, observed.coupling)
        check_coupling({**(session.coupling or {}), **observed.coupling})
        arrived = await self._members.arrived(observed.tenant, session)
        roll = Roll.call(session, arrived, coupling)
        objection = roll.objection(self._clock())
        if objection is None:
            return roll
        left = end - time.monotonic()
        if left <= 0 or self._watching.stopping:
            if (await self._reading.session(*key)).version != session.version:
                # Members go when their cycle is finished: perhaps it just was.
                return None
            raise objection
        deadline = (roll.deadline or 0.0) - self._clock()
        pause = min(left, deadline) if deadline > 0 else left
        await self._watching.moved(*key, seen, pause)
        return None

    async def _analysed(
        self, observed: Observed, session: Session, roll: Roll, mark: str
    ) -> CycleResult | None:
        """The cycle with these members; ``None`` when one is no longer that one."""
        row = _ITEM_BYTES * (session.state_dim + session.measurement_dim)
        if roll.expected * row > self._members.limits.bytes:
            raise MembersOverfull("max_staged_bytes", self._members.limits.bytes)
        # As a body of this size would be counted, as long as it is held.
        with self._holding(roll.expected * row):
            # Reading only: nobody else waits for the analysis.
            async with in_turn(self._assembling, self._waiting):
                request = await self._request(observed, session, roll, mark)
            if request is None:
                return None
            try:
                done = await self._cycling.put(request)
            except MembersChanged:
                return None
        self._watching.nudge(observed.tenant, observed.sid)
        return done

    async def _request(
        self, observed: Observed, session: Session, roll: Roll, mark: str
    ) -> Request | None:
        dx, dy = session.state_dim, session.measurement_dim
        rows = np.full((roll.expected, dx + dy), np.nan)
        for start in range(0, len(roll.arrived), _TOGETHER):
            some = roll.arrived[start : start + _TOGETHER]
            if not await self._fill(rows, observed.tenant, session, some):
                return None
        gathered = Gathered(
            mark=mark,
            absent=frozenset(roll.missing),
            facts=roll.facts(self._clock()),
            records={
                members_record(roll.cycle): pack_members(roll.expected, roll.arrived)
            },
            made_of=made_of(roll.cycle, roll.arrived),
        )
        return Request(
            tenant=observed.tenant,
            sid=observed.sid,
            cycle=observed.cycle,
            forecast_states=np.ascontiguousarray(rows[:, :dx]),
            simulated_measurements=np.ascontiguousarray(rows[:, dx:]),
            observation=observed.observation.reshape(-1),
            options=observed.options | roll.options(),
            gathered=gathered,
        )

    async def _fill(
        self, rows: Array, tenant: str, session: Session, some: tuple[Member, ...]
    ) -> bool:
        """Write members into their rows; ``False`` when one is no longer that one."""
        found = await self._members.rows(tenant, session, some)
        for member, row in zip(some, found, strict=True):
            if row is None:
                return False
            rows[member.index] = row
        return True
