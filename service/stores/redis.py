"""The Redis store: for several machines, and for speed.

One session is four small hashes and the pieces of its blobs, all in one hash slot::

    ccdm1:{tenant:sid}            head: version, token, meta, expires
    ccdm1:{tenant:sid}:records    name -> frame
    ccdm1:{tenant:sid}:blobs      name -> descriptor "id:pieces:bytes"
    ccdm1:{tenant:sid}:parts      name -> "descriptor|mark|arrival|size|info"
    ccdm1:{tenant:sid}:<id>:<i>   piece i, up to 4 MiB; the id holds version and token
    ccdm1:{tenant}:sessions       sorted set of the tenant's sessions, for listing

A commit first writes the pieces of new blobs under names that nobody knows yet and
that expire soon, then runs a small script that checks the version and flips the head.
So blobs never pass through a script, a crash in between leaves pieces that vanish by
themselves, and a reader sees the session before or after. Keys expire with their
session; the head stays a day longer, as the tombstone.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import OutOfMemoryError

from service.stores.codec import seal, unseal
from service.stores.errors import (
    SessionGone,
    SessionNotFound,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from service.stores.offloop import off_loop
from service.stores.places import META, place
from service.stores.protocol import (
    TOMBSTONE_SECONDS,
    Change,
    Loaded,
    Outcome,
    Page,
    StoreHealth,
)
from service.stores.redis_health import health_of
from service.stores.redis_keys import (
    PIECE_BYTES,
    Blob,
    Keys,
    index_key,
    lifetimes,
)
from service.stores.redis_link import Client, RedisLink, ask, ask_all
from service.stores.redis_parts import RedisParts
from service.stores.redis_scripts import Answer, Script, raise_unless_live

# Pieces of a commit that never comes must vanish by themselves; until it comes, a slow
# network has this long.
_UPLOAD_SECONDS = 600
_READ_TOGETHER = 4
_INDEX_SAMPLES = 3
_HEAD_FIELDS = ("version", "meta", "expires", "arrivals")
_log = logging.getLogger(__name__)


class RedisStore(RedisParts):
    """Sessions in one Redis database.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        clock: seconds since 1970; all processes should agree on it.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._clock = clock
        self._link: RedisLink | None = None
        self._commit = Script.load("commit.lua")
        self._touch = Script.load("touch.lua")
        self._delete = Script.load("delete.lua")

    async def open(self) -> None:
        """Get ready; a server that is down may still come up."""
        self._link = RedisLink(self._url)
        health = await self.health()
        for warning in (*health.warnings, *(() if health.ok else (health.detail,))):
            _log.warning("session store: %s", warning)

    async def close(self) -> None:
        """Close all connections."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def health(self) -> StoreHealth:
        """Ask the server for what decides over acknowledged data."""
        try:
            return await self._linked.probe(health_of)
        except StoreError as error:
            return StoreHealth(False, f"redis: {error}")

    @property
    def _linked(self) -> RedisLink:
        if self._link is None:
            raise StoreUnavailable("it is closed")
        return self._link

    async def load(self, tenant: str, sid: str) -> Loaded:
        """Version, document and expiry of a live session."""
        head = Keys.of(tenant, sid).head
        found = await self._linked.call(
            lambda client, _: ask(client, "HMGET", head, *_HEAD_FIELDS)
        )
        return self._loaded(tenant, sid, found)

    def _loaded(self, tenant: str, sid: str, found: list[bytes | None]) -> Loaded:
        version, meta, expires, arrivals = found
        if version is None or expires is None:
            raise SessionNotFound(sid)
        if meta is None:
            raise SessionGone(sid, "deleted")
        if float(expires) <= self._clock():
            raise SessionGone(sid, "expired")
        document = bytes(unseal(meta, place(tenant, sid, META)))
        return Loaded(int(version), document, float(expires), int(arrivals or 0))

    async def records(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> list[bytes | None]:
        """Records by name; ``None`` where there is none."""
        if not names:
            return []
        key = Keys.of(tenant, sid).records
        frames = await self._linked.call(
            lambda client, _: ask(client, "HMGET", key, *names)
        )
        return [
            None if frame is None else bytes(unseal(frame, place(tenant, sid, name)))
            for name, frame in zip(names, frames, strict=True)
        ]

    async def blob(self, tenant: str, sid: str, name: str) -> memoryview | None:
        """One blob, its checksum verified; ``None`` when there is none."""
        keys = Keys.of(tenant, sid)
        seen = None
        while True:
            descriptor = await self._linked.call(
                lambda client, _: ask(client, "HGET", keys.blobs, name)
            )
            if descriptor is None:
                return None
            if descriptor == seen:
                raise StoreCorrupt(f"{place(tenant, sid, name)} has lost a piece")
            blob = Blob.parse(descriptor)
            pieces = await self._pieces(keys, blob)
            if None not in pieces:
                break
            # A later commit may have replaced it between the two looks.
            seen = descriptor
        return await off_loop(
            blob.size, lambda: unseal(b"".join(pieces), place(tenant, sid, name))
        )

    async def _pieces(self, keys: Keys, blob: Blob) -> list[Any]:
        names = keys.pieces(blob)
        found: list[Any] = []
        for start in range(0, len(names), _READ_TOGETHER):
            some = names[start : start + _READ_TOGETHER]
            found += await self._linked.call(
                lambda client, _, some=some: ask(client, "MGET", *some),  # type: ignore[misc]
                moved_bytes=min(blob.size, len(some) * PIECE_BYTES),
            )
        return found

    async def commit(self, tenant: str, sid: str, change: Change) -> Outcome:
        """Apply a change if the session still has the expected version."""
        keys = Keys.of(tenant, sid)
        blobs = []
        call = f"{change.expected_version + 1}-{change.token}"
        for number, (name, payload) in enumerate(change.blobs.items()):
            context = place(tenant, sid, name)
            frame = await off_loop(
                len(payload),
                lambda p=payload, c=context: seal(p, c),  # type: ignore[misc]
            )
            blobs.append((name, Blob(f"{call}-{number}", len(frame)), frame))
        for _, blob, frame in blobs:
            await self._upload(keys, blob, frame)
        arguments = self._arguments(tenant, sid, change, [b[:2] for b in blobs])
        listing = ("ZADD", index_key(tenant), 0, sid)

        async def flip(client: Client, _: int) -> str:
            # Listed again with every commit: an index entry that got lost comes back.
            return await self._commit.run(
                client, keys, change.token, arguments, beside=listing
            )

        outcome = await self._linked.call(flip, moved_bytes=len(change.meta))
        if outcome == Answer.LOST:
            raise StoreUnavailable("Redis has dropped data that it had accepted")
        if change.expected_version == 0:
            await self._thin_out_index(tenant)
        return _outcome(sid, outcome)

    def _arguments(
        self, tenant: str, sid: str, change: Change, blobs: list[tuple[str, Blob]]
    ) -> list[Any]:
        now = self._clock()
        records = [
            (name, seal(data, place(tenant, sid, name), compress=True))
            for name, data in change.records.items()
        ]
        return [
            change.expected_version,
            change.token,
            seal(change.meta, place(tenant, sid, META), compress=True),
            repr(now),
            repr(change.expires_at),
            *lifetimes(change.expires_at - now),
            len(blobs),
            *(part for name, blob in blobs for part in (name, blob.descriptor)),
            len(change.drop_blobs),
            *change.drop_blobs,
            len(records),
            *(part for record in records for part in record),
            int(change.drop_parts),
        ]

    async def _upload(self, keys: Keys, blob: Blob, frame: bytes) -> None:
        view = memoryview(frame)
        # NX: what a broken connection delivers late must not shorten the lifetime that
        # the flip has given to the same piece meanwhile.
        commands = [
            ("SET", name, view[at : at + PIECE_BYTES], "NX", "EX", _UPLOAD_SECONDS)
            for name, at in zip(
                keys.pieces(blob), range(0, blob.size, PIECE_BYTES), strict=True
            )
        ]

        async def send(client: Client, _: int) -> None:
            for answer in await ask_all(client, commands):
                if isinstance(answer, OutOfMemoryError):
                    # No script has seen these names, so nothing can refer to them.
                    await ask(client, "UNLINK", *keys.pieces(blob))
                if isinstance(answer, Exception):
                    raise answer

        await self._linked.call(send, moved_bytes=blob.size)

    async def touch(self, tenant: str, sid: str, expires_at: float) -> None:
        """Move the expiry of a live session further away; the version stays."""
        now = self._clock()
        token = secrets.token_hex(8)
        arguments = [token, repr(now), repr(expires_at), *lifetimes(expires_at - now)]
        keys = Keys.of(tenant, sid)
        outcome = await self._linked.call(
            lambda client, _: self._touch.run(client, keys, token, arguments)
        )
        _outcome(sid, outcome)

    async def delete(
        self, tenant: str, sid: str, *, expected_version: int | None = None
    ) -> Outcome:
        """Remove a live session and leave a tombstone for a day."""
        token = secrets.token_hex(8)
        tombstone = int(TOMBSTONE_SECONDS * 1000)
        arguments = [token, repr(self._clock()), expected_version or 0, tombstone]
        keys = Keys.of(tenant, sid)

        async def bury(client: Client, number: int) -> str:
            outcome = await self._delete.run(client, keys, token, arguments)
            # On a second try the first one's reply was lost, not its effect.
            again = number > 0 and outcome == Answer.DELETED
            return Answer.APPLIED if again else outcome

        outcome = _outcome(sid, await self._linked.call(bury))
        if outcome is Outcome.APPLIED:
            await self._unlist(tenant, [sid])
        return outcome

    async def list(self, tenant: str, *, after: str | None, limit: int) -> Page:
        """Live sessions of a tenant whose names sort after ``after``."""
        sessions: list[tuple[str, Loaded]] = []
        while True:
            names = await self._names(tenant, after, limit + 1)
            live = await self._live(tenant, names)
            sessions += live
            if len(sessions) > limit:
                del sessions[limit:]
                return Page(sessions, sessions[-1][0])
            if len(names) <= limit:
                return Page(sessions, None)
            after = names[-1]

    async def _names(self, tenant: str, after: str | None, count: int) -> Sequence[str]:
        start = "-" if after is None else f"({after}"
        found = await self._linked.call(
            lambda client, _: ask(
                client,
                *("ZRANGEBYLEX", index_key(tenant), start, "+", "LIMIT", 0, count),
            )
        )
        return [name.decode() for name in found]

    async def _live(
        self, tenant: str, names: Sequence[str]
    ) -> Sequence[tuple[str, Loaded]]:
        commands = [
            ("HMGET", Keys.of(tenant, sid).head, *_HEAD_FIELDS) for sid in names
        ]
        heads = await self._linked.call(lambda client, _: ask_all(client, commands))
        live, dead = [], []
        for sid, head in zip(names, heads, strict=True):
            if isinstance(head, Exception):
                raise StoreUnavailable(f"Redis refuses ({type(head).__name__})")
            try:
                live.append((sid, self._loaded(tenant, sid, head)))
            except (SessionNotFound, SessionGone):
                dead.append(sid)
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


def _outcome(sid: str, answer: str) -> Outcome:
    raise_unless_live(sid, answer)
    return Outcome(answer)
