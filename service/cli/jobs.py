"""``ccdm jobs``: what operators do with jobs, on the store itself."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

from rich.markup import escape
from rich.table import Table

from service.cli.output import FAILED, CommandError, console
from service.cli.sessions import Place, duration
from service.cli.stores import with_store
from service.jobs.book import Book, Limits
from service.jobs.errors import JobError
from service.jobs.models import Job
from service.routers.submitting import job_view
from service.stores import Store

_PAGE = 500


def list_jobs(place: Place, *, as_json: bool) -> None:
    """Show all jobs of a tenant."""

    async def work(store: Store) -> list[Job]:
        book, found, after = _book(store), list[Job](), None
        while True:
            page, after = await book.list(place.tenant, after=after, limit=_PAGE)
            found += page
            if after is None:
                return found

    jobs = with_store(place.store, work)
    if as_json:
        print(json.dumps([job_view(job) for job in jobs], indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("job", "does", "status", "done", "age"):
        table.add_column(name, no_wrap=True)
    now = time.time()
    for job in jobs:
        age = duration(now - job.created)
        table.add_row(job.id, job.kind, job.status, f"{job.progress} %", age)
    out = console()
    if jobs:
        out.print(table, crop=False)
    out.print(f"{len(jobs)} jobs of tenant {escape(place.tenant)}")


def show_job(place: Place, job_id: str) -> None:
    """Show one job, and why it has failed if it has."""

    async def work(store: Store) -> Job:
        return await _book(store).get(place.tenant, job_id)

    job = _told(place, work)
    problem = {} if job.problem is None else {"problem": job.problem}
    print(json.dumps({**job_view(job), **problem}, indent=2))


def dismiss_job(place: Place, job_id: str) -> None:
    """Stop a job, or delete one that has ended."""

    async def work(store: Store) -> Job:
        return await _book(store).dismiss(place.tenant, job_id)

    _told(place, work)
    console().print(f"dismissed {escape(job_id)}")


def _told(place: Place, work: Callable[[Store], Awaitable[Job]]) -> Job:
    try:
        return with_store(place.store, work)
    except JobError as error:
        raise CommandError(str(error), FAILED) from error


def _book(store: Store) -> Book:
    return Book(store, Limits())
