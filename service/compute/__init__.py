"""The single door to the engine: workers, queue, deadline.

Large analyses run in worker processes, which a deadline or a client that leaves can
kill, and which leave the event loop alone. A small one runs in a thread of this process
when it is the only one; beside others it goes to a worker too, for threads that compute
take the interpreter from the event loop again and again. Both use one BLAS thread, so
the result is the same bit for bit. ``CCDM_COMPUTE`` moves the large ones elsewhere,
see :mod:`service.places`; the bytes stay the same.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt
from anyio import BrokenWorkerProcess

from service.compute.engine import engine
from service.compute.estimates import estimated_bytes, estimated_seconds
from service.compute.progress import followed
from service.compute.reach import Reach
from service.compute.sheets import Sheets
from service.compute.stored import check_stored, run_stored
from service.compute.threads import stoppable
from service.compute.work import (
    WORKER_BASE_BYTES,
    run_job,
    too_much_memory,
    understood_options,
    warm_up,
    worker_job,
)
from service.errors import TooBusyError, WorkersEndedError, deadline_exceeded
from service.places import place_of
from service.progress import report
from service.stored.jobs import StoredJob, StoredOutcome
from service.stored.targets import clear

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = [
    "SMALL_BYTES",
    "SMALL_SECONDS",
    "WORKER_BASE_BYTES",
    "AnalysisResult",
    "Compute",
    "Load",
    "run_job",
    "warm_up",
]

Array = npt.NDArray[np.float64]
T = TypeVar("T")
SMALL_SECONDS = 0.1
SMALL_BYTES = 32 * 2**20
WARM_WORKERS = 2
WORKER_ATTEMPTS = 2
# When the work of the request that is being served has to end, and how long it has.
_deadline: ContextVar[tuple[float, float] | None] = ContextVar("deadline", default=None)
# Whether it is the work of a job, whose number its slots bound: it takes no turn from
# requests, for which that would last too long.
_slotted: ContextVar[bool] = ContextVar("slotted", default=False)
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """Samples, the engine's facts about them, and where the time went.

    The seconds in the engine are among those of computing.
    """

    samples: Array
    diagnostics: dict[str, Any]
    queue_seconds: float
    compute_seconds: float
    engine_seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the workers are."""

    running: int
    max_running: int
    queued: int
    max_queued: int


