"""Members that come one by one, from any worker and in any order.

Until their cycle is put they lie beside the session as parts of the store: no version
is counted, so that workers do not get in each other's way. The cycle's commit takes
them all; its record says which are in it, so that a worker that lost its reply is told
the truth whenever it asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.sessions.coupling import Coupling, Member
from service.sessions.documents import members_record
from service.sessions.errors import (
    CycleConflict,
    MemberConflict,
    MemberLate,
    MemberNotFound,
    MembersOverfull,
    SessionInputError,
)
from service.sessions.models import Array, Session
from service.sessions.reading import Reading
from service.sessions.requests import check_vector, member_mark
from service.sessions.watching import Watching
from service.stores.codec import (
    pack_array,
    pack_document,
    unpack_array,
    unpack_document,
)
from service.stores.errors import StoreCorrupt, StoreUnavailable
from service.stores.offloop import ENTRY_BYTES, off_loop
from service.stores.protocol import (
    Dropping,
    ListedPart,
    Part,
    PartLimits,
    Putting,
    Quota,
    Store,
)

_ATTEMPTS = 20
_NAME = re.compile(r"member/(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Arrived:
    """The answer to the put of one member; ``replayed``: it had arrived before."""

    member: Member
    replayed: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """Who has arrived for a cycle, or is in it.

    Attributes:
        cycle: its number.
        finished: whether it is finished.
        expected: size of the ensemble; ``None`` while that is not known.
        members: in order of their index.
    """

    cycle: int
    finished: bool
    expected: int | None
    members: tuple[Member, ...]


class Members:
    """Takes members in, and knows who has arrived.

    Args:
        store, reading, watching: where the sessions are, and who waits for them.
        clock: seconds since 1970.
        limits: what may wait in one session.
        quota: what one tenant may keep.
    """

    def __init__(
        self,
        store: Store,
        reading: Reading,
        watching: Watching,
        clock: Callable[[], float],
        limits: PartLimits,
        quota: Quota | None = None,
    ) -> None:
        self._store = store
        self._reading = reading
        self._watching = watching
        self._clock = clock
        self.limits = limits
        self._quota = quota

    async def put(
        self, tenant: str, sid: str, k: int, index: int, state: Array, simulated: Array
    ) -> Arrived:
        """Keep one member until its cycle is put.

        Args:
            tenant: whose session.
            sid: its name.
            k: the session's next cycle.
            index: the member's row in the ensemble, from 0.
            state: forecast state, ``(dx,)``; NaN where the simulation failed.
            simulated: its simulated measurements, ``(dy,)``.

        Raises:
            SessionInputError: when it does not fit the session.
            CycleConflict: when ``k`` is later than the next cycle.
            MemberConflict: when it has arrived with another body.
            MemberLate: when the cycle is finished without it.
            MembersOverfull: when there is no room for it.
            QuotaExceeded: when its tenant would keep too much.
        """
        for _ in range(_ATTEMPTS):
            session = await self._reading.session(tenant, sid)
            part, member = await self._part(session, k, index, state, simulated)
            if k <= session.cycle:
                return await self._late(tenant, session, k, member)
            _check_turn(session, k)
            _check_index(session, index)
            outcome = await self._store.put_part(
                *(tenant, sid, part),
                expected_version=session.version,
                limits=self.limits,
                quota=self._quota,
            )
            if outcome is not Putting.MOVED:
                self._check_put(outcome, k, index)
                self._watching.nudge(tenant, sid)
                await self._reading.renewed(tenant, session)
                return Arrived(member, replayed=outcome is Putting.SAME)
        raise StoreUnavailable("too many changes to one session at once", 1.0)

    async def _part(
        self, session: Session, k: int, index: int, state: Array, simulated: Array
    ) -> tuple[Part, Member]:
        state = check_vector("forecast_state", state, session.state_dim)
        simulated = check_vector(
            "simulated_measurement", simulated, session.measurement_dim
        )
        both = np.concatenate([state, simulated])
        failed = not bool(np.isfinite(both).all())
        mark = await off_loop(both.nbytes, lambda: member_mark(state, simulated))
        info = {"failed": failed, "staged_at": self._clock()}
        payload = await off_loop(both.nbytes, lambda: pack_array(both))
        part = Part(_name(k, index), mark, payload, pack_document(info))
        return part, Member(index, mark, failed, info["staged_at"], 0)

    def _check_put(self, outcome: Putting, k: int, index: int) -> None:
        if outcome is Putting.OTHER:
            raise MemberConflict(k, index)
        if outcome is Putting.OVERFULL:
            raise MembersOverfull("max_staged_bytes", self.limits.bytes)

    async def _late(
        self, tenant: str, session: Session, k: int, member: Member
    ) -> Arrived:
        for known in (await self._finished(tenant, session, k)).members:
            if (known.index, known.mark) == (member.index, member.mark):
                return Arrived(known, replayed=True)
        raise MemberLate(k, member.index, session.cycle)

    async def drop(self, tenant: str, sid: str, k: int, index: int) -> None:
        """Take a member back, as long as its cycle is not finished.

        Raises:
            MemberNotFound: when it has not arrived.
            MemberLate: when the cycle is finished.
        """
        for _ in range(_ATTEMPTS):
            session = await self._reading.session(tenant, sid)
            if k <= session.cycle:
                raise MemberLate(k, index, session.cycle, dropped=True)
            _check_turn(session, k)
            outcome = await self._store.drop_part(
                tenant, sid, _name(k, index), expected_version=session.version
            )
            if outcome is Dropping.ABSENT:
                raise MemberNotFound(k, index)
            if outcome is Dropping.APPLIED:
                self._watching.nudge(tenant, sid)
                return
        raise StoreUnavailable("too many changes to one session at once", 1.0)

    async def listing(self, tenant: str, sid: str, k: int) -> Listing:
        """Who has arrived for the next cycle, or is in a finished one.

        Raises:
            CycleConflict: for a cycle after the next.
        """
        session = await self._reading.session(tenant, sid)
        session = await self._reading.renewed(tenant, session)
        if k <= session.cycle:
            return await self._finished(tenant, session, k)
        _check_turn(session, k)
        members = await self.arrived(tenant, session)
        members = sorted(members, key=lambda member: member.index)
        expected = Coupling.of(session, {}).expected(session)
        return Listing(k, False, expected, tuple(members))

    async def arrived(
        self, tenant: str, session: Session, *, after: int = 0
    ) -> list[Member]:
        """Who has arrived for the session's next cycle, in order of arrival.

        Args:
            tenant: whose session.
            session: as it is.
            after: pass over the first so many arrivals of the session.
        """
        listed = await self._store.parts(tenant, session.id, after=after)

        def read() -> list[Member]:
            found = (_member(part, session.cycle + 1) for part in listed)
            return [member for member in found if member is not None]

        return await off_loop(ENTRY_BYTES * len(listed), read)

    async def rows(
        self, tenant: str, session: Session, members: Sequence[Member]
    ) -> list[Array | None]:
        """Payloads of members that have arrived, ``(dx + dy,)``.

        ``None`` for one that is not there any more, or is another now.
        """
        names = [_name(session.cycle + 1, member.index) for member in members]
        found = await self._store.part_payloads(tenant, session.id, names)

        def unpacked() -> list[Array | None]:
            return [
                None if payload is None else _row(payload, member, session.state_dim)
                for payload, member in zip(found, members, strict=True)
            ]

        size = sum(len(each) for each in found if each is not None)
        return await off_loop(size, unpacked)

    async def _finished(self, tenant: str, session: Session, k: int) -> Listing:
        (record,) = await self._store.records(tenant, session.id, [members_record(k)])
        if record is None:
            # The cycle came with all its members at once.
            return Listing(k, True, None, ())
        expected, members = unpack_members(record)
        return Listing(k, True, expected, members)


def made_of(cycle: int, members: Sequence[Member]) -> dict[str, str]:
    """Marks of members by the names of their parts."""
    return {_name(cycle, member.index): member.mark for member in members}


def pack_members(expected: int, members: Sequence[Member]) -> bytes:
    """The record of a cycle that says who is in it."""
    entries: list[dict[str, Any]] = [
        {
            "index": member.index,
            "mark": member.mark,
            "failed": member.failed,
            "staged_at": member.staged_at,
            "arrival": member.arrival,
        }
        for member in members
    ]
    return pack_document({"expected": expected, "members": entries})


def unpack_members(record: bytes) -> tuple[int, tuple[Member, ...]]:
    """The inverse of :func:`pack_members`.

    Raises:
        StoreCorrupt: when it is no such record.
    """
    document = unpack_document(record)
    expected, entries = document.get("expected"), document.get("members")
    try:
        if type(expected) is not int or type(entries) is not list:
            raise TypeError("neither a size nor a list")
        return expected, tuple(_checked(Member(**entry)) for entry in entries)
    except TypeError as error:
        raise StoreCorrupt(f"a record of members cannot be read ({error})") from None


def _checked(member: Member) -> Member:
    whole = all(type(n) is int and n >= 0 for n in (member.index, member.arrival))
    kinds = type(member.failed) is bool and type(member.mark) is str
    if not (whole and kinds and type(member.staged_at) in (int, float)):
        raise TypeError("a member of wrong kinds")
    return member


def _name(cycle: int, index: int) -> str:
    return f"member/{cycle}/{index}"


def _row(payload: memoryview, member: Member, state_dim: int) -> Array | None:
    """A payload, if it is still what was listed."""
    row = unpack_array(payload)
    same = member_mark(row[:state_dim], row[state_dim:]) == member.mark
    return row if same else None


def _member(part: ListedPart, cycle: int) -> Member | None:
    match = _NAME.fullmatch(part.name)
    if match is None or int(match[1]) != cycle:
        return None
    info = unpack_document(part.info)
    return Member(
        int(match[2]), part.mark, info["failed"], info["staged_at"], part.arrival
    )


def _check_turn(session: Session, k: int) -> None:
    if k != session.cycle + 1:
        raise CycleConflict(k, session.cycle)


def _check_index(session: Session, index: int) -> None:
    expected = Coupling.of(session, {}).expected(session)
    if expected is not None and index >= expected:
        raise SessionInputError(
            "member",
            got=str(index),
            wanted=f"0 to {expected - 1}, the rows of the ensemble",
            remedy="Declare another size with coupling.members.",
        )
