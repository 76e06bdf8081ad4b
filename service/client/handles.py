"""What a session and a job can do, said once for the waiting and the awaiting client.

Every method here is a generator of requests; :mod:`service.client.calling` says how it
becomes one that is waited for, or awaited.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

import numpy.typing as npt

from service.client import calls, jobs
from service.client import coupling as member_calls
from service.client.calling import call
from service.client.jobs import JobStatus
from service.client.labels import Labels
from service.client.messages import Steps
from service.client.results import (
    CycleRecord,
    CycleResult,
    MemberList,
    SessionInfo,
)
from service.client.standing import Standing
from service.client.wire import Array, Observation

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


class JobCalls(Generic[ResultT]):
    """What a job can do.

    Attributes:
        status: as the service showed it last.
    """

    def __init__(self, status: JobStatus, labels: Labels | None = None) -> None:
        self._labels = labels
        self.status = status

    def __repr__(self) -> str:
        """Show id and status."""
        return f"<{type(self).__name__} {self.id} {self.status.status}>"

    @property
    def id(self) -> str:
        """Its name."""
        return self.status.id

    @call
    def refresh(self) -> Steps[JobStatus]:
        """How it stands now."""
        self.status = yield from jobs.status(self.id)
        return self.status

    @call
    def wait(self, timeout: float = 3600.0) -> Steps[ResultT]:
        """Its result, once it has ended.

        Of an analysis of files, a :class:`~service.client.StoredResult`: what it is
        decides, whoever takes it up.

        Args:
            timeout: seconds to wait.

        Raises:
            ServiceError: what the request would have been refused with; ``GoneError``
                when it was dismissed.
            TimedOutError: when it has not ended by then; it goes on.
        """
        return cast(Steps[ResultT], jobs.wait(self.id, timeout, self._labels))

    @call
    def dismiss(self) -> Steps[None]:
        """Stop it, or delete its result; once more does no harm."""
        return jobs.dismiss(self.id)


class SessionCalls(Standing, ABC, Generic[JobT]):
    """What a session can do."""

    @call
    def cycle(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> Steps[CycleResult]:
        """Assimilate the next cycle; acknowledged means kept.

        A lost reply is asked for again with the same body, which the service answers
        with the result it already has.

        Args:
            forecast_states: ``(N, dx)``.
            simulated_measurements: ``(N, dy)``.
            observation: ``(dy,)``; NaN or ``None`` where nothing was observed.
            options: for this cycle only, over those of the session.
            number: of the cycle, if not the next.

        Raises:
            CycleConflictError: when the session is at another cycle; nothing changed.
                ``refresh()``, then forecast from ``analysis()``.
        """
        wanted = self._next(number)
        result = yield from calls.cycle(
            self.id,
            wanted,
            forecast_states,
            simulated_measurements,
            observation,
            options,
        )
        return self._took(result, forecast_states)

    @call
    def analysis(
        self,
        cycle: int | None = None,
        *,
        members: slice | tuple[int, int] | None = None,
    ) -> Steps[Array]:
        """Samples ``(n_samples, dx)`` of a cycle, the last by default; 0 is initial."""
        wanted = self.current_cycle if cycle is None else cycle
        return calls.analysis(self.id, wanted, members)

    @call
    def diagnostics(self, cycle: int | None = None) -> Steps[CycleRecord]:
        """What is kept of a cycle, the last by default."""
        wanted = self.current_cycle if cycle is None else cycle
        return calls.cycle_diagnostics(self.id, wanted)

    @call
    def history(self) -> Steps[list[CycleRecord]]:
        """What is kept of every finished cycle."""
        return calls.history(self.id)

    @call
    def refresh(self) -> Steps[SessionInfo]:
        """Read the session again and go on from the cycle it stands at."""
        self.info = yield from calls.read_session(self.id)
        self.current_cycle = self.info.cycle
        return self.info

    @call
    def update(
        self, /, *, expected_version: int | None = None, **changes: Any
    ) -> Steps[SessionInfo]:
        """Change ``ttl_seconds``, ``metadata`` or ``options``.

        The last two are merged into what is there; ``None`` takes a name out of them.

        Raises:
            PreconditionFailedError: when it has another than ``expected_version``.
        """
        self.info = yield from calls.update_session(self.id, expected_version, changes)
        return self.info

    @call
    def put_member(
        self,
        member: int,
        forecast_state: npt.ArrayLike,
        simulated_measurement: Observation,
        *,
        number: int | None = None,
    ) -> Steps[bool]:
        """Send one member of the next cycle, from this or any other process.

        Args:
            member: its row in the ensemble, from 0.
            forecast_state: ``(dx,)``; NaN says that its simulation failed.
            simulated_measurement: ``(dy,)``.
            number: of the cycle, if not the next.

        Returns:
            Whether it was there before: the first reply was lost, say.

        Raises:
            MemberConflictError: when it is there and was another one.
            MemberLateError: when its cycle is finished without it.
        """
        wanted = self._next(number)
        return member_calls.put_member(
            self.id, wanted, member, forecast_state, simulated_measurement
        )

    @call
    def members(self, number: int | None = None) -> Steps[MemberList]:
        """Who has arrived for the next cycle, or is in a finished one."""
        wanted = self._next(number)
        return member_calls.members(self.id, wanted)

    @call
    def take_back(self, member: int, *, number: int | None = None) -> Steps[None]:
        """Take a member back, to send another one in its place."""
        wanted = self._next(number)
        return member_calls.take_back(self.id, wanted, member)

    @call
    def gather(
        self,
        observation: Observation,
        *,
        options: Any = None,
        coupling: Mapping[str, Any] | None = None,
        timeout: float = 0.0,
        number: int | None = None,
    ) -> Steps[CycleResult]:
        """Assimilate the next cycle with the members that have come one by one.

        Args:
            observation: ``(dy,)``; NaN or ``None`` where nothing was observed.
            options: for this cycle only, over those of the session.
            coupling: ``members``, ``minimum_members``, ``deadline_seconds`` and
                ``missing`` for this cycle only, over those of the session.
            timeout: seconds to wait for members that are still to come.
            number: of the cycle, if not the next.

        Raises:
            MembersMissingError: when too few have arrived by then; nothing changed.
        """
        wanted = self._next(number)
        result = yield from member_calls.gather(
            self.id, wanted, observation, options, coupling, timeout
        )
        return self._took(result)

    @call
    def wait_for_analysis(
        self, cycle: int | None = None, *, timeout: float = 600.0
    ) -> Steps[Array]:
        """Samples ``(n_samples, dx)`` of a cycle, once it is finished.

        Args:
            cycle: its number; the next by default.
            timeout: seconds to wait.

        Raises:
            CycleNotFoundError: when it is not there in time.
        """
        wanted = self._next(cycle)
        samples = yield from member_calls.wait_for_analysis(self.id, wanted, timeout)
        self.current_cycle = max(self.current_cycle, wanted)
        return samples

    @call
    def delete(self) -> Steps[None]:
        """Delete the session and everything kept of it; once more does no harm."""
        return calls.delete_session(self.id)

    @call
    def submit(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> Steps[JobT | CycleResult]:
        """Assimilate the next cycle as a job; arguments are those of ``cycle``.

        Sent again while it waits or runs, it is the same job. A cycle that has
        happened already comes back as its result. ``refresh()`` afterwards, to go on.
        """
        wanted = self._next(number)
        found = yield from jobs.submit_cycle(
            *(self.id, wanted, forecast_states, simulated_measurements),
            *(observation, options),
        )
        return self._submitted(found, forecast_states)

    @call
    def drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> Steps[CycleResult]:
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
        result = yield from member_calls.drive(
            *(self.id, self._next(number), observation),
            *(measurement_model, forecast_model, forecast_states, options),
        )
        return self._took(result, forecast_states)

    @call
    def submit_drive(
        self,
        observation: Observation,
        *,
        measurement_model: str,
        forecast_model: str | None = None,
        forecast_states: npt.ArrayLike | None = None,
        options: Any = None,
        number: int | None = None,
    ) -> Steps[JobT | CycleResult]:
        """The same as a job, for models that take their time; see ``submit``."""
        found = yield from jobs.submit_drive(
            *(self.id, self._next(number), observation),
            *(measurement_model, forecast_model, forecast_states, options),
        )
        return self._submitted(found, forecast_states)

    def _submitted(
        self, found: JobStatus | CycleResult, states: npt.ArrayLike | None
    ) -> JobT | CycleResult:
        labels = self._labels(states)
        if isinstance(found, CycleResult):
            return replace(found, labels=labels)
        return self._job(found, labels)

    @abstractmethod
    def _job(self, status: JobStatus, labels: Labels) -> JobT:
        """A job of this session."""
