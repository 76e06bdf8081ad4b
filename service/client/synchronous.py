"""The client for programs that wait for each call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Self

from service.client import calls
from service.client import jobs as job_calls
from service.client.calling import Waits
from service.client.connection import ClientCalls
from service.client.errors import TransportError
from service.client.events import Event, Following
from service.client.handles import JobCalls, SessionCalls
from service.client.jobs import JobStatus
from service.client.labels import Labels
from service.client.messages import Reply, Request, Steps, T
from service.client.results import AnalysisResult, SessionInfo, StoredResult
from service.client.retry import Attempts, Retry, RetryPolicy
from service.client.transport import Endpoint, SyncTransport


class Client(ClientCalls["Session", "Job", "StoredJob"], Waits):
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

    def __exit__(self, *failure: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def sessions(self) -> Iterator[SessionInfo]:
        """All sessions of this key."""
        after: str | None = None
        while True:
            page, after = self.run(calls.list_sessions(after))
            yield from page
            if after is None:
                return

    def jobs(self) -> Iterator[Job | StoredJob]:
        """All jobs of this key, the oldest first."""
        after: str | None = None
        while True:
            page, after = self.run(job_calls.listed(after))
            for status in page:
                yield self._any_job(status)
            if after is None:
                return

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

    def _session(self, info: SessionInfo) -> Session:
        return Session(self, info)

    def _job(self, status: JobStatus, labels: Labels | None = None) -> Job:
        return Job(self, status, labels)

    def _stored_job(self, status: JobStatus) -> StoredJob:
        return StoredJob(self, status)


class Session(SessionCalls["Job"], Waits):
    """A session: the ensemble and its history, kept by the service.

    The object numbers the cycles itself. It is meant for one thread of work; two
    writers of one session meet in :class:`CycleConflictError`, and that is the point.

    Attributes:
        info: the session as the service showed it last.
        current_cycle: the last finished cycle, 0 before the first.
    """

    def __init__(self, client: Client, info: SessionInfo) -> None:
        super().__init__(info)
        self._client = client

    def events(self, *, after: str | None = None) -> Iterator[Event]:
        """What happens to the session, as it happens, until it is gone.

        The connection is made again when it breaks, and what happened in between is
        told then.

        Args:
            after: ``id`` of the last event that is known; ``"0.0"`` tells everything
                from the beginning, ``None`` begins now.
        """
        return self._client.events(self.id, after)

    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return self._client.run(steps)

    def _job(self, status: JobStatus, labels: Labels) -> Job:
        return Job(self._client, status, labels)


class Job(JobCalls[AnalysisResult], Waits):
    """Work that the service does by itself; any process may take it up by its id.

    Attributes:
        status: as the service showed it last.
    """

    def __init__(
        self, client: Client, status: JobStatus, labels: Labels | None = None
    ) -> None:
        super().__init__(status, labels)
        self._client = client

    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return self._client.run(steps)


class StoredJob(JobCalls[StoredResult], Waits):
    """An analysis of files as a job; its result is a :class:`StoredResult`."""

    def __init__(self, client: Client, status: JobStatus) -> None:
        super().__init__(status)
        self._client = client

    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""
        return self._client.run(steps)
