"""Waiting until something happens to a session, in whichever process it happens.

Nothing is kept running for it: whoever waits looks at the store now and then, all that
wait for the same session in this process share one look, and what happens in this
process wakes them at once.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from service.sessions.documents import read_session
from service.stores.protocol import Loaded, Store

# The longest time that something done by another process goes unnoticed.
LOOK_SECONDS = 0.5
_FIRST_SECONDS = 0.05
_FRESH_SECONDS = 0.05

State = tuple[int, int]


def state_of(loaded: Loaded) -> State:
    """What changes when something happens: the version, and the arrivals."""
    return loaded.version, loaded.arrivals


@dataclass(slots=True, weakref_slot=True)
class _Topic:
    """What those who wait for one session share."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Loaded | None = None
    seen_at: float = 0.0


class Watching:
    """Looks at sessions for those who wait.

    Args:
        store: where the sessions are.
        stopping: nobody waits any more once this is set.
    """

    def __init__(self, store: Store, stopping: asyncio.Event | None = None) -> None:
        self._store = store
        self._stopping = stopping
        self._topics: WeakValueDictionary[tuple[str, str], _Topic] = (
            WeakValueDictionary()
        )

    @property
    def stopping(self) -> bool:
        """Whether the service is about to end."""
        return self._stopping is not None and self._stopping.is_set()

    def nudge(self, tenant: str, sid: str) -> None:
        """Something has happened to this session, here."""
        topic = self._topics.get((tenant, sid))
        if topic is not None:
            topic.seen = None
            topic.changed.set()
            topic.changed = asyncio.Event()

    async def moved(
        self, tenant: str, sid: str, seen: State | None, seconds: float
    ) -> Loaded:
        """The session once it is in another state, or as it is after ``seconds``.

        Args:
            tenant: whose session.
            sid: its name.
            seen: the state that the caller knows; ``None`` returns at once.
            seconds: how long to wait at most.

        Raises:
            SessionNotFound, SessionGone: as soon as there is no live session.
        """
        topic = self._topics.setdefault((tenant, sid), _Topic())
        end = time.monotonic() + seconds
        pause = _FIRST_SECONDS
        while True:
            changed = topic.changed
            loaded = await self._look(topic, tenant, sid)
            left = end - time.monotonic()
            if state_of(loaded) != seen or left <= 0 or self.stopping:
                return loaded
            try:
                async with asyncio.timeout(min(pause, left)):
                    await changed.wait()
            except TimeoutError:
                pause = min(2 * pause, LOOK_SECONDS)

    async def reached(self, tenant: str, sid: str, k: int, seconds: float) -> None:
        """Wait until cycle ``k`` is finished, or for so long."""
        end = time.monotonic() + seconds
        seen: State | None = None
        while True:
            left = max(end - time.monotonic(), 0.0)
            loaded = await self.moved(tenant, sid, seen, left)
            finished = (await read_session(sid, loaded)).cycle >= k
            if finished or not left or self.stopping:
                return
            seen = state_of(loaded)

    async def _look(self, topic: _Topic, tenant: str, sid: str) -> Loaded:
        async with topic.turn:
            fresh = time.monotonic() - topic.seen_at < _FRESH_SECONDS
            if topic.seen is not None and fresh:
                return topic.seen
            changed = topic.changed
            loaded = await self._store.load(tenant, sid)
            # What was read before a nudge must not pass for fresh after it.
            topic.seen = loaded if changed is topic.changed else None
            topic.seen_at = time.monotonic()
            return loaded
