"""Jobs as objects: to wait for, to look at, to dismiss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy.typing as npt

from service.client import coupling, jobs
from service.client.jobs import JobStatus
from service.client.labels import Labels
from service.client.messages import Steps
from service.client.results import AnalysisResult, CycleResult
from service.client.standing import Standing
from service.client.wire import Observation


class _Runs(Protocol):
    def run(self, steps: Steps[Any]) -> Any:
        """Carry out a call."""


class _RunsLater(Protocol):
    def run(self, steps: Steps[Any]) -> Awaitable[Any]:
        """Carry out a call."""


class Job:
    """Work that the service does by itself; any process may take it up by its id.

    Attributes:
        status: as the service showed it last.
    """

    def __init__(
        self, client: _Runs, status: JobStatus, labels: Labels | None = None
    ) -> None:
        self._client = client
        self._labels = labels
        self.status = status

    def __repr__(self) -> str:
        """Show id and status."""
        return f"<Job {self.id} {self.status.status}>"

    @property
    def id(self) -> str:
        """Its name."""
        return self.status.id

    def refresh(self) -> JobStatus:
        """How it stands now."""
        self.status = self._client.run(jobs.status(self.id))
        return self.status

    def wait(self, timeout: float = 3600.0) -> AnalysisResult:
        """Its result, once it has ended.

        Args:
            timeout: seconds to wait.

        Raises:
            ServiceError: what the request would have been refused with; ``GoneError``
                when it was dismissed.
            TimedOutError: when it has not ended by then; it goes on.
        """
        result: AnalysisResult = self._client.run(
            jobs.wait(self.id, timeout, self._labels)
        )
        return result

    def dismiss(self) -> None:
        """Stop it, or delete its result; once more does no harm."""
        self._client.run(jobs.dismiss(self.id))


class AsyncJob:
    """As :class:`Job`, with every call awaited."""

    def __init__(
        self, client: _RunsLater, status: JobStatus, labels: Labels | None = None
    ) -> None:
        self._client = client
        self._labels = labels
        self.status = status

    def __repr__(self) -> str:
        """Show id and status."""
        return f"<AsyncJob {self.id} {self.status.status}>"

    @property
    def id(self) -> str:
        """Its name."""
        return self.status.id

    async def refresh(self) -> JobStatus:
        """How it stands now."""
        self.status = await self._client.run(jobs.status(self.id))
        return self.status

    async def wait(self, timeout: float = 3600.0) -> AnalysisResult:
        """Its result, once it has ended; see :meth:`Job.wait`."""
        result: AnalysisResult = await self._client.run(
            jobs.wait(self.id, timeout, self._labels)
        )
        return result

    async def dismiss(self) -> None:
        """Stop it, or delete its result; once more does no harm."""
        await self._client.run(jobs.dismiss(self.id))


class JobCalls:
    """What a client does with jobs."""

    def run(self, steps: Steps[Any]) -> Any:
        """Carry out a call."""
        raise NotImplementedError

    def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> Job:
        """One analysis as a job: it is done whether or not anybody waits."""
        status = self.run(
            jobs.submit(
                forecast_states, simulated_measurements, observation, options, seed
            )
        )
        return Job(self, status, Labels.of_array(forecast_states))

    def job(self, job_id: str) -> Job:
        """An existing job, as it stands now."""
        return Job(self, self.run(jobs.status(job_id)))

    def jobs(self) -> Iterator[Job]:
        """All jobs of this key, the oldest first."""
        after: str | None = None
        while True:
            page, after = self.run(jobs.listed(after))
            for status in page:
                yield Job(self, status)
            if after is None:
                return


class CycleJobs(Standing):
    """What a session does with jobs and with the operator's models."""

    _runs: _Runs

    def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> Job | CycleResult:
        """Assimilate the next cycle as a job; arguments are those of ``cycle``.

        Sent again while it waits or runs, it is the same job. A cycle that has
        happened already comes back as its result. ``refresh()`` afterwards, to go on.
        """
        wanted = self._next(number)
        found = self._runs.run(
            jobs.submit_cycle(
                *(self.id, wanted, forecast_states, simulated_measurements),
                *(observation, options),
            )
        )
        return self._job(found, forecast_states)

    def drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> CycleResult:
        """Have registered models make the members of the next cycle, and assimilate.

        Args:
            observation: ``(dy,)``; NaN or ``None`` where nothing was observed.
            measurement_model: name of the model that simulates the measurements.
            forecast_model: of the one that takes every member of the last analysis on.
            forecast_states: ``(N, dx)``, in place of it.
            options: for this cycle only, over those of the session.
            number: of the cycle, if not the next.

        Raises:
            ServiceFailureError: when models failed for more members than may fail;
                nothing changed, and ``problem["failed"]`` says why.
        """
        result = self._runs.run(
            coupling.drive(
                *(self.id, self._next(number), observation),
                *(measurement_model, forecast_model, forecast_states, options),
            )
        )
        return self._took(result, forecast_states)

    def submit_drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> Job | CycleResult:
        """The same as a job, for models that take their time; see ``submit``."""
        found = self._runs.run(
            jobs.submit_drive(
                *(self.id, self._next(number), observation),
                *(measurement_model, forecast_model, forecast_states, options),
            )
        )
        return self._job(found, forecast_states)

    def _job(self, found: Any, states: Any) -> Job | CycleResult:
        labels = self._labels(states)
        if isinstance(found, CycleResult):
            return replace(found, labels=labels)
        return Job(self._runs, found, labels)


