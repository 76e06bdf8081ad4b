"""One job, many hands: whoever holds it last has the only say, over both stores."""

from __future__ import annotations

import asyncio

import anyio
import numpy as np
import pytest

from service.errors import TooBusyError
from service.jobs.book import Book, Limits
from service.jobs.errors import JobGone, LeaseLost, NoSuchJob, TooManyJobs
from service.jobs.holding import WORN_OUT, Holding
from service.jobs.models import SAMPLES, Job, Submission, Ticket
from service.jobs.workers import Workers
from service.stores import Store, StoreCorrupt
from service.stores.codec import pack_array
from tests.support.stores import Clock, OpenStore, clock, open_another, store, store_url

__all__ = ["clock", "open_another", "store", "store_url"]
ARRAYS = {"observation": np.array([1.5, np.nan])}
WANTED = Submission("analysis", {"options": {}, "seed": 1}, ARRAYS)


@pytest.fixture
def book(store: Store, clock: Clock) -> Book:
    """Jobs in an empty store."""
    return Book(store, Limits(open=5, tenant=3, ttl_seconds=60), clock=clock)


async def taken(book: Book, worker: str) -> Holding:
    """The only open job in the hands of a worker."""
    (ticket,) = await book.tickets.all()
    holding = await Holding.take(book, ticket, worker, 9)
    assert holding is not None
    return holding


async def finish(holding: Holding, value: float) -> None:
    """Its result: one number."""
    blobs = {SAMPLES: pack_array(np.array([[value]]))}
    await holding.succeed({"diagnostics": {"value": value}}, blobs)


async def test_a_result_is_taken_from_the_last_holder_alone(book: Book) -> None:
    job = await book.submit("t", WANTED)
    late, last = await taken(book, "a"), await taken(book, "b")
    for step in (late.look, late.beat, lambda: finish(late, 1.0)):
        with pytest.raises(LeaseLost):
            await step()
    with pytest.raises(LeaseLost):
        await late.fail({"slug": "internal", "detail": ""})
    await last.beat()
    await finish(last, 2.0)
    with pytest.raises(LeaseLost):
        await finish(late, 1.0)
    found = await book.get("t", job.id)
    assert (found.status, found.attempt, found.progress) == ("successful", 2, 100)
    samples, facts = await book.result(found)
    assert samples.tolist() == [[2.0]] and facts == {"diagnostics": {"value": 2.0}}
    assert await book.tickets.all() == []
    # What it was made of has been dropped.
    with pytest.raises(StoreCorrupt, match="input-observation"):
        await book.inputs(found)


async def test_a_race_for_a_ticket_has_one_winner(
    book: Book, open_another: OpenStore, clock: Clock
) -> None:
    await book.submit("t", WANTED)
    books = [Book(await open_another(), Limits(), clock=clock) for _ in range(3)]
    (ticket,) = await book.tickets.all()
    found = await asyncio.gather(
        *(Holding.take(b, ticket, f"w{i}", 9) for i, b in enumerate(books))
    )
    (winner,) = [holding for holding in found if holding is not None]
    inputs = await book.inputs(winner.job)
    np.testing.assert_array_equal(inputs["observation"], ARRAYS["observation"])


async def test_the_same_is_one_job_while_it_is_open(
    book: Book, open_another: OpenStore, clock: Clock
) -> None:
    same = Submission("cycle", {"session": "s", "cycle": 1}, ARRAYS, key="k")
    other = Book(await open_another(), Limits(), clock=clock)
    jobs = await asyncio.gather(*(b.submit("t", same) for b in (book, other) * 4))
    assert len({job.id for job in jobs}) == 1
    assert len(await book.tickets.all()) == 1
    # Another tenant's is another one.
    assert (await book.submit("u", same)).id != jobs[0].id
    await book.dismiss("t", jobs[0].id)
    assert (await book.submit("t", same)).id != jobs[0].id


async def test_a_dismissed_job_is_nobodys(book: Book) -> None:
    job = await book.submit("t", WANTED)
    holding = await taken(book, "a")
    await book.dismiss("t", job.id)
    for step in (holding.look, holding.beat, lambda: finish(holding, 1.0)):
        with pytest.raises(LeaseLost):
            await step()
    assert (await book.get("t", job.id)).status == "dismissed"
    await book.dismiss("t", job.id)
    with pytest.raises(JobGone):
        await book.get("t", job.id)
    with pytest.raises(NoSuchJob):
        await book.get("u", job.id)


async def test_a_ticket_without_its_job_goes(book: Book) -> None:
    ticket = await book.tickets.mark(Ticket(id="none", tenant="t", created=0.0))
    assert ticket is not None
    assert await Holding.take(book, ticket, "a", 9) is None
    assert await book.tickets.all() == []


async def test_workers_that_die_of_a_job_are_counted(book: Book) -> None:
    job = await book.submit("t", WANTED)
    released = await taken(book, "a")
    # Told to stop, not dead: that does not count.
    await released.release()
    for _ in range(2):
        (ticket,) = await book.tickets.all()
        assert await Holding.take(book, ticket, "a", 2) is not None
    (ticket,) = await book.tickets.all()
    assert await Holding.take(book, ticket, "a", 2) is None
    found: Job = await book.get("t", job.id)
    assert (found.status, found.problem) == ("failed", WORN_OUT)
    assert await book.tickets.all() == []


async def test_open_jobs_are_bounded(book: Book) -> None:
    for _ in range(3):
        await book.submit("t", WANTED)
    with pytest.raises(TooManyJobs):
        await book.submit("t", WANTED)
    for _ in range(2):
        await book.submit("u", WANTED)
    with pytest.raises(TooBusyError):
        await book.submit("v", WANTED)


@pytest.mark.parametrize("tenants", [1, 2])
async def test_open_jobs_are_bounded_when_many_come_at_once(
    store: Store, tenants: int
) -> None:
    books = [Book(store, Limits(open=5, tenant=4)) for _ in range(2)]
    refused: list[Exception] = []

    async def submit(number: int) -> None:
        try:
            await books[number % 2].submit(f"t{number % tenants}", WANTED)
        except (TooManyJobs, TooBusyError) as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for number in range(16):
            group.start_soon(submit, number)
    stay = 4 if tenants == 1 else 5
    assert len(await books[0].tickets.all()) == 16 - len(refused) == stay


async def test_a_job_that_runs_for_long_is_kept(book: Book, clock: Clock) -> None:
    job = await book.submit("t", WANTED)
    holding = await taken(book, "a")
    for _ in range(6):
        clock.advance(25)
        await holding.beat()
    assert (await book.get("t", job.id)).status == "running"
    await finish(holding, 1.0)
    clock.advance(61)
    with pytest.raises(JobGone):
        await book.get("t", job.id)


async def test_what_keeps_jobs_from_running_is_told_once(
    book: Book, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> list[Ticket]:
        raise StoreCorrupt("a ticket fails its checksum")

    workers = Workers(
        *(book, None),  # type: ignore[arg-type]
        slots=1,
        lease_seconds=1.0,
        attempts=1,
        seen=lambda queue: None,
        finished=lambda status: None,
    )
    monkeypatch.setattr(book.tickets, "all", broken)
    with anyio.move_on_after(2.5):
        await workers.work()
    told = [
        record.message for record in caplog.records if "kept from" in record.message
    ]
    assert len(told) == 1 and "a ticket fails its checksum" in told[0]
