"""Arrays go to worker processes by shared memory: whole, once, and leaving nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_process
import numpy as np
import pytest
from anyio import BrokenWorkerProcess

from service.compute import Compute, sheets
from service.compute.sheets import SHARED_BYTES, Sheets
from service.media.errors import TooLargeError
from service.settings import Settings

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="there are no files in memory here"
)
LARGE = 4 * SHARED_BYTES // 8
# Of a call and of a result whose arrays are elsewhere.
MOST_PICKLED = 4096


def open_files(process: int | str = "self") -> int:
    """Descriptors of a process; pipes of workers count, so look with warm ones."""
    return len(os.listdir(f"/proc/{process}/fd"))


def shown() -> set[str]:
    """What has a name in shared memory, but for that of other programs' libraries."""
    found = os.listdir("/dev/shm") if Path("/dev/shm").exists() else []
    return {name for name in found if not name.startswith(("sem.", "psm_"))}


# What workers do: found by name there.
def same(*args: Any) -> Any:
    return args


def known(body: bytearray) -> tuple[str, str]:
    return type(body).__name__, hashlib.sha256(body).hexdigest()


def doubled(array: np.ndarray) -> np.ndarray:
    array *= 2
    return array


def killed(array: np.ndarray) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow(array: np.ndarray) -> None:
    signal.pause()


def fails(array: np.ndarray) -> None:
    raise LookupError("here")


def no_room(most: int) -> int:
    """From now on the worker writes no file beyond so many bytes."""
    bounded(resource.RLIMIT_FSIZE, most)
    return os.getpid()


def full_after(most: int) -> int:
    """From now on its files in memory are full after so many bytes more."""
    write, left = os.pwrite, most

    def crowded(sheet: int, data: memoryview, at: int) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, "no room")
        done = write(sheet, data[:left], at)
        left -= done
        return done

    os.pwrite = crowded  # type: ignore[assignment]
    return os.getpid()


def no_memory(more: int) -> int:
    """From now on the worker gets so many bytes more, and no others."""
    with Path("/proc/self/status").open() as facts:
        used = next(int(line.split()[1]) for line in facts if "VmData" in line)
    bounded(resource.RLIMIT_DATA, 2**10 * used + more)
    return os.getpid()


def bounded(what: int, most: int) -> None:
    """Only what anybody may do to their own process, root or not."""
    resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of what goes into the pipe and what comes out, call after call."""
    sizes: list[int] = []
    run = anyio.to_process.run_sync

    async def counted(function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        found = await run(function, *args, **how)
        sizes.extend(len(pickle.dumps(part, 5)) for part in (args, found))
        return found

    monkeypatch.setattr(anyio.to_process, "run_sync", counted)
    return sizes


class Calls:
    """One worker, warm; it belongs to the task that has first called it."""

    def __init__(self) -> None:
        self.sheets = Sheets()
        self.limiter = anyio.CapacityLimiter(1)

    async def __call__(
        self, function: Callable[..., Any], *args: Any, **how: Any
    ) -> Any:
        return await self.sheets.run(function, *args, limiter=self.limiter, **how)


async def test_what_is_large_comes_and_goes_beside_the_pipe(
    piped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Calls()
    await run(same)
    before = open_files(), shown()
    numbers = np.random.default_rng(0).standard_normal((LARGE // 10, 10))
    arrays = (numbers, np.asfortranarray(numbers), numbers[:30:2], np.empty((0, 3)))
    back = await run(same, *arrays, {"seed": 1, "inside": [numbers[:3]]})
    for old, new in zip(arrays, back[:-1], strict=True):
        assert np.array_equal(old, new)
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
    assert back[-1]["seed"] == 1
    assert np.array_equal(back[-1]["inside"][0], numbers[:3])
    body = bytearray(os.urandom(8 * LARGE))
    assert await run(known, body) == ("bytearray", hashlib.sha256(body).hexdigest())
    # A copy on either side, as through a pipe: nobody writes into another's array.
    twice = await run(doubled, numbers)
    assert twice.flags.writeable
    assert np.array_equal(twice, 2 * back[0])
    assert np.array_equal(numbers, back[0])
    assert (await run(np.zeros, 10 * LARGE, large=True)).shape == (10 * LARGE,)
    assert max(piped) < MOST_PICKLED
    del back, new, twice  # a mapped sheet is open as long as somebody looks at it
    assert (open_files(), shown()) == before
    monkeypatch.setattr(os, "memfd_create", pytest.fail)
    assert (await run(doubled, np.ones(100)))[0] == 2.0


@pytest.mark.slow
async def test_whoever_is_killed_leaves_nothing() -> None:
    run, numbers = Calls(), np.ones(LARGE)
    await run(same)
    before = open_files(), shown()
    with pytest.raises(LookupError, match="here"):
        await run(fails, numbers)
    assert (open_files(), shown()) == before
    with pytest.raises(BrokenWorkerProcess):
        await run(killed, numbers)
    assert (await run(doubled, numbers))[-1] == 2.0
    assert (open_files(), shown()) == before
    with anyio.move_on_after(0.2) as patience:
        await run(slow, numbers)
    assert patience.cancelled_caught
    assert (await run(doubled, numbers))[-1] == 2.0
    assert (open_files(), shown()) == before


async def test_where_there_is_no_shared_memory_the_pipe_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, numbers = Calls(), np.ones(LARGE)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    for name in ("pwrite", "memfd_create"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            assert (await run(doubled, numbers))[-1] == 2.0
    assert run.sheets.usable
    # As where a worker may not look into /proc of the service.
    monkeypatch.setattr(sheets, "_place", lambda sheet: f"/proc/self/fd/x{sheet}")
    for _ in range(2):
        assert (await run(doubled, numbers))[-1] == 2.0
        assert not run.sheets.usable


@pytest.mark.parametrize(
    ("fill", "room"), [(no_room, 12 * LARGE), (full_after, 4 * LARGE)]
)
async def test_a_result_without_room_on_the_sheet_goes_through_the_pipe(
    piped: list[int], fill: Callable[[int], int], room: int
) -> None:
    """Half of the result is on the sheet when it is full, on the worker's side."""
    run, numbers = Calls(), np.arange(float(LARGE))
    worker = await run(fill, room)
    before = open_files(), open_files(worker), shown()
    for _ in range(3):
        del piped[:]
        told, back = await run(same, "words", numbers)
        assert told == "words"
        assert np.array_equal(back, numbers)
        assert back.flags.writeable
        assert piped[0] < MOST_PICKLED
        assert piped[1] > numbers.nbytes
        del back
        assert (open_files(), open_files(worker), shown()) == before
    assert run.sheets.usable
    assert await run(os.getpid) == worker


