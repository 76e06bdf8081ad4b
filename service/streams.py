"""Answers that stay open: how many there may be, and how events look on the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import TooManyStreamsError

EVENT_STREAM = "text/event-stream"
RETRY_SECONDS = 2


class Streams:
    """Counts what each tenant keeps open: streams of events, and requests that wait.

    Args:
        most: that one tenant may keep open in this process.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: Counter[str] = Counter()

    def enter(self, tenant: str) -> None:
        """One more.

        Raises:
            TooManyStreamsError: when it would be one too many.
        """
        if self._open[tenant] >= self.most:
            raise TooManyStreamsError(
                f"{self.most} streams and waiting requests are open already; close "
                "some, or come back later.",
                RETRY_SECONDS,
            )
        self._open[tenant] += 1

    def leave(self, tenant: str) -> None:
        """One less."""
        self._open[tenant] -= 1
        if not self._open[tenant]:
            del self._open[tenant]

    @contextmanager
    def one(self, tenant: str) -> Iterator[None]:
        """One more for the length of a block."""
        self.enter(tenant)
        try:
            yield
        finally:
            self.leave(tenant)


class EventStream(StreamingResponse):
    """Server-sent events; counted as open until the last byte, however it ends.

    Args:
        content: encoded events.
        streams: where it is counted.
        tenant: for whom. It has been entered already.
    """

    def __init__(
        self, content: AsyncGenerator[bytes], streams: Streams, tenant: str
    ) -> None:
        # Proxies that collect answers before they pass them on are told not to.
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(content, headers=headers, media_type=EVENT_STREAM)
        self._content = content
        self._streams = streams
        self._tenant = tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there are no more, or nobody listens."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._tenant)
            await self._content.aclose()


def encode_event(name: str, data: Any, at: str | None = None) -> bytes:
    """One event as the wire has it (HTML, section 9.2.6)."""
    head = f"event: {name}\n" + (f"id: {at}\n" if at else "")
    return head.encode() + b"data: " + orjson.dumps(data) + b"\n\n"


def encode_comment(text: str) -> bytes:
    """A line that nobody reads, so that nobody takes the stream for dead."""
    return f": {text}\n\n".encode()


async def with_retry(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Events after a word on how soon to come back when they end."""
    yield f"retry: {1000 * RETRY_SECONDS}\n\n".encode()
    async for event in events:
        yield event