class Compute:
    """Runs analyses: bounded in number, in waiting and in time.

    Args:
        settings: its bounds.
        finished: told the diagnostics of every analysis.

    Attributes:
        reach: whether the Dask scheduler is there, where one is named.
    """

    def __init__(
        self,
        settings: Settings,
        finished: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._settings = settings
        self._place = place_of(settings)
        self._finished = finished
        self.reach = Reach(self._place)
        self._sheets = Sheets()
        self._turns = anyio.Semaphore(settings.max_running)
        self._processes = anyio.CapacityLimiter(settings.max_running)
        self._helpers = anyio.CapacityLimiter(settings.max_running)
        # Of jobs there are no more than slots.
        self._slots = anyio.CapacityLimiter(math.inf)
        self._running = 0
        self._in_slots = 0
        self._queued = 0
        self._typical_seconds = 0.1
        self._warm = False

    @property
    def load(self) -> Load:
        """How busy the workers are now."""
        settings = self._settings
        return Load(
            self._running, settings.max_running, self._queued, settings.max_queued
        )

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what waits for something else than a worker among what is queued.

        Raises:
            TooBusyError: when there is no room to wait.
        """
        if self._queued >= self._settings.max_queued:
            raise TooBusyError("Too many requests are waiting.", self._retry_after())
        self._queued += 1
        try:
            yield
        finally:
            self._queued -= 1

    async def start(self) -> None:
        """Load the engine here, and start workers that have loaded it too."""
        for variable in BLAS_VARIABLES:
            os.environ.setdefault(variable, "1")
        await anyio.to_thread.run_sync(engine)
        async with anyio.create_task_group() as group:
            for _ in range(min(WARM_WORKERS, self._settings.max_running)):
                limit = self._settings.max_memory_bytes
                # Whatever time it takes: nobody waits, and requests find them ready.
                group.start_soon(self._in_worker, self._helpers, warm_up, limit)
        self._warm = True

    async def analyse(
        self,
        states: Array,
        simulated: Array,
        observation: Array,
        options: Mapping[str, Any],
        seed: int | None,
        *,
        manifest: bool = True,
    ) -> AnalysisResult:
        """Run one analysis.

        Args:
            states: ``(N, dx)``.
            simulated: ``(N, dy)``.
            observation: ``(dy,)``, NaN where missing.
            options: as the engine's ``AnalysisOptions.from_dict`` takes them.
            seed: ``None`` draws one and reports it in the diagnostics.
            manifest: whether the diagnostics are to have one: digests of all arrays,
                which nobody need make for an answer that does not tell them.

        Raises:
            InvalidInputError, InvalidOptionsError, NumericalBreakdownError: from the
                engine, with pointers.
            TooLargeError: when it would take too much memory.
            TooBusyError: when the queue is full.
            DeadlineExceededError: when it took too long; the work was stopped.
        """
        run_one = run_job if manifest else partial(run_job, manifest=False)
        job = (states, simulated, observation, dict(options), seed)
        needed = estimated_bytes(states, simulated, options)
        if needed > self._settings.max_memory_bytes:
            raise too_much_memory(needed, self._settings.max_memory_bytes)
        seconds = estimated_seconds(states, simulated, options)
        small = seconds < SMALL_SECONDS and needed < SMALL_BYTES
        asked = time.perf_counter()
        with self.in_time():
            async with self._turn():
                began = time.perf_counter()
                if not small:
                    run = self._large(run_one, *job)
                elif self._place.is_here or self._is_alone or not self._warm:
                    run = anyio.to_thread.run_sync(run_one, *job)
                else:
                    # What ends soon is not worth a new process: it is let finish.
                    run = self._in_worker(
                        self._limiter, run_one, *job, cancellable=False
                    )
                samples, diagnostics, spent = await run
        self._typical_seconds += 0.2 * (spent.whole - self._typical_seconds)
        if self._finished is not None:
            self._finished(diagnostics)
        return AnalysisResult(samples, diagnostics, began - asked, *spent)

    async def analyse_stored(self, job: StoredJob) -> StoredOutcome:
        """Run one localized analysis of files, block by block.

        Args:
            job: what is read, how, and where the result goes.

        Raises:
            InvalidInputError, InvalidOptionsError, NumericalBreakdownError,
            TooLargeError, TooBusyError, DeadlineExceededError: as above.
            ClusterUnavailableError: when the Dask scheduler or its workers are away.
        """
        self.check_stored(job)
        try:
            with self.in_time():
                async with self._turn():
                    found = await self._large(run_stored, job)
        finally:
            # A worker that was killed leaves this to whoever waited for it.
            with anyio.CancelScope(shield=True):
                await self.in_thread(clear, job.side)
        if self._finished is not None:
            self._finished(found.diagnostics)
        return found

    def check_stored(self, job: StoredJob) -> None:
        """Refuse what no turn and no file would mend; no number is read for it.

        Raises:
            InvalidOptionsError: for options that do not suit states by the block.
            TooLargeError: for what would take too much memory.
        """
        check_stored(job, self._place)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the engine understands them, defaults filled in.

        Raises:
            InvalidOptionsError: where the engine does not.
        """
        return understood_options(dict(options))

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that lets go of the interpreter, or is short."""
        return await anyio.to_thread.run_sync(function, *args)

    async def in_process(self, function: Callable[..., T], *args: Any) -> T:
        """Run something that would hold the interpreter for long.

        Raises:
            TooLargeError: when it would take too much memory.
            DeadlineExceededError: when it took too long; the work was stopped.
        """
        with self.in_time():
            return await self._in_worker(self._helpers, function, *args)

    @contextmanager
    def patience(
        self, seconds: float | None, most: float | None = None, slotted: bool = False
    ) -> Iterator[None]:
        """Start the clock of a request: all of its work has to end in time.

        Args:
            seconds: what the client asked for.
            most: the most it can get, where that is not what the setting says.
            slotted: whether somebody else bounds how much of this kind there is: it
                waits for no turn, and takes none.
        """
        most = most or self._settings.deadline_seconds
        allowed = most if seconds is None else min(seconds, most)
        token = _deadline.set((time.perf_counter() + allowed, allowed))
        kind = _slotted.set(slotted)
        try:
            yield
        finally:
            _slotted.reset(kind)
            _deadline.reset(token)

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Stop what is done in this block when the request's clock has run out.

        Raises:
            DeadlineExceededError: then.
        """
        most = self._settings.deadline_seconds
        end, allowed = _deadline.get() or (time.perf_counter() + most, most)
        try:
            with anyio.fail_after(end - time.perf_counter()):
                yield
        except TimeoutError:
            told = f"The analysis did not end within {allowed:g} seconds, "
            raise deadline_exceeded(f"{told}waiting included,") from None

    async def _large(self, function: Callable[..., T], *job: Any) -> T:
        """Run something that can tell how far it is, where the setting says."""
        if self._place.is_here:
            return await stoppable(function, *job, self._place)
        async with followed(report) as file:
            return await self._in_worker(
                *(self._limiter, function, *job, self._place, file), large=True
            )

    @property
    def _limiter(self) -> anyio.CapacityLimiter:
        """Of the processes for the work at hand."""
        return self._slots if _slotted.get() else self._processes

    @property
    def _is_alone(self) -> bool:
        return self._running + self._in_slots == 1

    async def _in_worker(
        self,
        limiter: anyio.CapacityLimiter,
        function: Callable[..., T],
        *args: Any,
        cancellable: bool = True,
        large: bool = False,
    ) -> T:
        """Run something in a process, which ends with the waiting for it.

        A process that died under it, killed by the system for memory or by a person,
        is replaced once: the work has no side effects.

        Raises:
            TooLargeError: when there was no memory, for what came and goes too.
            WorkersEndedError: when the second died too; nothing has been stored.
        """
        allowed = self._settings.max_memory_bytes
        job = (worker_job, allowed, function, *args)
        for _ in range(WORKER_ATTEMPTS):
            # The second is anyio's, of a process that died before it was ready.
            with suppress(BrokenWorkerProcess, ProcessLookupError):
                try:
                    return await self._sheets.run(
                        *job, cancellable=cancellable, limiter=limiter, large=large
                    )
                except MemoryError:
                    raise too_much_memory(None, allowed) from None
        raise WorkersEndedError("The worker processes were ended from outside.", 1)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn, if there is room to wait."""
        if _slotted.get():
            self._in_slots += 1
            try:
                yield
            finally:
                self._in_slots -= 1
            return
        busy = self._running >= self._settings.max_running
        if busy and self._queued >= self._settings.max_queued:
            raise TooBusyError("All workers are busy.", self._retry_after())
        self._queued += 1
        try:
            await self._turns.acquire()
        finally:
            self._queued -= 1
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._turns.release()

    def _retry_after(self) -> int:
        ahead = (self._queued + 1) * self._typical_seconds / self._settings.max_running
        return max(1, min(60, math.ceil(ahead)))
