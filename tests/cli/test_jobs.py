"""``ccdm jobs``: what an operator does with the jobs in a store, as processes."""

from __future__ import annotations

import asyncio
import json

from service.jobs.book import Book, Limits
from service.jobs.models import Job, Submission
from service.stores import open_store
from tests.cli.conftest import Ccdm


def accepted(url: str) -> Job:
    """A job that waits, for no worker is there."""

    async def work() -> Job:
        store = open_store(url)
        await store.open()
        wanted = Submission("analysis", {"options": {}, "seed": 1})
        job = await Book(store, Limits()).submit("default", wanted)
        await store.close()
        return job

    return asyncio.run(work())


def test_jobs_are_listed_shown_and_dismissed(ccdm: Ccdm, store_url: str) -> None:
    job = accepted(store_url)
    where = ("--store", store_url)
    listed = ccdm("jobs", "list", *where).stdout
    assert job.id in listed and "accepted" in listed and "1 jobs of tenant" in listed
    (view,) = json.loads(ccdm("jobs", "list", "--json", *where).stdout)
    assert view == json.loads(ccdm("jobs", "show", job.id, *where).stdout)
    assert (view["jobID"], view["status"]) == (job.id, "accepted")
    ccdm("jobs", "dismiss", job.id, *where)
    shown = json.loads(ccdm("jobs", "show", job.id, *where).stdout)
    assert shown["status"] == "dismissed"
    missing = ccdm("jobs", "show", "nobody", *where, code=1)
    assert "There is no job 'nobody'" in missing.stderr + missing.stdout
