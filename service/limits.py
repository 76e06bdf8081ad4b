"""Limits before work: how long a body may be, how long it may take, how much at once.

Also the other end of patience: work stops when the client that asked for it has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import BodyTimeoutError, TooBusyError
from service.media.errors import TooLargeError
from service.problems import problem_response

T = TypeVar("T")
MEBIBYTE = 1024 * 1024
READ_TURN_SECONDS = 30.0


class Heads:
    """Middleware that refuses heads no client of ours would send.

    Args:
        app: what is behind.
        max_bytes: longest head; the server below may let a longer one through when it
            comes in one piece.
        max_headers: most headers.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_headers: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_headers = max_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or say what is wrong with its head."""
        answer = self._refusal(scope) if scope["type"] == "http" else None
        await (answer or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = scope["headers"]
        length = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        length += sum(len(name) + len(value) + 4 for name, value in headers)
        if length > self.max_bytes or len(headers) > self.max_headers:
            return problem_response(
                scope,
                "head-too-large",
                f"It has {len(headers)} headers and about {length} bytes; "
                f"{self.max_headers} and {self.max_bytes} are allowed.",
            )
        if sum(name == b"host" for name, _ in headers) > 1:
            detail = "The request has more than one Host header."
            return problem_response(scope, "bad-request", detail)
        return None


class Bodies:
    """Reads request bodies within a size, a time, and a total held at once.

    Args:
        max_bytes: longest body.
        seconds: longest time for a body to arrive.
        max_held_bytes: most that all requests together may hold, and half of it their
            answers.
    """

    def __init__(self, max_bytes: int, seconds: float, max_held_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.max_held_bytes = max(max_held_bytes, max_bytes)
        self.held_bytes = 0
        self.unsent_bytes = 0
        self._ensembles = 0
        self._read_bytes = 0
        self._read = asyncio.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count an ensemble that comes out of the store as bodies are counted.

        One is let through whatever else is held: its own limit is another setting.

        Raises:
            TooBusyError: when it would be too much besides others.
        """
        if self._ensembles and self.held_bytes + size > self.max_held_bytes:
            raise TooBusyError("Too many ensembles are under way.", 1)
        self._ensembles += 1
        self.held_bytes += size
        try:
            yield
        finally:
            self.held_bytes -= size
            self._ensembles -= 1

    @asynccontextmanager
    async def reading(self, size: int) -> AsyncIterator[None]:
        """Wait until an analysis may be read out of the store, to be answered.

        Such readings have a quarter of the room of bodies, besides theirs; one may
        always go on.

        Raises:
            TooBusyError: when others took too long.
        """
        most = self.max_held_bytes // 4

        def free() -> bool:
            return not self._read_bytes or self._read_bytes + size <= most

        try:
            async with asyncio.timeout(READ_TURN_SECONDS), self._read:
                await self._read.wait_for(free)
                self._read_bytes += size
        except TimeoutError:
            raise TooBusyError("Too many analyses are being read.", 1) from None
        try:
            yield
        finally:
            self._read_bytes -= size
            with anyio.CancelScope(shield=True):
                async with self._read:
                    self._read.notify_all()

    def in_hand(self) -> int:
        """Bytes of bodies, ensembles and answers now."""
        return self.held_bytes + self._read_bytes + self.unsent_bytes

    def count(self, change: int) -> None:
        """Count bytes of answers that wait until their clients take them."""
        self.unsent_bytes += change

    @contextmanager
    def answer(self, size: int) -> Iterator[None]:
        """Count a large answer while it is written down.

        Answers have half as much room as bodies, besides theirs: clients that are slow
        to take what they asked for are in the way of nobody else.

        Args:
            size: of its arrays.

        Raises:
            TooBusyError: when too much waits already.
        """
        over = self.unsent_bytes + size > self.max_held_bytes // 2
        if self.unsent_bytes and over:
            raise TooBusyError("Too many answers wait for their readers.", 1)
        self.unsent_bytes += size
        try:
            yield
        finally:
            self.unsent_bytes -= size

    @asynccontextmanager
    async def read(
        self, request: Request, max_bytes: int | None = None
    ) -> AsyncIterator[bytearray]:
        """The body of a request; it counts as held until the block is left.

        Args:
            request: what came.
            max_bytes: longest body here, where that is shorter than elsewhere.

        Raises:
            TooLargeError: from the Content-Length where there is one, else as soon as
                one byte too many has come.
            BodyTimeoutError: when it does not arrive in time.
            TooBusyError: when all bodies together would take too much memory.
        """
        most = min(max_bytes or self.max_bytes, self.max_bytes)
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > most:
            raise self._too_large(most)
        body = bytearray()
        try:
            await self._fill(body, request, most)
            request.state.body_bytes = len(body)
            yield body
        finally:
            self.held_bytes -= len(body)

    async def _fill(self, body: bytearray, request: Request, most: int) -> None:
        try:
            with anyio.fail_after(self.seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > most:
                        raise self._too_large(most)
                    if self.held_bytes + len(chunk) > self.max_held_bytes:
                        raise TooBusyError("Too many bodies are under way.", 1)
                    self.held_bytes += len(chunk)
                    body += chunk
        except TimeoutError:
            raise BodyTimeoutError(
                f"The body did not arrive within {self.seconds:g} seconds."
            ) from None

    def _too_large(self, most: int) -> TooLargeError:
        if most < self.max_bytes:
            detail = f"The body is longer than the {most} bytes that are read here."
            return TooLargeError(detail, "body_bytes", most)
        size = f"{self.max_bytes / MEBIBYTE:g} MiB"
        return TooLargeError(
            f"The body is longer than {size} ({self.max_bytes} bytes). Binary arrays "
            "(multipart with npy parts) take less than half of JSON.",
            "max_body_bytes",
            self.max_bytes,
        )


async def while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """Work for a client as long as it is there.

    Call it when the body has been read: nothing but a disconnect can follow.

    Raises:
        ClientDisconnect: when the client left; the work has been cancelled.
    """
    with anyio.CancelScope() as scope:
        # Not in a task group, whose scope writes down who cancels it, and why, at the
        # end of every request: a tenth of what serving a small one takes.
        watching = asyncio.create_task(_cancel_on_disconnect(request, scope))
        try:
            return await work()
        finally:
            watching.cancel()
    raise ClientDisconnect()


async def _cancel_on_disconnect(request: Request, scope: anyio.CancelScope) -> None:
    # Who cannot watch any more, not even stop to, does no harm to what was watched.
    with suppress(Exception):
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
