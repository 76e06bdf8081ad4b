"""A TCP proxy that counts round trips, loses replies and falls silent."""

from __future__ import annotations

import asyncio
import socket
import struct
from types import TracebackType


class Proxy:
    """Forwards to a loopback port.

    Attributes:
        port: where it listens.
        round_trips: how often a client spoke after the server did.
        lose_reply_to: a request that holds this reaches the server, and its reply is
            lost together with the connection; once, then it is ``None`` again.
        lost: how many replies were lost.
        gate: requests go through while it is set; ``shut_after_loss`` clears it
            together with the loss of a reply.
        silent: replies are held back for good.
        delay: seconds that each piece waits, on its way there and back.
        cut_every: of so many pieces of replies one is cut in the middle and the
            connection reset; 0 cuts none. ``cuts`` counts them.
        heard: all that clients have said.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.round_trips = 0
        self.lose_reply_to: bytes | None = None
        self.lost = 0
        self.silent = False
        self.delay = 0.0
        self.cut_every = 0
        self.cuts = 0
        self._pieces = 0
        self.shut_after_loss = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.heard = bytearray()
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Address of database 0 behind the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        upstream_reader, upstream = await asyncio.open_connection(
            "127.0.0.1", self._target
        )
        talk = _Talk()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(reader, upstream, talk))
                group.create_task(self._replies(upstream_reader, writer, talk))
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            upstream.close()
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, talk: _Talk
    ) -> None:
        while data := await reader.read(1 << 20):
            if not talk.waiting:
                self.round_trips += 1
            talk.waiting = True
            await asyncio.sleep(self.delay)
            if self.lose_reply_to is not None and self.lose_reply_to in data:
                self.lose_reply_to, talk.doomed = None, True
                if self.shut_after_loss:
                    self.gate.clear()
            else:
                await self.gate.wait()
            self.heard += data
            upstream.write(data)
            await upstream.drain()
        raise ConnectionResetError

    async def _replies(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, talk: _Talk
    ) -> None:
        while data := await upstream.read(1 << 20):
            talk.waiting = False
            if talk.doomed:
                self.lost += 1
                break
            if self.silent:
                continue
            await asyncio.sleep(self.delay)
            if self._cuts():
                writer.write(data[: len(data) // 2])
                await writer.drain()
                _reset(writer)
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def _cuts(self) -> bool:
        """Whether this piece of a reply is one to be cut."""
        self._pieces += 1
        if not self.cut_every or self._pieces % self.cut_every:
            return False
        self.cuts += 1
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST where a reader expects more."""
    linger = struct.pack("ii", 1, 0)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class _Talk:
    """State of one connection."""

    def __init__(self) -> None:
        self.waiting = False
        self.doomed = False
