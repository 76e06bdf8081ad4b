"""A job in the hands of a worker: taken, kept by beats, and ended once.

::

    take      ticket: worker, version + 1      then the job: running, version + 1
    beat      ticket: version + 1              every third of a lease
    end       job: ended, version + 1          then the ticket goes

Each step is a compare-and-set on what this worker wrote last. After another one has
taken the job, or its owner has dismissed it, none of them succeeds any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import anyio

from service.jobs.book import Book
from service.jobs.errors import JobGone, LeaseLost, NoSuchJob
from service.jobs.models import Document, Job, Ticket
from service.stores.errors import StoreUnavailable

T = TypeVar("T")
# A store that is away comes back, most often: the work is not thrown away before.
PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 0.5

WORN_OUT: Document = {
    "slug": "job-abandoned",
    "detail": "Its workers ended while they were at it, again and again.",
}


class Holding:
    """One job that this worker holds.

    Args:
        book: where it stands.
        ticket: as this worker has marked it.
        job: as this worker has written it down.
        begun: since when its time runs, seconds since 1970.

    Attributes:
        waits: of one that was put off, what for.
    """

    def __init__(self, book: Book, ticket: Ticket, job: Job, begun: float) -> None:
        self._book = book
        self._ticket = ticket
        # Of the ticket, and of the document: a long result is no reason not to beat.
        self._turn = asyncio.Lock()
        self._writing = asyncio.Lock()
        self.job = job
        self.begun = begun
        self.waits = job.message if ticket.later else ""

    @classmethod
    async def take(
        cls, book: Book, ticket: Ticket, worker: str, attempts: int
    ) -> Holding | None:
        """Take a job that nobody holds; ``None`` when there is nothing to do for it.

        Args:
            book: where it stands.
            ticket: as it was seen.
            worker: who takes it.
            attempts: how many workers may die of it.
        """
        wanted = replace(ticket, worker=worker, attempt=ticket.attempt + 1)
        taken = await book.tickets.mark(wanted)
        if taken is None:
            return None
        try:
            job = await book.get(ticket.tenant, ticket.id)
        except (NoSuchJob, JobGone):
            await book.tickets.close(ticket.id)
            return None
        # Who began and was killed, or stopped in order, had his time for nothing.
        goes_on = ticket.worker is None and ticket.later
        begun = (goes_on and ticket.begun) or book.now()
        holding = cls(book, taken, job, begun)
        if job.ended:
            await book.tickets.close(job.id)
        elif taken.attempt > attempts:
            await holding.fail(WORN_OUT)
        elif await holding._begin():
            return holding
        return None

    async def _begin(self) -> bool:
        now = self._book.now()
        begun = replace(
            self.job,
            status="running",
            message=self.waits or "running",
            progress=0,
            started=self.job.started or now,
            attempt=self._ticket.attempt,
        )
        saved = await self._book.save(begun)
        if saved is None:
            # Dismissed just now, or ended by the one who had it before.
            if (await self._still()).ended:
                await self._book.tickets.close(self.job.id)
            return False
        self.job = saved
        return True

    async def _still(self) -> Job:
        try:
            return await self._book.get(self.job.tenant, self.job.id)
        except (NoSuchJob, JobGone):
            return replace(self.job, status="dismissed")

    async def look(self) -> None:
        """Whether it is still held; reads only.

        Raises:
            LeaseLost: if it is not.
        """
        async with self._turn:
            await self._seen()

    async def _seen(self) -> None:
        found = await self._book.tickets.find(self.job.id)
        if self.job.ended:
            return  # by this worker, which is taking the ticket away
        mine = (self._ticket.worker, self._ticket.attempt)
        if found is None or (found.worker, found.attempt) != mine:
            raise LeaseLost
        # In another version where a reply was lost, or where the store has come back
        # with what it had a second before it went.
        self._ticket = found

    async def beat(self) -> None:
        """Show that it is still worked on.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        async with self._turn:
            await self._seen()
            self._ticket = await self._book.tickets.mark(self._ticket) or self._ticket
        await self._book.renew(self.job)

    async def tell(self, percent: int, message: str) -> None:
        """Write down how far it has come.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        if self._writing.locked():
            return  # its result is on the way
        async with self._writing:
            # What it ended with is not written over while its ticket goes.
            known = (self.job.progress, self.job.message)
            if not self.job.ended and (percent, message) != known:
                await self._save(replace(self.job, progress=percent, message=message))

    async def succeed(
        self, facts: Document | None = None, blobs: Mapping[str, bytes] | None = None
    ) -> None:
        """Write down its result, and that it has ended.

        Raises:
            LeaseLost: when it is not ours any more; the result is not taken.
        """
        done = replace(
            self.job,
            status="successful",
            progress=100,
            message="done",
            finished=self._book.now(),
        )
        await self._end(done, facts, blobs)

    async def fail(self, problem: Document) -> None:
        """Write down why it has failed.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        failed = replace(
            self.job,
            status="failed",
            message=str(problem.get("detail", ""))[:500] or "failed",
            problem=problem,
            finished=self._book.now(),
        )
        await self._end(failed)

    async def _end(
        self,
        ended: Job,
        facts: Document | None = None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> None:
        async with self._writing:
            ended = replace(ended, version=self.job.version)
            await patiently(lambda: self._save(ended, facts, blobs))
        await patiently(lambda: self._book.tickets.close(ended.id))

    async def _save(
        self,
        job: Job,
        facts: Document | None = None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> None:
        while (saved := await self._book.save(job, facts=facts, blobs=blobs)) is None:
            found = await self._still()
            if found.attempt != job.attempt or found.version <= job.version:
                raise LeaseLost
            if found.status == job.status:
                # The first try went through and only its reply was lost.
                saved = found
                break
            if found.ended:
                raise LeaseLost
            # So did what was told of its progress before.
            job = replace(job, version=found.version)
        self.job = saved

    async def postpone(self, seconds: float, message: str, *, spent: bool) -> None:
        """Let go of it for a while: what it needs is not there yet.

        Args:
            seconds: until it may be taken again.
            message: what it waits for.
            spent: whether this counts as an attempt.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        await self.tell(0, message[:500])
        await self.release(later=self._book.now() + seconds, spent=spent)

    async def release(self, *, later: float = 0.0, spent: bool = False) -> None:
        """Let go of it, so that another worker can take it, at once unless told.

        That this one was stopped in order does not count as an attempt.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        async with self._turn:
            await self._seen()
            attempt = self._ticket.attempt - (not spent)
            begun = self.begun if later else 0.0
            freed = replace(self._ticket, worker=None, attempt=attempt, begun=begun)
            await self._book.tickets.mark(replace(freed, later=later))


async def patiently(
    work: Callable[[], Awaitable[T]], seconds: float = PATIENCE_SECONDS
) -> T:
    """Do something with the store, again and again while it is away."""
    end = time.monotonic() + seconds
    while True:
        try:
            return await work()
        except StoreUnavailable:
            if time.monotonic() > end:
                raise
            await anyio.sleep(_PAUSE_SECONDS)