async def test_what_a_worker_has_no_memory_for_is_said_to_be_too_large() -> None:
    """It comes and goes before and after the work that is done within a memory."""
    settings = Settings(_env_file=None, max_running=1)
    compute, body = Compute(settings), bytearray(8 * LARGE)
    worker = await compute.in_process(no_memory, len(body) // 2)
    before = open_files(), open_files(worker), shown()
    for _ in range(3):
        with pytest.raises(TooLargeError, match="needs more of memory; 2 GiB"):
            await compute.in_process(known, body)
        assert (open_files(), open_files(worker), shown()) == before
    assert await compute.in_process(os.getpid) == worker


async def test_where_a_sheet_cannot_be_mapped_it_is_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with too many open files: a map keeps one of its own."""
    run, numbers = Calls(), np.ones(LARGE)

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    await run(same)
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(sheets.mmap, "mmap", refused)
        back = await run(doubled, numbers)
    assert np.array_equal(back, 2 * numbers)
    assert back.flags.writeable
    assert open_files() == before


async def test_a_sheet_cannot_be_cut_short() -> None:
    sheet = Sheets()._sheet(wanted=True)
    assert sheet is not None
    try:
        os.ftruncate(sheet, 100)
        with pytest.raises(PermissionError):
            os.ftruncate(sheet, 50)
    finally:
        os.close(sheet)


async def test_a_result_that_is_kept_keeps_nothing_of_its_call() -> None:
    sheet = Sheets()._sheet(wanted=True)
    assert sheet is not None
    try:
        call = sheets._written(sheet, np.ones(LARGE + 3), 0)
        answer = sheets._written(sheet, np.full(LARGE, 2.0), call.end)
        result = sheets._read(sheet, answer)
        taken = 512 * os.fstat(sheet).st_blocks
        sheets._forget(sheet, call.end)
        assert 512 * os.fstat(sheet).st_blocks <= taken - 8 * LARGE
        assert np.array_equal(result, np.full(LARGE, 2.0))
    finally:
        os.close(sheet)


async def test_an_analysis_sends_its_arrays_once_and_hashes_for_those_who_ask(
    piped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Compute(Settings(_env_file=None, max_running=1))
    states = np.random.default_rng(0).standard_normal((2500, 40))
    job = (states, states[:, :3].copy(), np.zeros(3), {"sampler": "exact"}, 1)
    monkeypatch.setattr("service.compute.SMALL_SECONDS", 0.0)
    told = await compute.analyse(*job)
    bare = await compute.analyse(*job, manifest=False)
    assert told.samples.tobytes() == bare.samples.tobytes()
    assert told.diagnostics.pop("manifest")["samples"]["shape"] == [2500, 40]
    assert told.diagnostics == bare.diagnostics
    # What diagnostics take, a list of all members among them.
    assert max(piped) < states.nbytes / 8


async def test_only_what_lasts_turns_sheets_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker with too many open files has none left for now; that is no rule."""
    run, numbers = Calls(), np.ones(LARGE)
    for number, usable in ((errno.EMFILE, True), (errno.EACCES, False)):

        async def refused(*_: Any, number: int = number, **__: Any) -> Any:
            raise sheets.UnreachableError(number, "no")

        with monkeypatch.context() as patch:
            ask = sheets.ask

            async def first(function: Any, *args: Any, **how: Any) -> Any:
                if function is sheets._on_sheet:
                    return await refused()
                return await ask(function, *args, **how)  # noqa: B023

            patch.setattr(sheets, "ask", first)
            assert (await run(doubled, numbers))[-1] == 2.0
        assert run.sheets.usable is usable
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_where_a_sheet_cannot_be_sealed_the_pipe_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, numbers = Calls(), np.ones(LARGE)
    assert (await run(doubled, numbers))[-1] == 2.0
    before = open_files()

    def forbidden(*_: object) -> int:
        raise PermissionError(errno.EPERM, "no seals here")

    with monkeypatch.context() as patch:
        patch.setattr(sheets.fcntl, "fcntl", forbidden)
        assert Sheets()._sheet(wanted=True) is None
    assert open_files() == before


async def test_empty_arrays_can_be_written_to() -> None:
    """Where all that comes is empty, as where there is something."""
    run = Calls()
    nothing, _ = await run(same, np.empty((0, 3)), np.ones(LARGE))
    assert nothing.shape == (0, 3) and nothing.flags.writeable
    sheet = Sheets()._sheet(wanted=True)
    assert sheet is not None
    try:
        note = sheets._written(sheet, np.empty((0, 3)), 0)
        assert sheets._read(sheet, note).flags.writeable
    finally:
        os.close(sheet)
