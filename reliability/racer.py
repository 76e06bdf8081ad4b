"""One client on one connection, for rounds in which many of them ask at once.

A library's pool of connections costs more than the service that is asked; a racer has
its connection ready, writes bytes that were made before, and reads one answer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from reliability.raw import message, status_of
from service.client.messages import Request

PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes

    @property
    def samples(self) -> bytes:
        """The bytes of the samples in it, as JSON has them."""
        return orjson.dumps(orjson.loads(self.body)["analysis_samples"])


class Racer:
    """A client of one service.

    Attributes:
        broken: connections that broke, after which the same was sent again.
        turned: answers "come back later", after which it was sent again, too.
        unsure: how often either left open whether the first was done: not where there
            were too many at once, and nothing was begun.
    """

    def __init__(self, url: str) -> None:
        self._port = urlsplit(url).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.broken = self.turned = self.unsure = 0

    async def send(self, data: bytes) -> Answer:
        """Again when turned away or cut off, as the documented client does."""
        while True:
            try:
                answer = await asyncio.wait_for(self._exchange(data), PATIENCE)
            except (OSError, EOFError):
                self.broken += 1
                self.unsure += 1
                self.close()
            else:
                if answer.status not in (429, 503):
                    return answer
                self.turned += 1
                self.unsure += b"/problems/store-unavailable" in answer.body
            await asyncio.sleep(0.2)

    async def _exchange(self, data: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line
        )
        body = await reader.readexactly(int(lines[b"content-length"]))
        if lines.get(b"connection", b"").strip() == b"close":
            self.close()
        return Answer(status_of(head), body)

    def close(self) -> None:
        """Let go of the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            with suppress(OSError):
                streams[1].close()


def encoded(request: Request) -> bytes:
    """A request as bytes."""
    headers = {"Host": "127.0.0.1", **request.headers}
    return message(request.method, request.path, headers, request.body)
