"""Server-sent events: bytes to events, and when to connect again; no input or output.

A :class:`Following` is given what the transport received and says what to do next; the
synchronous and the asynchronous client both drive it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from service.client import wire
from service.client.calls import at
from service.client.errors import (
    ReplyLostError,
    TransportError,
    UnexpectedReplyError,
)
from service.client.messages import Reply, Request
from service.client.retry import Attempts, RetryPolicy
from service.client.transport import Outcome

GONE = "gone"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a session.

    Attributes:
        name: ``session`` (on connecting), ``member``, ``warning``, ``cycle``, ``gone``.
        data: what the service says of it.
        id: pass it as ``after`` to go on from here; ``None`` for warnings and the end.
    """

    name: str
    data: dict[str, Any]
    id: str | None = None


class Following:
    """One session's events, over any number of connections.

    Args:
        session: its id.
        after: id of the last event that is known; ``None`` begins now.
        policy: how long to try to connect again.
    """

    def __init__(self, session: str, after: str | None, policy: RetryPolicy) -> None:
        self._path = f"{at(session)}/events"
        self._after = after
        self._policy = policy
        self._attempts: Attempts | None = None
        self._outcome: Outcome = ReplyLostError("the stream has ended")
        self._rest = b""
        self.done = False

    def request(self) -> Request:
        """The request that opens the stream where it broke off."""
        self._rest = b""
        self._outcome = ReplyLostError("the stream has ended")
        last = {} if self._after is None else {"Last-Event-ID": self._after}
        return Request(
            "GET", self._path, headers={"Accept": "text/event-stream"} | last
        )

    def take(self, item: bytes | Outcome) -> Iterator[Event]:
        """The events in what was received."""
        if not isinstance(item, bytes):
            self._outcome = item
            return
        self._attempts = None
        # Lines end in one byte here: text inside the data may hold other line ends.
        *blocks, self._rest = (self._rest + item).split(b"\n\n")
        for block in blocks:
            event = _event(block)
            if event is None:
                continue
            self._after = event.id or self._after
            self.done = event.name == GONE
            yield event

    def pause(self) -> float:
        """Seconds until the next connection.

        Raises:
            ServiceError, TransportError: when there is to be none.
        """
        if self._attempts is None:
            self._attempts = Attempts(self._policy, self.request())
        again = self._attempts.next(self._outcome)
        if again is not None:
            return again.delay
        if isinstance(self._outcome, TransportError):
            raise self._outcome
        assert isinstance(self._outcome, Reply)
        wire.read_nothing(self._outcome)
        raise UnexpectedReplyError("the service sends no events")


def _event(block: bytes) -> Event | None:
    fields: dict[str, str] = {}
    for line in block.decode("utf-8").split("\n"):
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    if "event" not in fields or "data" not in fields:
        return None
    try:
        data = orjson.loads(fields["data"])
    except orjson.JSONDecodeError as error:
        raise UnexpectedReplyError("an event holds no JSON") from error
    return Event(fields["event"], data, fields.get("id"))
