"""The client for programs that wait for each call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from service.client import calls
from service.client import coupling as coupling_calls
from service.client.errors import TransportError
from service.client.events import Event, Following
from service.client.handles import CycleJobs, JobCalls
from service.client.messages import Reply, Request, Steps, T
from service.client.results import (
    AnalysisResult,
    CycleRecord,
    CycleResult,
    MemberList,
    SessionInfo,
)
from service.client.retry import Attempts, Retry, RetryPolicy
from service.client.transport import Endpoint, SyncTransport
from service.client.wire import Array, Observation


class Client(JobCalls):
    """A connection to the service, kept open and used again; safe to share by threads.

    Args:
        url: root of the service, e.g. ``http://127.0.0.1:8000``.
        api_key: needed wherever the service is not on this machine's loopback.
        timeout: seconds to wait for each answer.
        retry: how long to repeat what may be repeated.
        on_retry: called before each repetition, e.g. to log it.
        connect_timeout: seconds to wait for a connection.
        connections: how many may be open at once.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retry: RetryPolicy | None = None,
        on_retry: Callable[[Retry], None] | None = None,
        connect_timeout: float = 5.0,
        connections: int = 10,
    ) -> None:
        endpoint = Endpoint(url, api_key, timeout, connect_timeout, connections)
        self._transport = SyncTransport(endpoint)
        self._policy = retry or RetryPolicy()
        self._on_retry = on_retry

    def __enter__(self) -> Self:
        """Use as a context manager to close the connections at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def analyse(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> AnalysisResult:
        """One analysis that the service does not keep.

        Args:
            forecast_states: ``x_i``, ``(N, dx)``.
            simulated_measurements: ``y_i``, ``(N, dy)``, noise included unless the
                option ``measurement_error`` is given.
            observation: ``y*``, ``(dy,)``; NaN or ``None`` where nothing was observed.
            options: a mapping, or an ``AnalysisOptions``.
            seed: for the same samples again.
        """
        return self.run(
            calls.analyse(
                forecast_states, simulated_measurements, observation, options, seed
            )
        )

    def create_session(
        self, *, state_dim: int, measurement_dim: int, **fields: Any
    ) -> Session:
        """Begin a session at cycle 0.

        Args:
            state_dim: ``dx``.
            measurement_dim: ``dy``.
            fields: ``options``, ``seed``, ``ttl_seconds``, ``keep_analyses``,
                ``initial_ensemble`` ``(N, dx)`` (or ``initial_mean``, ``initial_std``
                and ``members``), ``names``, ``coordinates``, ``metadata``.
        """
        dims = {"state_dim": state_dim, "measurement_dim": measurement_dim}
        return Session(self, self.run(calls.create_session(dims | fields)))

    def session(self, session_id: str) -> Session:
        """An existing session, at the cycle it has come to."""
        return Session(self, self.run(calls.read_session(session_id)))

    def sessions(self) -> Iterator[SessionInfo]:
        """All sessions of this key."""
        after: str | None = None
        while True:
            page, after = self.run(calls.list_sessions(after))
            yield from page
            if after is None:
                return

    def ready(self) -> dict[str, Any]:
        """The service's own account of its dependencies."""
        return self.run(calls.ready())

    def events(self, session_id: str, after: str | None = None) -> Iterator[Event]:
        """What happens to a session, until it is gone; see ``Session.events``."""
        following = Following(session_id, after, self._policy)
        while not following.done:
            for item in self._transport.stream(following.request()):
                yield from following.take(item)
            if not following.done:
                time.sleep(following.pause())

    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        try:
            request = next(steps)
            while True:
                request = steps.send(self._exchange(request))
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _exchange(self, request: Request) -> Reply:
        time.sleep(request.delay)
        attempts = Attempts(self._policy, request)
        while True:
            outcome = self._transport.send(request)
            again = attempts.next(outcome)
            if again is None:
                if isinstance(outcome, TransportError):
                    raise outcome
                return outcome
            if self._on_retry is not None:
                self._on_retry(again)
            time.sleep(again.delay)


