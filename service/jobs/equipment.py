"""What a process needs to accept and to run jobs, put together from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.jobs.book import Book, Limits
from service.jobs.models import Array, Document, Job
from service.jobs.running import Runner
from service.jobs.workers import Queue, Workers
from service.problems import described
from service.schemas.stored import StoredAnalysisRequest
from service.settings import Settings
from service.stored.requests import prepared, told
from service.stored.targets import Attempt
from service.stores.protocol import Quota


def equip(
    state: Any,
    slots: int,
    heard: Callable[[str, Job], None] | None = None,
    looked: Callable[[], None] | None = None,
) -> None:
    """Add ``book`` and ``workers`` to the state of an application.

    Args:
        state: has ``settings``, ``store``, ``compute``, ``sessions``,
            ``operators``, ``bodies``, ``metrics`` and ``stopping``.
        slots: jobs that run at the same time in this process.
        heard: told of each job that is begun here, and how it ended.
        looked: called after every look at the queue.
    """
    settings: Settings = state.settings
    limits = Limits(
        settings.max_jobs,
        settings.max_tenant_jobs,
        settings.job_ttl_seconds,
        Quota(bytes=settings.max_tenant_bytes),
    )
    state.book = Book(state.store, limits, state.stopping)

    async def stored(job: Job, numbers: dict[str, Array]) -> Document:
        params = StoredAnalysisRequest.model_validate(job.asked)
        compute, attempt = state.compute, Attempt(job.id, job.attempt)
        wanted = await compute.in_thread(prepared, params, settings, numbers, attempt)
        return told(params, await compute.analyse_stored(wanted))

    runner = Runner(
        *(state.book, state.compute, state.sessions, state.operators),
        *(described, state.bodies.hold, stored),
        lease_seconds=settings.job_lease_seconds,
        deadline_seconds=settings.job_deadline_seconds,
    )

    def seen(queue: Queue) -> None:
        if looked is not None:
            looked()
        state.metrics.jobs_seen(
            queue.waiting, queue.running, queue.oldest_seconds, queue.due
        )

    state.workers = Workers(
        *(state.book, runner),
        slots=slots,
        lease_seconds=settings.job_lease_seconds,
        attempts=settings.job_attempts,
        seen=seen,
        finished=state.metrics.job_finished,
        heard=heard,
    )
