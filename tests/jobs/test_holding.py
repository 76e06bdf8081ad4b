"""What the holder of a job writes down, slowly or with replies lost, is taken once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pytest

from service.errors import TooBusyError
from service.jobs.book import WRITING_SECONDS, Book, Limits
from service.jobs.holding import WORN_OUT, Holding
from service.jobs.models import SAMPLES
from service.jobs.running import Runner
from service.jobs.workers import Workers
from service.problems import described
from service.progress import report
from service.stores import Store
from service.stores.errors import StoreUnavailable
from service.stores.protocol import Change
from tests.jobs.test_turns import WANTED, done
from tests.support.servers import PATIENCE
from tests.support.stores import Clock, clock, open_another, store, store_url

__all__ = ["clock", "open_another", "store", "store_url"]
LEASE_SECONDS = 0.6


class Between:
    """A store with something on the way to it and back."""

    def __init__(self, store: Store, way: Callable[..., Awaitable[None]]) -> None:
        self._store = store
        self._way = way

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, tenant: str, name: str, change: Change) -> Any:
        await self._way("there", change)
        outcome = await self._store.commit(tenant, name, change)
        await self._way("back", change)
        return outcome


class Answers:
    """An engine that has an answer at once, or says meanwhile how far it is."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked = 0

    async def analyse(self, *_: Any) -> Any:
        self.asked += 1
        report(0.5, "half")
        await anyio.sleep(self.seconds)
        return SimpleNamespace(samples=np.ones((2, 2)), diagnostics={})

    def patience(self, *_: float | None) -> Any:
        return nullcontext()

    in_time = patience


def workers_of(book: Book, engine: Answers, describe: Any = described) -> Workers:
    runner = Runner(
        *(book, engine, None, None),  # type: ignore[arg-type]
        *(describe, lambda size: nullcontext(), None),  # type: ignore[arg-type]
        lease_seconds=LEASE_SECONDS,
        deadline_seconds=60.0,
    )
    return Workers(
        *(book, runner),
        slots=1,
        lease_seconds=LEASE_SECONDS,
        attempts=3,
        seen=lambda queue: None,
        finished=lambda status: None,
    )


async def test_a_result_that_takes_long_to_write_is_waited_for(store: Store) -> None:
    async def slowly(way: str, change: Change) -> None:
        if way == "there" and SAMPLES in change.blobs:
            await anyio.sleep(4 * LEASE_SECONDS)

    slow: Any = Between(store, slowly)
    book, engine = Book(slow, Limits()), Answers()
    job = await book.submit("t", WANTED)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(workers_of(Book(slow, Limits()), engine).work)
            while not (found := await book.get("t", job.id)).ended:
                await anyio.sleep(0.05)
            group.cancel_scope.cancel()
    told = (found.status, found.attempt, found.problem, engine.asked)
    assert told == ("successful", 1, None, 1)


async def test_a_lost_reply_about_progress_costs_no_result(store: Store) -> None:
    lost = []

    async def losing(way: str, change: Change) -> None:
        if way == "back" and b"half" in change.meta and not lost:
            lost.append(change)
            raise StoreUnavailable("the reply was lost")

    book = Book(Between(store, losing), Limits())  # type: ignore[arg-type]
    job = await book.submit("t", WANTED)
    (ticket,) = await book.tickets.all()
    holding = await Holding.take(book, ticket, "one", 3)
    assert holding is not None
    with anyio.fail_after(PATIENCE):
        try:
            await holding.tell(50, "half")
        except StoreUnavailable:
            await holding.succeed({"diagnostics": {}}, {})
    assert lost
    assert (await book.get("t", job.id)).status == "successful"


@pytest.mark.parametrize("status", ["successful", "failed"])
async def test_progress_told_late_leaves_the_end_as_it_is(
    store: Store, status: str
) -> None:
    book = Book(store, Limits())
    job = await book.submit("t", WANTED)
    (ticket,) = await book.tickets.all()
    holding = await Holding.take(book, ticket, "one", 3)
    assert holding is not None
    close, ends = book.tickets.close, []

    async def telling(job_id: str) -> None:
        ends.append(await book.get("t", job_id))
        await holding.look()
        await holding.tell(98, "updating")
        await close(job_id)

    book.tickets.close = telling  # type: ignore[method-assign]
    if status == "successful":
        await holding.succeed({"diagnostics": {}}, {})
    else:
        await holding.fail({"slug": "x", "detail": "why"})
    assert [end.status for end in ends] == [status]
    assert await book.get("t", job.id) == ends[0]


async def test_a_job_whose_service_was_killed_as_it_wrote_it_down_is_run(
    store: Store, clock: Clock
) -> None:
    class Killed(BaseException):
        pass

    async def killing(way: str, change: Change) -> None:
        if way == "back" and change.blobs:
            raise Killed

    between: Any = Between(store, killing)
    with pytest.raises(Killed):
        await Book(between, Limits(), clock=clock).submit("t", WANTED)
    book, engine = Book(store, Limits(), clock=clock), Answers()
    (job,), _ = await book.list("t")
    assert job.status == "accepted"
    clock.advance(WRITING_SECONDS)
    await done(book, workers_of(book, engine), clock)
    assert (await book.get("t", job.id)).status == "successful"
    assert engine.asked == 1


async def test_a_job_that_was_given_up_as_it_was_written_is_refused(
    store: Store, clock: Clock
) -> None:
    book, engine = Book(store, Limits(), clock=clock), Answers()

    async def slowly(way: str, change: Change) -> None:
        if way == "there" and change.blobs:
            clock.advance(WRITING_SECONDS)
            await done(book, workers_of(book, engine), clock)

    slow: Any = Between(store, slowly)
    with pytest.raises(TooBusyError, match="to be written down"):
        await Book(slow, Limits(), clock=clock).submit("t", WANTED)
    assert (await book.list("t"))[0] == []


async def test_a_defect_after_the_work_is_an_attempt(
    store: Store, clock: Clock
) -> None:
    def undescribed(error: Exception) -> Any:
        raise ZeroDivisionError from error

    book, engine = Book(store, Limits(), clock=clock), Answers()
    engine.analyse = undescribed  # type: ignore[method-assign, assignment]
    job = await book.submit("t", WANTED)
    await done(book, workers_of(book, engine, undescribed), clock)
    found = await book.get("t", job.id)
    assert (found.status, found.problem, found.attempt) == ("failed", WORN_OUT, 3)