class Session(CycleJobs):
    """A session: the ensemble and its history, kept by the service.

    The object numbers the cycles itself. It is meant for one thread of work; two
    writers of one session meet in :class:`CycleConflictError`, and that is the point.

    Attributes:
        info: the session as the service showed it last.
        current_cycle: the last finished cycle, 0 before the first.
    """

    def __init__(self, client: Client, info: SessionInfo) -> None:
        super().__init__(info)
        self._client = self._runs = client

    def cycle(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> CycleResult:
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
        result = self._client.run(
            calls.cycle(
                self.id,
                wanted,
                forecast_states,
                simulated_measurements,
                observation,
                options,
            )
        )
        return self._took(result, forecast_states)

    def analysis(
        self,
        cycle: int | None = None,
        *,
        members: slice | tuple[int, int] | None = None,
    ) -> Array:
        """Samples ``(n_samples, dx)`` of a cycle, the last by default; 0 is initial."""
        wanted = self.current_cycle if cycle is None else cycle
        return self._client.run(calls.analysis(self.id, wanted, members))

    def diagnostics(self, cycle: int | None = None) -> CycleRecord:
        """What is kept of a cycle, the last by default."""
        wanted = self.current_cycle if cycle is None else cycle
        return self._client.run(calls.cycle_diagnostics(self.id, wanted))

    def history(self) -> list[CycleRecord]:
        """What is kept of every finished cycle."""
        return self._client.run(calls.history(self.id))

    def refresh(self) -> SessionInfo:
        """Read the session again and go on from the cycle it stands at."""
        self.info = self._client.run(calls.read_session(self.id))
        self.current_cycle = self.info.cycle
        return self.info

    def update(
        self, *, expected_version: int | None = None, **changes: Any
    ) -> SessionInfo:
        """Change ``ttl_seconds``, ``metadata`` or ``options``.

        The last two are merged into what is there; ``None`` takes a name out of them.

        Raises:
            PreconditionFailedError: when it has another than ``expected_version``.
        """
        self.info = self._client.run(
            calls.update_session(self.id, expected_version, changes)
        )
        return self.info

    def put_member(
        self,
        member: int,
        forecast_state: npt.ArrayLike,
        simulated_measurement: Observation,
        *,
        number: int | None = None,
    ) -> bool:
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
        return self._client.run(
            coupling_calls.put_member(
                self.id, wanted, member, forecast_state, simulated_measurement
            )
        )

    def members(self, number: int | None = None) -> MemberList:
        """Who has arrived for the next cycle, or is in a finished one."""
        wanted = self._next(number)
        return self._client.run(coupling_calls.members(self.id, wanted))

    def take_back(self, member: int, *, number: int | None = None) -> None:
        """Take a member back, to send another one in its place."""
        wanted = self._next(number)
        self._client.run(coupling_calls.take_back(self.id, wanted, member))

    def gather(
        self,
        observation: Observation,
        *,
        options: Any = None,
        coupling: Mapping[str, Any] | None = None,
        timeout: float = 0.0,
        number: int | None = None,
    ) -> CycleResult:
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
        result = self._client.run(
            coupling_calls.gather(
                self.id, wanted, observation, options, coupling, timeout
            )
        )
        return self._took(result)

    def wait_for_analysis(
        self, cycle: int | None = None, *, timeout: float = 600.0
    ) -> Array:
        """Samples ``(n_samples, dx)`` of a cycle, once it is finished.

        Args:
            cycle: its number; the next by default.
            timeout: seconds to wait.

        Raises:
            CycleNotFoundError: when it is not there in time.
        """
        wanted = self._next(cycle)
        samples = self._client.run(
            coupling_calls.wait_for_analysis(self.id, wanted, timeout)
        )
        self.current_cycle = max(self.current_cycle, wanted)
        return samples

    def events(self, *, after: str | None = None) -> Iterator[Event]:
        """What happens to the session, as it happens, until it is gone.

        The connection is made again when it breaks, and what happened in between is
        told then.

        Args:
            after: ``id`` of the last event that is known; ``"0.0"`` tells everything
                from the beginning, ``None`` begins now.
        """
        return self._client.events(self.id, after)

    def delete(self) -> None:
        """Delete the session and everything kept of it; once more does no harm."""
        self._client.run(calls.delete_session(self.id))
