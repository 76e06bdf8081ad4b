"""The list of a tenant's sessions in Redis, and what they take up.

The list is only a shortcut: names whose sessions are gone are taken off when they are
met, and every commit lists its session again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from service.stores.codec import unseal
from service.stores.errors import (
    SessionGone,
    SessionNotFound,
    StoreError,
    StoreUnavailable,
)
from service.stores.offloop import PACKED_COST, off_loop
from service.stores.places import META, place
from service.stores.protocol import Loaded, Page, PageRoom, Usage
from service.stores.redis_keys import Keys, account_keys, index_key
from service.stores.redis_link import RedisLink, ask, ask_all

HEAD_FIELDS = ("version", "meta", "expires", "arrivals")
_INDEX_SAMPLES = 3
# Documents that are unpacked at once, as long as they can be.
_HELD_BYTES = 32 << 20
_log = logging.getLogger(__name__)


class RedisListing:
    """The methods of the store that are about all sessions of a tenant."""

    _clock: Callable[[], float]

    @property
    def _linked(self) -> RedisLink:
        raise NotImplementedError

    async def usage(self, tenant: str) -> Usage:
        """What a tenant keeps in live sessions."""
        ends, sizes = account_keys(tenant)
        now = repr(self._clock())
        live = await self._linked.call(
            lambda client, _: ask(client, "ZRANGEBYSCORE", ends, f"({now}", "+inf")
        )
        if not live:
            return Usage(0, 0)
        found = await self._linked.call(
            lambda client, _: ask(client, "HMGET", sizes, *live)
        )
        return Usage(len(live), sum(int(size or 0) for size in found))

    async def list(
        self,
        tenant: str,
        *,
        after: str | None,
        limit: int,
        max_bytes: int | None = None,
    ) -> Page:
        """Live sessions of a tenant whose names sort after ``after``."""
        sessions: list[tuple[str, Loaded]] = []
        room = PageRoom(limit, max_bytes)
        while True:
            names = await self._names(tenant, after, limit + 1)
            for some in await self._together(tenant, names):
                for sid, loaded in await self._live(tenant, some):
                    if not room.take(loaded):
                        return Page(sessions, sessions[-1][0])
                    sessions.append((sid, loaded))
            if len(names) <= limit:
                return Page(sessions, None)
            after = names[-1]

    async def _together(
        self, tenant: str, names: Sequence[str]
    ) -> Sequence[Sequence[str]]:
        """Names in groups whose documents can be held at once."""
        commands = [("HSTRLEN", Keys.of(tenant, sid).head, "meta") for sid in names]
        sizes = await self._linked.call(lambda client, _: ask_all(client, commands))
        groups: list[list[str]] = []
        held = 0
        for sid, size in zip(names, sizes, strict=True):
            # Whatever is the matter with it is told when it is read.
            written = PACKED_COST * (size if isinstance(size, int) else 0)
            if not groups or held + written > _HELD_BYTES:
                groups.append([])
                held = 0
            groups[-1].append(sid)
            held += written
        return groups

    async def _names(self, tenant: str, after: str | None, count: int) -> Sequence[str]:
        start = "-" if after is None else f"({after}"
        found = await self._linked.call(
            lambda client, _: ask(
                client,
                *("ZRANGEBYLEX", index_key(tenant), start, "+", "LIMIT", 0, count),
            )
        )
        return [name.decode() for name in found]

    def _loaded(self, tenant: str, sid: str, found: Sequence[bytes | None]) -> Loaded:
        version, meta, expires, arrivals = found
        if version is None or expires is None:
            raise SessionNotFound(sid)
        if meta is None:
            raise SessionGone(sid, "deleted")
        if float(expires) <= self._clock():
            raise SessionGone(sid, "expired")
        document = bytes(unseal(meta, place(tenant, sid, META)))
        return Loaded(int(version), document, float(expires), int(arrivals or 0))

    async def _live(
        self, tenant: str, names: Sequence[str]
    ) -> Sequence[tuple[str, Loaded]]:
        commands = [("HMGET", Keys.of(tenant, sid).head, *HEAD_FIELDS) for sid in names]
        heads = await self._linked.call(lambda client, _: ask_all(client, commands))
        live: list[tuple[str, Loaded]] = []
        dead: list[str] = []

        def read() -> None:
            for sid, head in zip(names, heads, strict=True):
                if isinstance(head, Exception):
                    raise StoreUnavailable(f"Redis refuses ({type(head).__name__})")
                try:
                    live.append((sid, self._loaded(tenant, sid, head)))
                except (SessionNotFound, SessionGone):
                    dead.append(sid)

        packed = (head[1] for head in heads if isinstance(head, list))
        await off_loop(PACKED_COST * sum(len(meta or b"") for meta in packed), read)
        await self._unlist(tenant, dead)
        return live

    async def _thin_out_index(self, tenant: str) -> None:
        """Look at a few names by chance; those without a session go.

        Three looks per new session keep the dead ones to about a third.
        """
        try:
            found = await self._linked.call(
                lambda client, _: ask(
                    client, "ZRANDMEMBER", index_key(tenant), _INDEX_SAMPLES
                )
            )
            await self._live(tenant, [name.decode() for name in found])
        except StoreError:
            _log.debug("the index of sessions was not thinned out", exc_info=True)

    async def _unlist(self, tenant: str, names: Sequence[str]) -> None:
        """Take sessions that are gone off the list; the list is only a shortcut."""
        if not names:
            return
        try:
            await self._linked.call(
                lambda client, _: ask(client, "ZREM", index_key(tenant), *names)
            )
        except StoreError:
            _log.debug("sessions that are gone stay listed", exc_info=True)
