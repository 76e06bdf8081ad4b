"""The same client for programs on an event loop; see ``Client`` for every argument."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from service.client import calls
from service.client import coupling as coupling_calls
from service.client.errors import TransportError
from service.client.events import Event, Following
from service.client.handles import AsyncCycleJobs, AsyncJobCalls
from service.client.messages import Reply, Request, Steps, T
from service.client.results import (
    AnalysisResult,
    CycleRecord,
    CycleResult,
    MemberList,
    SessionInfo,
)
from service.client.retry import Attempts, Retry, RetryPolicy
from service.client.transport import AsyncTransport, Endpoint
from service.client.wire import Array, Observation


class AsyncClient(AsyncJobCalls):
    """As :class:`~service.client.Client`, with every call awaited."""

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
        self._transport = AsyncTransport(endpoint)
        self._policy = retry or RetryPolicy()
        self._on_retry = on_retry

    async def __aenter__(self) -> Self:
        """Use as a context manager to close the connections at the end."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def analyse(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        seed: int | None = None,
    ) -> AnalysisResult:
        """One analysis that the service does not keep."""
        return await self.run(
            calls.analyse(
                forecast_states, simulated_measurements, observation, options, seed
            )
        )

    async def create_session(
        self, *, state_dim: int, measurement_dim: int, **fields: Any
    ) -> AsyncSession:
        """Begin a session at cycle 0."""
        dims = {"state_dim": state_dim, "measurement_dim": measurement_dim}
        return AsyncSession(self, await self.run(calls.create_session(dims | fields)))

    async def session(self, session_id: str) -> AsyncSession:
        """An existing session, at the cycle it has come to."""
        return AsyncSession(self, await self.run(calls.read_session(session_id)))

    async def sessions(self) -> AsyncIterator[SessionInfo]:
        """All sessions of this key."""
        after: str | None = None
        while True:
            page, after = await self.run(calls.list_sessions(after))
            for info in page:
                yield info
            if after is None:
                return

    async def ready(self) -> dict[str, Any]:
        """The service's own account of its dependencies."""
        return await self.run(calls.ready())

    async def events(
        self, session_id: str, after: str | None = None
    ) -> AsyncIterator[Event]:
        """What happens to a session, until it is gone; see ``Session.events``."""
        following = Following(session_id, after, self._policy)
        while not following.done:
            async for item in self._transport.stream(following.request()):
                for event in following.take(item):
                    yield event
            if not following.done:
                await asyncio.sleep(following.pause())

    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        try:
            request = next(steps)
            while True:
                request = steps.send(await self._exchange(request))
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _exchange(self, request: Request) -> Reply:
        await asyncio.sleep(request.delay)
        attempts = Attempts(self._policy, request)
        while True:
            outcome = await self._transport.send(request)
            again = attempts.next(outcome)
            if again is None:
                if isinstance(outcome, TransportError):
                    raise outcome
                return outcome
            if self._on_retry is not None:
                self._on_retry(again)
            await asyncio.sleep(again.delay)


class AsyncSession(AsyncCycleJobs):
    """As :class:`~service.client.Session`, with every call awaited."""

    def __init__(self, client: AsyncClient, info: SessionInfo) -> None:
        super().__init__(info)
        self._client = self._runs = client

    async def cycle(
        self,
        forecast_states: npt.ArrayLike,
        simulated_measurements: npt.ArrayLike,
        observation: Observation,
        *,
        options: Any = None,
        number: int | None = None,
    ) -> CycleResult:
        """Assimilate the next cycle; acknowledged means kept."""
        wanted = self._next(number)
        result = await self._client.run(
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

    async def analysis(
        self,
        cycle: int | None = None,
        *,
        members: slice | tuple[int, int] | None = None,
    ) -> Array:
        """Samples ``(n_samples, dx)`` of a cycle, the last by default; 0 is initial."""
        wanted = self.current_cycle if cycle is None else cycle
        return await self._client.run(calls.analysis(self.id, wanted, members))

    async def diagnostics(self, cycle: int | None = None) -> CycleRecord:
        """What is kept of a cycle, the last by default."""
        wanted = self.current_cycle if cycle is None else cycle
        return await self._client.run(calls.cycle_diagnostics(self.id, wanted))

    async def history(self) -> list[CycleRecord]:
        """What is kept of every finished cycle."""
        return await self._client.run(calls.history(self.id))

    async def refresh(self) -> SessionInfo:
        """Read the session again and go on from the cycle it stands at."""
        self.info = await self._client.run(calls.read_session(self.id))
        self.current_cycle = self.info.cycle
        return self.info

    async def update(
        self, *, expected_version: int | None = None, **changes: Any
    ) -> SessionInfo:
        """Change ``ttl_seconds``, ``metadata`` or ``options``."""
        self.info = await self._client.run(
            calls.update_session(self.id, expected_version, changes)
        )
        return self.info

    async def put_member(
        self,
        member: int,
        forecast_state: npt.ArrayLike,
        simulated_measurement: Observation,
        *,
        number: int | None = None,
    ) -> bool:
        """Send one member of the next cycle; whether it was there before."""
        wanted = self._next(number)
        return await self._client.run(
            coupling_calls.put_member(
                self.id, wanted, member, forecast_state, simulated_measurement
            )
        )

    async def members(self, number: int | None = None) -> MemberList:
        """Who has arrived for the next cycle, or is in a finished one."""
        wanted = self._next(number)
        return await self._client.run(coupling_calls.members(self.id, wanted))

    async def take_back(self, member: int, *, number: int | None = None) -> None:
        """Take a member back, to send another one in its place."""
        wanted = self._next(number)
        await self._client.run(coupling_calls.take_back(self.id, wanted, member))

    async def gather(
        self,
        observation: Observation,
        *,
        options: Any = None,
        coupling: Mapping[str, Any] | None = None,
        timeout: float = 0.0,
        number: int | None = None,
    ) -> CycleResult:
        """Assimilate the next cycle with the members that have come one by one."""
        wanted = self._next(number)
        result = await self._client.run(
            coupling_calls.gather(
                self.id, wanted, observation, options, coupling, timeout
            )
        )
        return self._took(result)

    async def wait_for_analysis(
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
        samples = await self._client.run(
            coupling_calls.wait_for_analysis(self.id, wanted, timeout)
        )
        self.current_cycle = max(self.current_cycle, wanted)
        return samples

    def events(self, *, after: str | None = None) -> AsyncIterator[Event]:
        """What happens to the session, as it happens, until it is gone."""
        return self._client.events(self.id, after)

    async def delete(self) -> None:
        """Delete the session and everything kept of it; once more does no harm."""
        await self._client.run(calls.delete_session(self.id))