class AsyncJobCalls:
    """What a client does with jobs."""

    def run(self, steps: Steps[Any]) -> Awaitable[Any]:
        """Carry out a call."""
        raise NotImplementedError

    async def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> AsyncJob:
        """One analysis as a job: it is done whether or not anybody waits."""
        status = await self.run(
            jobs.submit(
                forecast_states, simulated_measurements, observation, options, seed
            )
        )
        return AsyncJob(self, status, Labels.of_array(forecast_states))

    async def job(self, job_id: str) -> AsyncJob:
        """An existing job, as it stands now."""
        return AsyncJob(self, await self.run(jobs.status(job_id)))

    async def jobs(self) -> AsyncIterator[AsyncJob]:
        """All jobs of this key, the oldest first."""
        after: str | None = None
        while True:
            page, after = await self.run(jobs.listed(after))
            for status in page:
                yield AsyncJob(self, status)
            if after is None:
                return


class AsyncCycleJobs(Standing):
    """What a session does with jobs and with the operator's models."""

    _runs: _RunsLater

    async def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> AsyncJob | CycleResult:
        """Assimilate the next cycle as a job; arguments are those of ``cycle``.

        Sent again while it waits or runs, it is the same job. A cycle that has
        happened already comes back as its result. ``refresh()`` afterwards, to go on.
        """
        wanted = self._next(number)
        found = await self._runs.run(
            jobs.submit_cycle(
                *(self.id, wanted, forecast_states, simulated_measurements),
                *(observation, options),
            )
        )
        return self._job(found, forecast_states)

    async def drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> CycleResult:
        """Have registered models make the members of the next cycle, and assimilate."""
        result = await self._runs.run(
            coupling.drive(
                *(self.id, self._next(number), observation),
                *(measurement_model, forecast_model, forecast_states, options),
            )
        )
        return self._took(result, forecast_states)

    async def submit_drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> AsyncJob | CycleResult:
        """The same as a job, for models that take their time; see ``submit``."""
        found = await self._runs.run(
            jobs.submit_drive(
                *(self.id, self._next(number), observation),
                *(measurement_model, forecast_model, forecast_states, options),
            )
        )
        return self._job(found, forecast_states)

    def _job(self, found: Any, states: Any) -> AsyncJob | CycleResult:
        labels = self._labels(states)
        if isinstance(found, CycleResult):
            return replace(found, labels=labels)
        return AsyncJob(self._runs, found, labels)
