"""The list of open jobs: what all workers look at, and where they take turns.

A ticket is moved on by compare-and-set. Who holds it does so every few seconds; that
is the beat by which others know that the holder lives. No clock of another machine is
asked: a ticket whose version stands still for long enough, on the watch of whoever
looks, belongs to nobody any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from service.jobs.models import Ticket, pack_ticket, unpack_ticket
from service.sessions.creation import new_token
from service.stores.errors import SessionGone, SessionNotFound
from service.stores.protocol import Change, Outcome, Store

# Among the tenants of a store; no tenant has a dot in its name.
PLACE = ".tickets"
# Jobs that come in at the same time may be a few more than are allowed.
_SPARE = 50


class Tickets:
    """Tickets in the store.

    Args:
        store: where they are kept, open.
        most: how many there may be.
        ttl_seconds: how long one lives without a beat.
        clock: seconds since 1970.
    """

    def __init__(
        self, store: Store, most: int, ttl_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.most = most
        self._store = store
        self._ttl = ttl_seconds
        self._clock = clock

    async def all(self) -> list[Ticket]:
        """All open jobs, the oldest first."""
        page = await self._store.list(PLACE, after=None, limit=self.most + _SPARE)
        tickets = [unpack_ticket(name, loaded) for name, loaded in page.sessions]
        return sorted(tickets, key=lambda ticket: (ticket.created, ticket.id))

    async def find(self, job_id: str) -> Ticket | None:
        """The ticket of one job, if it is open."""
        try:
            return unpack_ticket(job_id, await self._store.load(PLACE, job_id))
        except (SessionNotFound, SessionGone):
            return None

    async def mark(self, ticket: Ticket) -> Ticket | None:
        """Write a ticket if it still has this version; ``None`` if it has not."""
        expires_at = self._clock() + self._ttl
        change = Change(
            expected_version=ticket.version,
            token=new_token(),
            meta=pack_ticket(ticket),
            expires_at=expires_at,
        )
        try:
            outcome = await self._store.commit(PLACE, ticket.id, change)
        except (SessionNotFound, SessionGone):
            return None
        if outcome is Outcome.CONFLICT:
            return None
        return replace(ticket, version=ticket.version + 1, expires_at=expires_at)

    async def close(self, job_id: str) -> None:
        """Take the ticket of a job away that has ended; there may be none."""
        try:
            await self._store.delete(PLACE, job_id)
        except (SessionNotFound, SessionGone):
            return
