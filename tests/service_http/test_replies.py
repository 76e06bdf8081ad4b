"""Whatever goes wrong in the pipe of a worker: nobody gets another call's answer."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import BrokenWorkerProcess

from service.compute import Compute
from service.compute.replies import Reply
from service.compute.sheets import Sheets
from service.settings import Settings
from tests.service_http.test_sheets import no_memory, open_files, same

STRAY = pickle.dumps(("not yours",), 5)
# Far above what is read ahead.
LONG = 2**18


def request(padding: int) -> bytes:
    """What a worker of anyio's answers, on its own: a whole request."""
    return pickle.dumps(("run", same, (b" " * padding,)), 5)


class Heavy:
    """Without memory for it in a worker, and only there."""

    def __reduce__(self) -> tuple[Any, ...]:
        return unbearable, (os.getpid(),)


def unbearable(sender: int) -> None:
    if os.getpid() != sender:
        raise MemoryError("for this")


def stammers(status: str, reply: bytes) -> str:
    """Its answer is the second one in the pipe: it is one behind from now on."""
    os.write(1, b"%s %d\n%s" % (status.encode(), len(reply), reply))
    return "late"


def stammers_once(said: Path) -> int:
    if not said.exists():
        said.touch()
        stammers("RETURN", STRAY)
    return os.getpid()


def answers_with_code() -> Callable[[], None]:
    return lambda: None


def ends_itself() -> None:
    raise SystemExit(3)


class Calls:
    """One worker at a time, by the pipe."""

    def __init__(self) -> None:
        self.sheets = Sheets()
        self.sheets.usable = False
        self.limiter = anyio.CapacityLimiter(1)

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        with anyio.fail_after(20):
            return await self.sheets.run(function, *args, limiter=self.limiter)

    async def all_own(self) -> None:
        for number in range(20):
            assert await self(same, number) == (number,)


def is_gone(worker: int) -> bool:
    return not Path(f"/proc/{worker}").exists()


async def test_a_call_that_cannot_be_loaded_leaves_the_worker_in_step() -> None:
    run = Calls()
    worker = await run(os.getpid)
    before = open_files(), open_files(worker)
    for _ in range(3):
        with pytest.raises(MemoryError, match="for this"):
            await run(same, Heavy(), b" " * LONG, b" " * LONG)
        await run.all_own()
    assert await run(os.getpid) == worker
    assert (open_files(), open_files(worker)) == before


async def test_a_worker_that_could_not_read_its_call_is_ended() -> None:
    """It would take the rest of the call for requests, and answer them."""
    run = Calls()
    worker = await run(no_memory, 2 * LONG)
    before = open_files()
    with pytest.raises(BrokenWorkerProcess):
        await run(same, 16 * request(LONG))
    assert is_gone(worker)
    await run.all_own()
    assert await run(os.getpid) != worker
    assert open_files() == before


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        ("RETURN", pickle.dumps(Reply(-1, False, STRAY), 5)),
        ("RETURN", STRAY),
        ("EXCEPTION", pickle.dumps(pickle.UnpicklingError("what is this"), 5)),
    ],
    ids=["older", "foreign", "unread"],
)
async def test_a_worker_that_answers_another_call_is_ended(
    status: str, reply: bytes
) -> None:
    run = Calls()
    worker = await run(os.getpid)
    before = open_files()
    with pytest.raises(BrokenWorkerProcess, match=r"^a worker "):
        await run(stammers, status, reply)
    assert is_gone(worker)
    await run.all_own()
    assert open_files() == before


async def test_an_analysis_gets_its_own_answer_from_the_next_worker(
    tmp_path: Path,
) -> None:
    compute = Compute(Settings(_env_file=None, max_running=1))
    worker = await compute.in_process(os.getpid)
    told = await compute.in_process(stammers_once, tmp_path / "said")
    assert told != worker
    assert is_gone(worker)
    for number in range(20):
        assert await compute.in_process(same, number) == (number,)


async def test_only_the_worker_in_doubt_is_ended() -> None:
    """Beside others that are idle, and one that works."""
    run = Calls()
    run.limiter.total_tokens = 3
    workers: list[int] = []

    async def work(function: Callable[..., Any], *args: Any) -> None:
        workers.append(await run(at_work, function, args))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(work, time.sleep, 0.5)
    assert len(set(workers)) == 3
    async with anyio.create_task_group() as group:
        group.start_soon(work, time.sleep, 0.5)
        await anyio.sleep(0.1)
        with pytest.raises(BrokenWorkerProcess):
            await run(stammers, "RETURN", STRAY)
    assert [is_gone(worker) for worker in workers[:3]].count(True) == 1
    assert not is_gone(workers[3])
    await run.all_own()


def at_work(function: Callable[..., Any], args: tuple[Any, ...]) -> int:
    function(*args)
    return os.getpid()


async def test_what_cannot_be_sent_or_answered_is_no_fault_of_the_worker() -> None:
    run = Calls()
    worker = await run(os.getpid)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        await run(answers_with_code)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        await run(same, answers_with_code())
    assert await run(os.getpid) == worker


async def test_a_worker_that_ends_itself_does_not_end_the_service() -> None:
    run = Calls()
    worker = await run(os.getpid)
    with pytest.raises(BrokenWorkerProcess):
        await run(ends_itself)
    assert is_gone(worker)
    await run.all_own()
