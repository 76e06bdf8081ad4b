"""What happens to a session, told in order, from any point on.

There is no log of events that could be lost or could grow. Everything worth telling is
in the store anyway: cycles with their numbers, members with the numbers of their
arrival. A :class:`Position` names the last ones told, so that whoever was away is told
the rest by whichever process is asked.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Literal

from service.sessions.coupling import Member
from service.sessions.documents import read_session
from service.sessions.members import Members
from service.sessions.models import Cycle, Document, Session
from service.sessions.reading import Reading
from service.sessions.watching import Watching, state_of
from service.stores.errors import SessionGone, SessionNotFound, StoreUnavailable

# Cycles that are read at once by who has been away for long.
_TOGETHER = 50


@dataclass(frozen=True, slots=True)
class Position:
    """The last things that were told: a cycle, and an arrival."""

    cycle: int
    arrival: int

    def __str__(self) -> str:
        """As it travels: ``3.17``."""
        return f"{self.cycle}.{self.arrival}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The inverse of ``str``; ``None`` for anything else."""
        match = re.fullmatch(r"(\d{1,10})\.(\d{1,18})", text)
        return cls(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Began:
    """The session as it is now, and who has arrived for its next cycle."""

    at: Position
    session: Session
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberArrived:
    """A member has arrived for the next cycle."""

    at: Position
    cycle: int
    member: Member


@dataclass(frozen=True, slots=True)
class Warned:
    """A cycle comes with a warning; its own event follows."""

    cycle: int
    warning: Document


@dataclass(frozen=True, slots=True)
class CycleFinished:
    """A cycle is finished."""

    at: Position
    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Gone:
    """The session is no more; nothing follows."""

    reason: Literal["deleted", "expired"]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing has happened for a while, or the store could not be asked."""


Event = Began | MemberArrived | Warned | CycleFinished | Gone | Quiet


class Telling:
    """Tells what happens to sessions."""

    def __init__(self, reading: Reading, members: Members, watching: Watching) -> None:
        self._reading = reading
        self._members = members
        self._watching = watching

    async def events(
        self, tenant: str, sid: str, after: Position | None, quiet_seconds: float
    ) -> AsyncGenerator[Event]:
        """Events of a live session until it is gone or the service is about to end.

        Args:
            tenant: whose session.
            sid: its name.
            after: where the caller was; ``None`` begins now.
            quiet_seconds: tell of nothing, when there is nothing, so often.

        Raises:
            SessionNotFound, SessionGone: before the first event, when there is none.
        """
        loaded = await self._watching.moved(tenant, sid, None, 0.0)
        session = await read_session(sid, loaded)
        arrived = await self._members.arrived(tenant, session)
        last = max((member.arrival for member in arrived), default=loaded.arrivals)
        now = Position(session.cycle, max(last, loaded.arrivals))
        # A place that is still to come is one of another store's: begin anew.
        known = after is not None and after.cycle <= now.cycle
        at = after if after is not None and known else now
        yield Began(at, session, tuple(arrived))
        seen = None if after is not None else state_of(loaded)
        while not self._watching.stopping:
            try:
                loaded = await self._watching.moved(tenant, sid, seen, quiet_seconds)
                if state_of(loaded) == seen:
                    yield Quiet()
                    continue
                seen = state_of(loaded)
                session = await read_session(sid, loaded)
                async for event in self._since(tenant, session, at):
                    at = getattr(event, "at", at)
                    yield event
            except SessionGone as error:
                yield Gone(error.reason)
                return
            except SessionNotFound:
                yield Gone("deleted")
                return
            except StoreUnavailable:
                seen = None
                yield Quiet()

    async def _since(
        self, tenant: str, session: Session, at: Position
    ) -> AsyncIterator[Event]:
        """What is new since a position."""
        for start in range(at.cycle + 1, session.cycle + 1, _TOGETHER):
            numbers = range(start, min(start + _TOGETHER, session.cycle + 1))
            for cycle in await self._reading.cycles(tenant, session, numbers):
                for warning in cycle.diagnostics.get("warnings") or ():
                    yield Warned(cycle.cycle, warning)
                at = Position(cycle.cycle, at.arrival)
                yield CycleFinished(at, cycle)
        new = await self._members.arrived(tenant, session, after=at.arrival)
        for member in new:
            at = Position(session.cycle, member.arrival)
            yield MemberArrived(at, session.cycle + 1, member)
