"""All jobs, in the store where sessions are, by compare-and-set alone.

A job's document and arrays are kept as a session's are, under a name that no tenant
can have; so both stores keep them, with checksums, pieces and an end of their lives.

What makes a result come once: whoever takes a job moves the version of its ticket and
then of its document; whoever held it before finds both moved on, and its result is
not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from service.errors import TooBusyError
from service.jobs.asked import ASKED, came_with, set_apart
from service.jobs.errors import JobGone, LeaseLost, NoSuchJob, TooManyJobs, absent_job
from service.jobs.models import (
    FACTS,
    SAMPLES,
    Array,
    Document,
    Job,
    Submission,
    Ticket,
    input_blob,
    keys,
    pack_job,
    shelf,
    unpack_job,
)
from service.jobs.room import BUSY_SECONDS, Room
from service.jobs.tickets import Tickets
from service.sessions.creation import new_sid, new_token
from service.sessions.watching import State, Watching, state_of
from service.stores.clocks import SteadyClock
from service.stores.codec import (
    pack_array,
    pack_document,
    unpack_array,
    unpack_document,
)
from service.stores.errors import (
    QuotaExceeded,
    SessionGone,
    SessionNotFound,
    StoreCorrupt,
)
from service.stores.offloop import JSON_COST, off_loop
from service.stores.protocol import Change, Outcome, Quota, Store

# Documents on one page, written out; more are on the next.
PAGE_BYTES = 8 << 20
_ATTEMPTS = 20
_TWIN_SECONDS = 0.1
# Longest time for a job to be written down, inputs and all; then workers look for it.
WRITING_SECONDS = 600.0
_ABSENT = (SessionNotFound, SessionGone)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many jobs there may be, and how long they are kept.

    Attributes:
        open: jobs of all tenants that wait or run.
        tenant: those of one tenant.
        ttl_seconds: how long a job is kept after its last change.
        quota: what the jobs of one tenant may take up.
    """

    open: int = 1000
    tenant: int = 100
    ttl_seconds: float = 86_400.0
    quota: Quota | None = None


