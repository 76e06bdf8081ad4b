"""How many jobs may be open: looked at before one is written down, and again after.

Many may come at the same time, to several services: whoever writes a ticket counts all
once it is there. The last to write counts every other one, so that no more stay than
may. Who is beyond goes at once, and who came before waits for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from service.errors import TooBusyError
from service.jobs.errors import TooManyJobs
from service.jobs.models import Ticket
from service.jobs.tickets import Tickets

BUSY_SECONDS = 5
_LOOKS = 20
_PAUSE_SECONDS = 0.1


class Room:
    """Room for open jobs, of one tenant and of all.

    Args:
        tickets: of the jobs that are open.
        tenant: how many one tenant may have.
    """

    def __init__(self, tickets: Tickets, tenant: int) -> None:
        self._tickets = tickets
        self._tenant = tenant

    async def check(self, tenant: str) -> None:
        """Refuse what has no room now, before anything is written.

        Raises:
            TooManyJobs: when the tenant has as many open as it may.
            TooBusyError: when there are as many in all.
        """
        found = await self._tickets.all()
        self._refuse(tenant, len(found) + 1, 1 + len(_of(tenant, found)))

    async def keep(self, ticket: Ticket) -> None:
        """Let a ticket that is written down stay, or take it away again.

        Raises:
            TooManyJobs, TooBusyError: when there is no room for it.
        """
        for _ in range(_LOOKS):
            found = await self._tickets.all()
            own = _of(ticket.tenant, found)
            if len(found) <= self._tickets.most and len(own) <= self._tenant:
                return
            first = found[: self._tickets.most], own[: self._tenant]
            if not all(ticket.id in [each.id for each in some] for some in first):
                break
            await anyio.sleep(_PAUSE_SECONDS)
        await self._tickets.close(ticket.id)
        self._refuse(ticket.tenant, len(found), len(own))

    def _refuse(self, tenant: str, open_: int, own: int) -> None:
        if open_ > self._tickets.most:
            raise TooBusyError("Too many jobs are waiting.", BUSY_SECONDS)
        if own > self._tenant:
            raise TooManyJobs(self._tenant, BUSY_SECONDS)


def _of(tenant: str, tickets: Sequence[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if ticket.tenant == tenant]
