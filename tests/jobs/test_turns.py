"""Whose job is next, and which jobs hold no slot while they wait."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from service.errors import (
    ClusterUnavailableError,
    FilesUnavailableError,
    TooBusyError,
    WorkersEndedError,
)
from service.jobs.book import Book, Limits
from service.jobs.errors import LeaseLost
from service.jobs.holding import WORN_OUT, Holding
from service.jobs.models import Job, Submission
from service.jobs.running import Runner
from service.jobs.workers import Queue, Workers
from service.problems import described
from service.stores import Store
from tests.jobs.conftest import ASYNC, ended, submitted
from tests.service_http.bodies import json_bytes
from tests.support.servers import PATIENCE, serving
from tests.support.stores import Clock, clock, open_another, store, store_url

__all__ = ["clock", "open_another", "store", "store_url"]
NAMES = ("forecast_states", "simulated_measurements", "observation")
WANTED = Submission(
    "analysis", {"options": {}, "seed": 1}, {name: np.ones(2) for name in NAMES}
)


@pytest.fixture
def book(store: Store, clock: Clock) -> Book:
    """Jobs in an empty store."""
    return Book(store, Limits(), clock=clock)


class Fails:
    """An engine of which every analysis ends like this."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def analyse(self, *_: Any) -> Any:
        self.asked += 1
        raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]

    def patience(self, *_: float | None) -> Any:
        return nullcontext()

    in_time = patience


def runner_of(book: Book, compute: Fails) -> Runner:
    return Runner(
        *(book, compute, None, None),  # type: ignore[arg-type]
        *(described, lambda size: nullcontext(), None),
        lease_seconds=60.0,
        deadline_seconds=60.0,
    )


def workers_of(book: Book, runner: Any, **more: Any) -> Workers:
    return Workers(
        *(book, runner),
        **{"slots": 1, "seen": lambda queue: None, **more},
        lease_seconds=60.0,
        attempts=3,
        finished=lambda status: None,
    )


