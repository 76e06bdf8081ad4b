"""The same client for programs on an event loop; see ``Client`` for every argument."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Self

from service.client import calls
from service.client import jobs as job_calls
from service.client.calling import Awaits
from service.client.connection import ClientCalls
from service.client.errors import TransportError
from service.client.events import Event, Following
from service.client.handles import JobCalls, SessionCalls
from service.client.jobs import JobStatus
from service.client.labels import Labels
from service.client.messages import Reply, Request, Steps, T
from service.client.results import AnalysisResult, SessionInfo, StoredResult
from service.client.retry import Attempts, Retry, RetryPolicy
from service.client.transport import AsyncTransport, Endpoint


class AsyncClient(ClientCalls["AsyncSession", "AsyncJob", "AsyncStoredJob"], Awaits):
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

    async def __aexit__(self, *failure: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def sessions(self) -> AsyncIterator[SessionInfo]:
        """All sessions of this key."""
        after: str | None = None
        while True:
            page, after = await self.run(calls.list_sessions(after))
            for info in page:
                yield info
            if after is None:
                return

    async def jobs(self) -> AsyncIterator[AsyncJob | AsyncStoredJob]:
        """All jobs of this key, the oldest first."""
        after: str | None = None
        while True:
            page, after = await self.run(job_calls.listed(after))
            for status in page:
                yield self._any_job(status)
            if after is None:
                return

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

    def _session(self, info: SessionInfo) -> AsyncSession:
        return AsyncSession(self, info)

    def _job(self, status: JobStatus, labels: Labels | None = None) -> AsyncJob:
        return AsyncJob(self, status, labels)

    def _stored_job(self, status: JobStatus) -> AsyncStoredJob:
        return AsyncStoredJob(self, status)


class AsyncSession(SessionCalls["AsyncJob"], Awaits):
    """As :class:`~service.client.Session`, with every call awaited."""

    def __init__(self, client: AsyncClient, info: SessionInfo) -> None:
        super().__init__(info)
        self._client = client

    def events(self, *, after: str | None = None) -> AsyncIterator[Event]:
        """What happens to the session, as it happens, until it is gone."""
        return self._client.events(self.id, after)

    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return await self._client.run(steps)

    def _job(self, status: JobStatus, labels: Labels) -> AsyncJob:
        return AsyncJob(self._client, status, labels)


class AsyncJob(JobCalls[AnalysisResult], Awaits):
    """As :class:`~service.client.Job`, with every call awaited."""

    def __init__(
        self, client: AsyncClient, status: JobStatus, labels: Labels | None = None
    ) -> None:
        super().__init__(status, labels)
        self._client = client

    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return await self._client.run(steps)


class AsyncStoredJob(JobCalls[StoredResult], Awaits):
    """As :class:`~service.client.StoredJob`, with every call awaited."""

    def __init__(self, client: AsyncClient, status: JobStatus) -> None:
        super().__init__(status)
        self._client = client

    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return await self._client.run(steps)
