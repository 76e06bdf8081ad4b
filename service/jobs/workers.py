"""Workers: they look for open jobs, take one after the other, and run them.

Tenants take turns: next is the one with the fewest running jobs, of these the one that
was not served for the longest time, and of its jobs the one that is due first.

A job that nobody holds is taken at once. One that is held is taken when its ticket has
stood still for longer than a lease: its worker was killed, or its machine is gone.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.abc

from service.jobs.book import Book
from service.jobs.holding import Holding
from service.jobs.models import Job, Ticket
from service.jobs.running import POSTPONED, Runner
from service.stores.errors import StoreError, StoreUnavailable

LOOK_SECONDS = 1.0
# No job is put off for longer; what says so was written by a clock that is ahead.
MOST_LATER_SECONDS = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Queue:
    """How the queue is, seen from here.

    Attributes:
        waiting: jobs that nobody holds.
        due: of these, those that may be taken now.
        running: jobs that somebody holds.
        oldest_seconds: how long the one that was accepted first is open.
    """

    waiting: int = 0
    running: int = 0
    oldest_seconds: float = 0.0
    due: int = 0


class Workers:
    """The workers of one process.

    Args:
        book: where jobs stand.
        runner: runs one.
        slots: jobs that run at the same time here; 0 only watches the queue.
        lease_seconds: how long a job without a beat counts as held.
        attempts: how many workers may die of one job.
        seen: told how the queue is, after every look.
        finished: told how a job ended.
        heard: told what happens to a job, ``"running"`` or how it ended.
    """

    def __init__(
        self,
        book: Book,
        runner: Runner,
        *,
        slots: int,
        lease_seconds: float,
        attempts: int,
        seen: Callable[[Queue], None],
        finished: Callable[[str], None],
        heard: Callable[[str, Job], None] | None = None,
    ) -> None:
        self._book = book
        self._runner = runner
        self._slots = slots
        self._lease = lease_seconds
        self._attempts = attempts
        self._seen = seen
        self._finished = finished
        self._heard = heard or (lambda what, job: None)
        self._served: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._mine: set[str] = set()
        self._still: dict[str, tuple[int, float]] = {}
        self._told = ""
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    async def work(self) -> None:
        """Run jobs until cancelled; take no new ones once the process is to end."""
        async with anyio.create_task_group() as group:
            while True:
                self._book.accepted.clear()
                try:
                    await self._look(group)
                except StoreUnavailable:
                    # Readiness tells of it.
                    self._told = ""
                except Exception as error:
                    self._tell(error)
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._book.accepted.wait()

    def _tell(self, error: Exception) -> None:
        """Write into the log what keeps jobs from being run, once."""
        told = repr(error)
        if told != self._told:
            self._told = told
            _log.error("jobs are kept from running: %s", error, exc_info=error)

    async def _look(self, group: anyio.abc.TaskGroup) -> None:
        """Take what may be taken."""
        try:
            tickets = await self._book.tickets.all()
        except StoreError:
            # While it was away nobody could beat.
            self._still.clear()
            raise
        self._seen(_queue(tickets, self._book.now()))
        self._remember(tickets)
        free = [ticket for ticket in tickets if self._free(ticket)]
        running = Counter(t.tenant for t in tickets if t.worker)
        # Those whose worker is gone do not run.
        running.subtract(t.tenant for t in free if t.worker)
        there = {ticket.tenant for ticket in tickets}
        self._served = {t: turn for t, turn in self._served.items() if t in there}
        while free and len(self._mine) < self._slots and not self._book.stopping:
            ticket = min(free, key=lambda each: self._rank(each, running))
            free.remove(ticket)
            if await self._take(ticket, group):
                running[ticket.tenant] += 1
                self._served[ticket.tenant] = next(self._turns)

    def _rank(self, ticket: Ticket, running: Counter[str]) -> tuple[int, int, float]:
        """Who is next: the least."""
        name = ticket.tenant
        due = max(ticket.created, ticket.later)
        return running[name], self._served.get(name, 0), due

    def _remember(self, tickets: list[Ticket]) -> None:
        now = time.monotonic()
        before, self._still = self._still, {}
        for ticket in tickets:
            version, since = before.get(ticket.id, (-1, now))
            if version != ticket.version:
                since = now
            self._still[ticket.id] = (ticket.version, since)

    def _free(self, ticket: Ticket) -> bool:
        if ticket.id in self._mine:
            return False
        if ticket.worker is None:
            return _due(ticket, self._book.now())
        _, since = self._still[ticket.id]
        return time.monotonic() - since > self._lease

    async def _take(self, ticket: Ticket, group: anyio.abc.TaskGroup) -> bool:
        self._mine.add(ticket.id)
        try:
            holding = await Holding.take(self._book, ticket, self.name, self._attempts)
        except BaseException:
            self._mine.discard(ticket.id)
            raise
        if holding is None:
            self._mine.discard(ticket.id)
            return False
        if not ticket.later:
            self._heard("running", holding.job)
        group.start_soon(self._run, holding)
        return True

    async def _run(self, holding: Holding) -> None:
        try:
            ended = await self._runner.run(holding)
            if ended != POSTPONED:
                self._finished(ended)
                self._heard(ended, holding.job)
        except Exception as error:
            # A defect in one job must not end the service, nor the other jobs.
            _log.error("job %s could not be run", holding.job.id, exc_info=error)
        finally:
            self._mine.discard(holding.job.id)
            # There is room for the next one.
            self._book.accepted.set()


def _queue(tickets: list[Ticket], now: float) -> Queue:
    held = sum(ticket.worker is not None for ticket in tickets)
    oldest = max((now - ticket.created for ticket in tickets), default=0.0)
    due = sum(ticket.worker is None and _due(ticket, now) for ticket in tickets)
    return Queue(len(tickets) - held, held, max(oldest, 0.0), due)


def _due(ticket: Ticket, now: float) -> bool:
    """Whether a job that nobody holds may be taken."""
    return not 0 < ticket.later - now < MOST_LATER_SECONDS
