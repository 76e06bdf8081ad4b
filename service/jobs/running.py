"""What a job does: the same calls as a request that waits, and nothing else.

So a cycle that runs as a job is put through the state machine of its session: one
result per number, whoever comes first, and the kept one for whoever comes again.

A job that waits for members of others, or for a Dask scheduler that is away, does so in
the queue, not in a slot: it is put off, and looked at again. So is one whose processes
were killed, a few times.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, Protocol

import anyio

from service.errors import (
    ClusterUnavailableError,
    DeadlineExceededError,
    FilesUnavailableError,
    TooBusyError,
    WorkersEndedError,
    deadline_exceeded,
)
from service.jobs.book import Book
from service.jobs.errors import LeaseLost
from service.jobs.holding import Holding, patiently
from service.jobs.models import SAMPLES, Array, Document, Job
from service.progress import listening, report
from service.sessions import CycleResult, MembersMissing, Sessions
from service.sessions.driving import Driven, Evaluates
from service.sessions.gathering import Observed
from service.stores.codec import pack_array
from service.stores.errors import (
    SessionGone,
    SessionNotFound,
    StoreBusy,
    StoreError,
    StoreUnavailable,
)
from service.stores.offloop import off_loop

LOOK_SECONDS = 0.5
_ARRAYS = ("forecast_states", "simulated_measurements", "observation")
_STOP_SECONDS = 5.0
# What a client would be told to come back after.
_LATER = (TooBusyError, StoreBusy, StoreUnavailable)
_MOST_PERCENT = 99
# Problems that the operator has to hear of.
_DEFECTS = ("internal", "store-corrupt", "files-full")
POSTPONED = "postponed"
# Of the time that a job has waited; so many that wait are few looks.
_PAUSE_SHARE = 0.1
_LEAST_PAUSE_SECONDS = 1.0
_MOST_PAUSE_SECONDS = 60.0
_DEFECT_SECONDS = 10.0
_WAITING = "waiting: "
_log = logging.getLogger(__name__)


class _Postponed(Exception):
    """The job cannot be done now, and needs no slot meanwhile."""

    def __init__(self, seconds: float, message: str, *, spent: bool = False) -> None:
        super().__init__(message)
        self.seconds, self.message, self.spent = seconds, message, spent


class Analysing(Protocol):
    """What runs analyses; ``service.compute`` has the one with the engine."""

    async def analyse(
        self,
        states: Array,
        simulated: Array,
        observation: Array,
        options: Document,
        seed: int | None,
        /,
    ) -> Any:
        """Samples ``(n_samples, dx)`` and diagnostics."""

    def patience(
        self, seconds: float | None, most: float | None = None, slotted: bool = False
    ) -> AbstractContextManager[None]:
        """Start the clock of a piece of work, which may have a slot of its own."""

    def in_time(self) -> AbstractContextManager[None]:
        """Stop what is done in a block when that clock has run out."""


class Runner:
    """Runs jobs that this process has taken.

    Args:
        book: where they stand.
        compute: runs analyses.
        sessions: whose cycles may be jobs.
        models: compute the members of some of these cycles.
        describe: an exception as a problem to be kept.
        hold: counts bytes of arrays in memory, and may refuse for a while.
        stored: runs a job that is an analysis of files, with the arrays that came.
        lease_seconds: how long a job without a beat counts as held.
        deadline_seconds: the longest time that one may take, from when it is begun.
    """

    def __init__(
        self,
        book: Book,
        compute: Analysing,
        sessions: Sessions,
        models: Evaluates,
        describe: Callable[[Exception], Document],
        hold: Callable[[int], AbstractContextManager[None]],
        stored: Callable[[Job, dict[str, Array]], Awaitable[Document]],
        *,
        lease_seconds: float,
        deadline_seconds: float,
    ) -> None:
        self._book = book
        self._compute = compute
        self._sessions = sessions
        self._models = models
        self._describe = describe
        self._hold = hold
        self._stored = stored
        self._lease = lease_seconds
        self._deadline = deadline_seconds

    async def run(self, holding: Holding) -> str:
        """Do a job and write down how it ended.

        Returns:
            The status it ended with, ``POSTPONED`` when it is to be taken again
            later, or ``"lost"`` when it was not ours any more.
        """
        ended = "lost"
        try:
            async with anyio.create_task_group() as group:
                reached = _Reached(holding.waits)
                group.start_soon(self._keep, holding, reached, group.cancel_scope)
                # What the store cannot take is done again by whoever finds it.
                with suppress(LeaseLost, StoreError):
                    ended = await self._work(holding, reached)
                group.cancel_scope.cancel()
        except BaseException as error:
            # Told to stop: the next worker need not wait for the lease to run out. A
            # defect would meet the next one too: an attempt, and not at once.
            broken = isinstance(error, Exception)
            later = self._book.now() + _DEFECT_SECONDS if broken else 0.0
            with (
                anyio.move_on_after(_STOP_SECONDS, shield=True),
                suppress(LeaseLost, StoreError),
            ):
                await holding.release(later=later, spent=broken)
            raise
        return ended

    async def _work(self, holding: Holding, reached: _Reached) -> str:
        try:
            with listening(reached.hear):
                facts, samples = await self._patient(holding, reached)
        except LeaseLost:
            raise
        except _Postponed as put:
            await holding.postpone(put.seconds, put.message, spent=put.spent)
            return POSTPONED
        except Exception as error:
            await holding.fail(self._problem(holding.job, error))
            return "failed"
        blobs = {}
        if samples is not None:
            kept = samples
            blobs[SAMPLES] = await off_loop(kept.nbytes, lambda: pack_array(kept))
        try:
            await holding.succeed(facts, blobs)
        except LeaseLost:
            raise
        except Exception as error:
            # No room for the result, say; a word about that takes little.
            await holding.fail(self._problem(holding.job, error))
            return "failed"
        return "successful"

    def _problem(self, job: Job, error: Exception) -> Document:
        """What is kept of an exception; of a defect, the log has the rest."""
        problem = self._describe(error)
        if problem["slug"] not in _DEFECTS:
            return problem
        _log.error("job %s failed", job.id, exc_info=error)
        remedy = f"Give the operator the name of the job, {job.id}: the log has it."
        return {**problem, "members": {**problem.get("members", {}), "remedy": remedy}}

    async def _patient(
        self, holding: Holding, reached: _Reached
    ) -> tuple[Document, Array | None]:
        """Do it; wait where a client would be told to come back later."""
        job = holding.job
        most = min(self._deadline, job.timeout or self._deadline)
        spent = max(self._book.now() - holding.begun, 0.0)
        end = time.monotonic() + most - spent
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise _late(most, reached.message)
            try:
                with self._compute.patience(left, self._deadline, True):
                    return await self._done(job)
            except DeadlineExceededError:
                raise _late(most, reached.message) from None
            except WorkersEndedError as error:
                # Perhaps of the memory that it needs: not for ever, then.
                _log.warning("job %s: %s", job.id, error.detail)
                pause = float(error.retry_after)
                raise _Postponed(pause, error.detail, spent=True) from error
            except (ClusterUnavailableError, FilesUnavailableError) as error:
                waited = most - (end - time.monotonic())
                pause = max(_PAUSE_SHARE * waited, float(error.retry_after))
                _log.warning("job %s waits: %s", job.id, error.detail)
                pause = min(pause, _MOST_PAUSE_SECONDS, max(most - waited, 0.0))
                raise _Postponed(pause, f"{_WAITING}{error.detail}") from error
            except _LATER as error:
                report(0.0, f"{_WAITING}{getattr(error, 'detail', '') or error}")
                await anyio.sleep(min(error.retry_after, 5.0))

    async def _done(self, job: Job) -> tuple[Document, Array | None]:
        asked = await patiently(lambda: self._book.asked(job))
        job = replace(job, asked=asked)
        arrays = await patiently(lambda: self._book.inputs(job))
        with self._hold(sum(array.nbytes for array in arrays.values())):
            if job.kind == "cycle":
                result = await self._while_there(job, lambda: self._cycle(job, arrays))
                return {"replayed": result.replayed}, None
            if job.kind == "stored-analysis":
                return await self._stored(job, arrays), None
            options, seed = job.asked["options"], job.asked["seed"]
            states, simulated, observation = (arrays[name] for name in _ARRAYS)
            analysis = await self._compute.analyse(
                states, simulated, observation, options, seed
            )
            return {"diagnostics": analysis.diagnostics}, analysis.samples

    async def _while_there(
        self, job: Job, work: Callable[[], Awaitable[CycleResult]]
    ) -> CycleResult:
        """Work for a session as long as there is one; its end stops the work."""
        done: list[CycleResult] = []
        failed: list[Exception] = []
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, job, failed, group.cancel_scope)
            try:
                done.append(await work())
            except Exception as error:
                # Kept aside: leaving a task group would wrap it.
                failed.append(error)
            group.cancel_scope.cancel()
        if not done:
            raise failed[0]
        return done[0]

    async def _watch(
        self, job: Job, failed: list[Exception], scope: anyio.CancelScope
    ) -> None:
        while True:
            await anyio.sleep(LOOK_SECONDS)
            try:
                await self._sessions.peek(job.tenant, job.asked["session"])
            except (SessionNotFound, SessionGone) as error:
                failed.append(error)
                scope.cancel()
                return
            except StoreError:
                # Away, for a while: whoever works with it will say so.
                continue

    async def _cycle(self, job: Job, arrays: dict[str, Array]) -> CycleResult:
        asked = job.asked
        if asked.get("models"):
            driven = _driven(job, arrays)
            with self._compute.in_time():
                return await self._sessions.driving.put(driven, self._models)
        if list(arrays) == [_ARRAYS[2]]:
            observed = Observed(
                tenant=job.tenant,
                sid=asked["session"],
                cycle=asked["cycle"],
                observation=arrays[_ARRAYS[2]],
                options=asked["options"],
                coupling=asked["coupling"],
                wait=0.0,
            )
            try:
                return await self._sessions.gathering.put(observed)
            except MembersMissing as missing:
                waited = self._book.now() - (job.started or job.created)
                left = asked["wait"] - waited
                if left <= 0:
                    raise
                pause = max(_PAUSE_SHARE * waited, _LEAST_PAUSE_SECONDS)
                put = _Postponed(min(pause, left), f"{_WAITING}{missing}")
                raise put from missing
        return await self._sessions.put_cycle(
            *(job.tenant, asked["session"], asked["cycle"]),
            *(arrays[name] for name in _ARRAYS),
            options=asked["options"],
        )

    async def _keep(
        self, holding: Holding, reached: _Reached, scope: anyio.CancelScope
    ) -> None:
        """Beat, and stop the work as soon as the job is not ours any more."""
        beaten = time.monotonic()
        while True:
            await anyio.sleep(min(LOOK_SECONDS, self._lease / 6))
            try:
                if time.monotonic() - beaten > self._lease / 3:
                    await holding.beat()
                    beaten = time.monotonic()
                else:
                    await holding.look()
                if reached.percent is not None:
                    await holding.tell(reached.percent, reached.message)
            except LeaseLost:
                scope.cancel()
                return
            except StoreError:
                # Nobody else can take it while the store is away.
                continue


def _late(seconds: float, message: str) -> DeadlineExceededError:
    """A job was stopped; its last message tells whether it was at work at all."""
    told = f"The job did not end within {seconds:g} seconds from when it was begun"
    if message.startswith(_WAITING):
        return DeadlineExceededError(f"{told}, and was {message}")
    return deadline_exceeded(told)


def _driven(job: Job, arrays: dict[str, Array]) -> Driven:
    """A cycle of models, as it was asked for."""
    asked, models = job.asked, job.asked["models"]
    return Driven(
        *(job.tenant, asked["session"], asked["cycle"]),
        *(arrays[_ARRAYS[2]], asked["options"]),
        measurement_model=models["measurement"],
        forecast_model=models["forecast"],
        forecast_states=arrays.get(_ARRAYS[0]),
    )


class _Reached:
    """How far the work has come, as it says itself."""

    def __init__(self, message: str) -> None:
        self.percent: int | None = None
        self.message = message

    def hear(self, share: float, message: str) -> None:
        # Whole only when its result is written down.
        self.percent = min(int(100 * share), _MOST_PERCENT)
        self.message = message[:500] or "running"
