"""Connections within bounds: how many, how long each part of an exchange may take.

uvicorn has a deadline for idle connections that were used before, and no other. Here
every connection has one at every moment:

==========================  ====================================================
waiting for a first request  ``head_seconds``, then it is closed
in a request's head          ``head_seconds`` from its first byte, then 408
in a request's body          the application's own ``body_seconds``, then 408
answered, body unfinished    ``body_seconds`` once more, then it is closed
answer not taken             ``stall_seconds`` without progress, or
                             ``answer_seconds`` for all of it, then it is cut
idle between requests        ``keep_alive_seconds`` (uvicorn's own), then closed
closed, its end not taken    ``stall_seconds``, then it is cut
==========================  ====================================================

What waits for its reader is in memory, so it is counted.

Bodies in very many tiny chunks are refused: taking one apart costs as much as of a
large one, and the bytes that came together are taken apart together.

What cannot be parsed is answered with a problem, as everything else is.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from service.media.types import PROBLEM
from service.problem_types import TYPES
from service.problems import problem_response

# Name of the limits in the state that the application's lifespan hands to the server.
STATE = "connection_limits"
# Bytes of a head, where nobody says how many.
_MOST_PENDING = 64 * 1024
# Chunks of any size, and bytes that there have to be for each one beyond.
FREE_CHUNKS, CHUNK_BYTES = 1000, 64
_TINY_CHUNKS = "The body comes in too many tiny chunks."
_DETAILS = {
    _TINY_CHUNKS: f"{_TINY_CHUNKS} Beyond {FREE_CHUNKS} of them, they have to hold "
    f"{CHUNK_BYTES} bytes each on average; write larger pieces.",
    "Missing mandatory Host: header": "The request has no Host header.",
    "Found multiple Host: headers": "The request has more than one Host header.",
}


def _nobody(told: str | int) -> None:
    """Whom to tell when nobody asked."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of connections, as the settings of the same names say.

    Attributes:
        refused: told the problem of every request that was refused before it reached
            the application.
        unsent: told how many bytes more, or fewer, wait for clients to take them.
    """

    head_seconds: float = 20.0
    body_seconds: float = 60.0
    stall_seconds: float = 30.0
    answer_seconds: float = 600.0
    max_connections: int = 1000
    refused: Callable[[str], None] = _nobody
    unsent: Callable[[int], None] = _nobody


class _Received(ReceiveBuffer):
    """What has come and is not yet taken apart; a piece of a body is handed on whole.

    h11's own copies such a piece twice.
    """

    def maybe_extract_at_most(self, count: int) -> bytearray | None:
        """The first so many bytes, or all there are."""
        if not 0 < len(self._data) <= count:
            return super().maybe_extract_at_most(count)
        taken, self._data = self._data, bytearray()
        self._next_line_search = self._multiple_lines_search = 0
        return taken


class _Connection(h11.Connection):
    """A parser that counts the chunks of a body."""

    def __init__(self, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._receive_buffer = _Received()
        self._chunks = 0
        self._bytes = 0

    def next_event(self) -> Any:
        """The next event.

        Raises:
            h11.RemoteProtocolError: for too many tiny chunks, too.
        """
        event = super().next_event()
        if type(event) is h11.Data:
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > FREE_CHUNKS + self._bytes // CHUNK_BYTES:
                raise h11.RemoteProtocolError(_TINY_CHUNKS)
        elif type(event) is h11.Request:
            self._chunks = self._bytes = 0
        return event


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for everything a client may be slow at."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Connection(config.h11_max_incomplete_event_size or _MOST_PENDING)
        self.limits: ConnectionLimits = app_state.get(STATE, ConnectionLimits())
        self.idle_since: float | None = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in, if there is room or room can be made."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            self._make_room()
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection and its deadlines."""
        for timer in (
            *(self._head_timer, self._linger_timer),
            *(self._stall_timer, self._end_timer),
        ):
            if timer is not None:
                timer.cancel()
        self._count_unsent(0)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and start or stop the clock for a head."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.idle_since = None
        self._watch_head()

    def on_response_complete(self) -> None:
        """Go on to the next request, or give the rest of this one a little time."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self._linger_timer is None:
            # Many clients read why they were refused only when they have sent it all.
            seconds = self.limits.body_seconds
            self._linger_timer = self.loop.call_later(seconds, self._give_up)
        self._watch_head()

    def pause_writing(self) -> None:
        """Start to watch whether the client takes its answer."""
        super().pause_writing()
        if self._stall_timer is None:
            self._watch_progress(self.loop.time() + self.limits.answer_seconds)

    def resume_writing(self) -> None:
        """The client took it."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._count_unsent(0)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle, even if it takes nothing more."""
        super().timeout_keep_alive_handler()
        self._watch_end()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed (called while that error is handled)."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self._refuse("head-too-large", TYPES["head-too-large"].meaning)
            return
        detail = _DETAILS.get(str(error), "This is not a request of HTTP/1.1.")
        self._refuse("bad-request", detail)

    def _watch_head(self) -> None:
        """A head has to end in time, and a new connection has to begin with one."""
        state = self.conn.their_state
        if state is not h11.SEND_BODY and self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if state is not h11.IDLE:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None and (
            # Else uvicorn's own timer for idle connections runs.
            self._has_bytes() or self.timeout_keep_alive_task is None
        ):
            seconds = self.limits.head_seconds
            self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def _has_bytes(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def _head_is_late(self) -> None:
        if self._has_bytes():
            seconds = self.limits.head_seconds
            self._refuse("head-timeout", f"It did not end within {seconds:g} seconds.")
        else:
            self._give_up()

    def _make_room(self) -> None:
        """Close the connection that has been idle longest; refuse when none is."""
        idle = [
            (other.idle_since, id(other), other)
            for other in self.connections
            if isinstance(other, BoundedProtocol)
            and other is not self
            and other.idle_since is not None
        ]
        if not idle:
            self._refuse("too-busy", "Too many connections are open.")
            return
        longest = min(idle)[2]
        # At once: its place is needed now, not when its transport has closed.
        self.connections.discard(longest)
        longest._give_up()

    def _refuse(self, slug: str, detail: str) -> None:
        """Answer with a problem if that is still possible, and close."""
        self.limits.refused(slug)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            scope = {"path": "", "state": {"request_id": uuid.uuid4().hex}}
            body = bytes(problem_response(scope, slug, detail).body)
            status = TYPES[slug].status
            headers = [
                ("Content-Type", PROBLEM),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Request-ID", scope["state"]["request_id"]),  # type: ignore[index]
                ("Connection", "close"),
            ]
            if status == 503:
                headers.append(("Retry-After", "1"))
            for event in (
                h11.Response(
                    status_code=status, headers=headers, reason=STATUS_PHRASES[status]
                ),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._watch_end()

    def _watch_end(self) -> None:
        """Closing waits until what was written is taken; not for ever."""
        if self._end_timer is None:
            seconds = self.limits.stall_seconds
            self._end_timer = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        self._end_timer = None
        if self._stall_timer is None:
            self.transport.abort()
        else:
            # Much is left, and whether it is taken is watched already.
            self._watch_end()

    def _watch_progress(self, end: float, before: int | None = None) -> None:
        left = self.transport.get_write_buffer_size()
        self._count_unsent(left)
        left += _in_kernel(self.transport)
        late = self.loop.time() >= end
        if late or (before is not None and left >= before):
            self.limits.refused("stalled")
            self.transport.abort()
            return
        seconds = min(self.limits.stall_seconds, max(0.0, end - self.loop.time()))
        self._stall_timer = self.loop.call_later(
            seconds, self._watch_progress, end, left
        )

    def _count_unsent(self, now: int) -> None:
        if now != self._unsent:
            self.limits.unsent(now - self._unsent)
            self._unsent = now


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has taken and the client has not; 0 where none can say.

    The kernel takes more in large pieces only, long after a slow reader has moved on.
    """
    place = transport.get_extra_info("socket")
    found = bytearray(4)
    try:
        fcntl.ioctl(place.fileno(), termios.TIOCOUTQ, found)
    except (OSError, AttributeError):
        return 0
    return int.from_bytes(found, sys.byteorder)