class Book:
    """Jobs in the store. Holds nothing that another process would need to know.

    Args:
        store: where they are kept, open.
        limits: see there.
        stopping: nobody waits any more once this is set.
        clock: seconds since 1970.

    Attributes:
        tickets: of the jobs that are open.
        accepted: set whenever a job begins to wait, for workers of this process.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        stopping: asyncio.Event | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self.now = clock or SteadyClock().late
        self._watching = Watching(store, stopping)
        self.tickets = Tickets(store, limits.open, limits.ttl_seconds, self.now)
        self._room = Room(self.tickets, limits.tenant)
        self.accepted = asyncio.Event()

    async def submit(self, tenant: str, wanted: Submission) -> Job:
        """Accept a job, or find the open one that was accepted for the same.

        Raises:
            TooManyJobs: when the tenant has as many open as it may.
            TooBusyError: when there are as many in all.
            QuotaExceeded: when the tenant would keep more than it may.
        """
        same = None
        if wanted.key is not None:
            same, _ = await self._pointed(tenant, wanted.key)
        if same is None:
            await self._room.check(tenant)
            same = await self._written(tenant, wanted)
        await self._offer(same)
        self._nudge(same)
        self.accepted.set()
        return same

    async def _offer(self, job: Job) -> None:
        """Let workers take a job that is written down; nobody was told of it before.

        Raises:
            TooBusyError: when they gave it up before it was.
        """
        found = await self.tickets.find(job.id)
        if found is None:
            # An earlier version wrote it, or it has ended since it was found.
            ticket = Ticket(id=job.id, tenant=job.tenant, created=job.created)
            if await self.tickets.mark(ticket) is None:
                await self._check_found(job)
        elif found.worker is None and found.later and not found.begun:
            await self.tickets.mark(replace(found, later=0.0))

    async def _check_found(self, job: Job) -> None:
        ended = (await self.get(job.tenant, job.id)).ended
        if not ended and await self.tickets.find(job.id) is None:
            await self._forget(shelf(job.tenant), job.id)
            told = f"The job took {WRITING_SECONDS:g} seconds to be written down."
            raise TooBusyError(told, BUSY_SECONDS)

    async def _written(self, tenant: str, wanted: Submission) -> Job:
        """A new job; or the one that another submission was quicker with."""
        now = self.now()
        asked, blobs = await set_apart(wanted.asked)
        job = Job(
            id=new_sid(now),
            tenant=tenant,
            kind=wanted.kind,
            asked=asked,
            apart=bool(blobs),
            arrays=tuple(wanted.arrays),
            created=now,
            updated=now,
            timeout=wanted.timeout,
        )
        # Who is killed on the way leaves a ticket, of which a worker makes an end or a
        # result, and not a job that waits for ever.
        later = now + WRITING_SECONDS
        ticket = Ticket(id=job.id, tenant=tenant, created=now, later=later)
        await self.tickets.mark(ticket)
        try:
            await self._room.keep(ticket)
        except (TooManyJobs, TooBusyError):
            # Perhaps it was one of several of the same, of which one stays.
            twin = await self._twin(tenant, wanted.key)
            if twin is None:
                raise
            return twin
        for name, array in wanted.arrays.items():
            pack = lambda array=array: pack_array(array)  # noqa: E731
            blobs[input_blob(name)] = await off_loop(array.nbytes, pack)
        try:
            saved = await self.save(job, blobs=blobs)
        except QuotaExceeded:
            await self.tickets.close(job.id)
            raise
        if saved is None:
            raise StoreCorrupt("a new job's name was taken")
        winner = saved
        if wanted.key is not None:
            winner = await self._point(tenant, wanted.key, saved)
        if winner is not saved:
            await self.tickets.close(saved.id)
            await self._forget(shelf(tenant), saved.id)
        return winner

    async def _pointed(self, tenant: str, key: str) -> tuple[Job | None, int]:
        """The open job of a key, and the version of what says so."""
        try:
            loaded = await self._store.load(keys(tenant), key)
        except SessionNotFound:
            return None, 0
        except SessionGone:
            return None, -1
        try:
            job = await self.get(tenant, unpack_document(loaded.meta)["job"])
        except (NoSuchJob, JobGone):
            return None, loaded.version
        return (None if job.ended else job), loaded.version

    async def _twin(self, tenant: str, key: str | None) -> Job | None:
        """The job of a key as soon as another submission has written it down."""
        for _ in range(_ATTEMPTS if key is not None else 0):
            job, _ = await self._pointed(tenant, str(key))
            if job is not None:
                return job
            await asyncio.sleep(_TWIN_SECONDS)
        return None

    async def _point(self, tenant: str, key: str, job: Job) -> Job:
        """Make this the job of a key, unless another one is, and open."""
        for _ in range(_ATTEMPTS):
            other, version = await self._pointed(tenant, key)
            if other is not None:
                return other
            if version < 0:
                # Its name is spent for a day; the cycle itself still happens once.
                return job
            change = Change(
                expected_version=version,
                token=new_token(),
                meta=pack_document({"job": job.id}),
                expires_at=job.expires_at,
            )
            try:
                outcome = await self._store.commit(keys(tenant), key, change)
            except _ABSENT:
                return job
            if outcome is not Outcome.CONFLICT:
                return job
        return job

    async def get(self, tenant: str, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            NoSuchJob, JobGone: when there is none.
        """
        try:
            loaded = await self._store.load(shelf(tenant), job_id)
        except _ABSENT as error:
            raise absent_job(job_id, error) from None
        return unpack_job(tenant, job_id, loaded)

    async def moved(
        self, tenant: str, job_id: str, seen: State | None, seconds: float
    ) -> tuple[Job, State]:
        """The job once it is in another state than was seen, or after so long.

        Raises:
            NoSuchJob, JobGone: as soon as there is none.
        """
        try:
            loaded = await self._watching.moved(shelf(tenant), job_id, seen, seconds)
        except _ABSENT as error:
            raise absent_job(job_id, error) from None
        return unpack_job(tenant, job_id, loaded), state_of(loaded)

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end."""
        return self._watching.stopping

    async def list(
        self, tenant: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[list[Job], str | None]:
        """Jobs in the order they were accepted, and where the next page begins.

        Fewer than ``limit`` where their documents are long.
        """
        page = await self._store.list(
            shelf(tenant), after=after, limit=limit, max_bytes=PAGE_BYTES
        )
        jobs = [unpack_job(tenant, name, loaded) for name, loaded in page.sessions]
        return jobs, page.next

    async def save(
        self,
        job: Job,
        *,
        facts: Document | None = None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> Job | None:
        """Write a job down if it still has this version; ``None`` if it has not.

        What came with the request is dropped once the job has ended.

        Raises:
            QuotaExceeded: when the jobs of the tenant would take up more than they may.
        """
        now = self.now()
        job = replace(job, updated=now, expires_at=now + self._limits.ttl_seconds)
        change = Change(
            expected_version=job.version,
            token=new_token(),
            meta=pack_job(job),
            expires_at=job.expires_at,
            records={} if facts is None else {FACTS: pack_document(facts)},
            blobs=blobs or {},
            drop_blobs=came_with(job) if job.ended else (),
            quota=self._limits.quota,
        )
        try:
            outcome = await self._store.commit(shelf(job.tenant), job.id, change)
        except _ABSENT:
            return None
        except QuotaExceeded as error:
            found = error.what, error.limit, error.used
            raise QuotaExceeded(*found, of="jobs") from None
        if outcome is Outcome.CONFLICT:
            return None
        self._nudge(job)
        return replace(job, version=job.version + 1)

    async def dismiss(self, tenant: str, job_id: str) -> Job:
        """Stop a job, or forget one that has ended.

        Raises:
            NoSuchJob, JobGone: when there is none.
        """
        while True:
            job = await self.get(tenant, job_id)
            ended = replace(
                job, status="dismissed", message="dismissed", finished=self.now()
            )
            if job.ended:
                await self._forget(shelf(tenant), job_id)
                self._nudge(job)
                return ended
            saved = await self.save(ended)
            if saved is not None:
                await self.tickets.close(job_id)
                return saved

    async def asked(self, job: Job) -> Document:
        """Everything that was asked for, arrays apart; raises as :meth:`inputs`."""
        if not job.apart:
            return job.asked
        whole = await self._blob(job, ASKED)
        return await off_loop(JSON_COST * len(whole), lambda: unpack_document(whole))

    async def inputs(self, job: Job) -> dict[str, Array]:
        """The arrays that came with a job.

        Raises:
            NoSuchJob, JobGone, LeaseLost: when it was dismissed or ended meanwhile.
        """
        return {name: await self._array(job, input_blob(name)) for name in job.arrays}

    async def result(self, job: Job) -> tuple[Array, Document]:
        """Samples ``(n_samples, dx)`` of an analysis, and the facts about them."""
        return await self._array(job, SAMPLES), await self.facts(job)

    async def facts(self, job: Job) -> Document:
        """What is told of the result of a job."""
        (facts,) = await self._store.records(shelf(job.tenant), job.id, [FACTS])
        if facts is None:
            raise StoreCorrupt(f"job {job.id} has lost its diagnostics")
        return unpack_document(facts)

    async def _array(self, job: Job, name: str) -> Array:
        return unpack_array(await self._blob(job, name))

    async def _blob(self, job: Job, name: str) -> memoryview:
        payload = await self._store.blob(shelf(job.tenant), job.id, name)
        if payload is None:
            # Expired, or deleted? Then this says so.
            found = await self.get(job.tenant, job.id)
            if found.ended and not job.ended:
                # Dismissed since, or ended by who has it now: nothing is damaged.
                raise LeaseLost
            raise StoreCorrupt(f"job {job.id} has lost {name}")
        return payload

    async def renew(self, job: Job) -> None:
        """Keep a job that takes long from being forgotten while it runs."""
        now = self.now()
        if job.expires_at - now < self._limits.ttl_seconds / 2:
            end = now + self._limits.ttl_seconds
            await self._store.touch(shelf(job.tenant), job.id, end)

    def _nudge(self, job: Job) -> None:
        self._watching.nudge(shelf(job.tenant), job.id)

    async def _forget(self, place: str, name: str) -> None:
        try:
            await self._store.delete(place, name)
        except _ABSENT:
            return