async def done(book: Book, workers: Workers, clock: Clock) -> None:
    """Let them work until no job is open; a second of theirs is short here."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(workers.work)
            while await book.tickets.all():
                clock.advance(1.0)
                book.accepted.set()
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()


async def test_tenants_take_turns(book: Book, clock: Clock) -> None:
    order = []

    class Notes:
        async def run(self, holding: Holding) -> str:
            order.append(holding.job.tenant)
            await holding.succeed()
            return "successful"

    for tenant in ("a", "a", "a", "a", "b", "c", "c"):
        await book.submit(tenant, WANTED)
        clock.advance(0.1)
    await done(book, workers_of(book, Notes()), clock)
    assert order == ["a", "b", "c", "a", "c", "a", "a"]


async def test_work_whose_processes_are_killed_is_given_up(
    book: Book, clock: Clock
) -> None:
    job = await book.submit("t", WANTED)
    heard: list[tuple[str, str]] = []

    def hear(what: str, job: Job) -> None:
        heard.append((what, job.id))

    killed = Fails(WorkersEndedError("The worker processes were ended.", 1))
    await done(book, workers_of(book, runner_of(book, killed), heard=hear), clock)
    found = await book.get("t", job.id)
    assert (found.status, found.problem, killed.asked) == ("failed", WORN_OUT, 3)
    assert heard == [("running", job.id)]


async def test_a_defect_is_in_the_log_under_the_name_of_the_job(
    book: Book, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    job = await book.submit("t", WANTED)
    broken = Fails(TooBusyError("All are busy.", 1), ZeroDivisionError("by naught"))
    with caplog.at_level(logging.ERROR):
        await done(book, workers_of(book, runner_of(book, broken)), clock)
    found = await book.get("t", job.id)
    assert found.problem is not None and found.problem["slug"] == "internal"
    assert job.id in found.problem["members"]["remedy"]
    (record,) = [record for record in caplog.records if job.id in record.message]
    assert record.exc_info is not None and "by naught" in str(record.exc_info[1])


async def test_what_a_job_waits_for_is_told_in_words(book: Book, clock: Clock) -> None:
    job = await book.submit("t", WANTED)
    busy = Fails(TooBusyError("All are busy.", 1))
    with anyio.move_on_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(workers_of(book, runner_of(book, busy)).work)
            while (await book.get("t", job.id)).message in ("running", job.message):
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
    assert (await book.get("t", job.id)).message == "waiting: All are busy."


AWAY = ClusterUnavailableError("The Dask scheduler at tcp://h:1 is away.", 10)


class AwayFor(Fails):
    """Of the first job the scheduler is away; others fail of something else."""

    def __init__(self, away: Exception) -> None:
        super().__init__(away)
        self.first: bytes | None = None

    async def analyse(self, *arrays: Any) -> Any:
        found = arrays[0].tobytes()
        self.first = self.first or found
        if found != self.first:
            raise ValueError("another job")
        return await super().analyse(*arrays)


@pytest.mark.parametrize("away", [AWAY, FilesUnavailableError("x.npy: lost.", 10)])
async def test_a_job_whose_scheduler_or_files_are_away_holds_no_slot(
    book: Book, clock: Clock, away: ClusterUnavailableError | FilesUnavailableError
) -> None:
    first = await book.submit("a", WANTED)
    clock.advance(0.1)
    others = {name: np.zeros(2) for name in NAMES}
    other = await book.submit("b", Submission("analysis", WANTED.asked, others))
    workers = workers_of(book, runner_of(book, AwayFor(away)))
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(workers.work)
            while not (await book.get("b", other.id)).ended:
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
    found = await book.get("a", first.id)
    assert (found.status, found.message) == ("running", f"waiting: {away.detail}")
    ticket = await book.tickets.find(first.id)
    assert ticket is not None
    assert (ticket.worker, ticket.attempt) == (None, 0)
    assert 5 < ticket.later - book.now() <= 10


async def test_a_job_that_is_put_off_asks_for_no_worker(
    book: Book, clock: Clock
) -> None:
    queues: list[Queue] = []
    for tenant in ("a", "b", "c"):
        await book.submit(tenant, WANTED)
        clock.advance(0.1)
    for ticket, seconds in zip(
        (await book.tickets.all())[:2], (10.0, 0.0), strict=True
    ):
        held = await Holding.take(book, ticket, "one", 3)
        assert held is not None
        if seconds:
            await held.postpone(seconds, "waiting: for it", spent=False)
    watching = workers_of(book, None, slots=0, seen=queues.append)
    with anyio.move_on_after(0.3):
        await watching.work()
    clock.advance(20.0)
    with anyio.move_on_after(0.3):
        await watching.work()
    told = [(it.waiting, it.due, it.running) for it in (queues[0], queues[-1])]
    assert told == [(2, 1, 1), (2, 2, 1)]


@pytest.mark.parametrize(("timeout", "most"), [(None, 60), (30.0, 30), (99.0, 60)])
async def test_its_time_goes_on_meanwhile_and_in_the_end_it_says_what_it_waited_for(
    book: Book, clock: Clock, timeout: float | None, most: int
) -> None:
    job = await book.submit("t", replace(WANTED, timeout=timeout))
    away = Fails(AWAY)
    begun = clock()
    await done(book, workers_of(book, runner_of(book, away)), clock)
    found = await book.get("t", job.id)
    assert found.problem is not None
    assert found.problem["slug"] == "deadline-exceeded"
    assert f"within {most} seconds" in found.problem["detail"]
    assert AWAY.detail in found.problem["detail"]
    # Once every ten seconds and not before; with the last one none is left.
    assert 1 <= away.asked <= most / 10
    assert found.finished is not None and found.finished - begun >= most


async def test_whoever_was_killed_at_a_job_leaves_its_time_whole(
    book: Book, clock: Clock
) -> None:
    ticket = (await book.submit("t", WANTED)) and (await book.tickets.all())[0]
    first = await Holding.take(book, ticket, "one", 3)
    assert first is not None
    await first.postpone(10.0, "waiting: for it", spent=False)
    clock.advance(20.0)
    again = await Holding.take(book, (await book.tickets.all())[0], "two", 3)
    assert again is not None
    assert (again.begun, again.waits) == (first.begun, "waiting: for it")
    clock.advance(1000.0)
    third = await Holding.take(book, (await book.tickets.all())[0], "three", 3)
    assert third is not None
    assert third.begun == pytest.approx(book.now(), abs=1.0)


async def test_dismissed_while_it_is_begun_is_no_damage(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    job = await book.submit("t", WANTED)
    (ticket,) = await book.tickets.all()
    holding = await Holding.take(book, ticket, "one", 3)
    assert holding is not None
    await book.dismiss("t", job.id)
    with pytest.raises(LeaseLost):
        await book.inputs(holding.job)
    engine = Fails(ValueError("nobody asks it"))
    with caplog.at_level(logging.WARNING):
        assert await runner_of(book, engine).run(holding) == "lost"
    assert (engine.asked, caplog.records) == (0, [])
    assert (await book.get("t", job.id)).status == "dismissed"


def test_a_job_that_waits_for_members_holds_no_slot(tmp_path: Path) -> None:
    with (
        serving(tmp_path, JOB_WORKERS="1") as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        asked = {"state_dim": 1, "measurement_dim": 1, "coupling": {"members": 2}}
        place = http.post("/v1/sessions", json=asked).headers["Location"]
        waiting = http.put(
            f"{place}/cycles/1?wait=60", json={"observation": [0.1]}, headers=ASYNC
        )
        assert waiting.status_code == 202, waiting.text
        begun = time.monotonic()
        job = waiting.json()["jobID"]
        while not http.get(f"/v1/jobs/{job}").json()["message"].startswith("waiting: "):
            assert time.monotonic() - begun < PATIENCE
            time.sleep(0.02)
        assert ended(http, submitted(http, json_bytes()))["status"] == "successful"
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"
        for i in range(2):
            member = {"forecast_state": [float(i)], "simulated_measurement": [0.5 * i]}
            put = http.put(f"{place}/cycles/1/members/{i}", json=member)
            assert put.is_success, put.text
        view = ended(http, job)
        assert (view["status"], view["attempt"]) == ("successful", 1), view
        late = http.put(
            f"{place}/cycles/2?wait=1", json={"observation": [0.1]}, headers=ASYNC
        )
        assert ended(http, late.json()["jobID"])["status"] == "failed"
