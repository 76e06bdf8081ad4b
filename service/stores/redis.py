"""The Redis store: for several machines, and for speed.

One session is four small hashes and the pieces of its blobs, all in one hash slot::

    ccdm1:{tenant:sid}            head: version, token, meta, expires
    ccdm1:{tenant:sid}:records    name -> frame
    ccdm1:{tenant:sid}:blobs      name -> descriptor "id:pieces:bytes"
    ccdm1:{tenant:sid}:parts      name -> "descriptor|mark|arrival|size|info"
    ccdm1:{tenant:sid}:<id>:<i>   piece i, up to 4 MiB; the id holds version and token
    ccdm1:{tenant}:sessions       sorted set of the tenant's sessions, for listing
    ccdm1:{tenant}:ends, :sizes   their ends and sizes, for quotas
    ccdm1:{tenant}:gone           those deleted or expired, so that not too many stay

A commit first writes the pieces of new blobs under names that nobody knows yet and
that expire soon, then runs a small script that checks the version and flips the head.
Up to 1 MiB, the pieces go ahead of the script in the same round trip.
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

from service.stores.codec import seal, unseal
from service.stores.errors import StoreError, StoreUnavailable
from service.stores.offloop import JSON_COST, PACKED_COST, off_loop
from service.stores.places import META, place
from service.stores.protocol import (
    TOMBSTONE_SECONDS,
    Change,
    Loaded,
    Outcome,
    Quota,
    StoreHealth,
)
from service.stores.redis_blobs import Sealed
from service.stores.redis_health import health_of
from service.stores.redis_imports import RedisImports
from service.stores.redis_keys import Keys, index_key, lifetimes
from service.stores.redis_link import Client, RedisLink, ask
from service.stores.redis_listing import HEAD_FIELDS, RedisListing
from service.stores.redis_parts import RedisParts
from service.stores.redis_scripts import Answer, Script, raise_unless_live
from service.stores.redis_sentinel import is_sentinel, parsed

_log = logging.getLogger(__name__)


class RedisStore(RedisImports, RedisListing, RedisParts):
    """Sessions in one Redis database.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://``.
        clock: seconds since 1970; all processes should agree on it.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        if is_sentinel(url):
            # So that a wrong address is told before anything starts.
            parsed(url)
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
            lambda client, _: ask(client, "HMGET", head, *HEAD_FIELDS)
        )
        packed = len(found[HEAD_FIELDS.index("meta")] or b"")
        return await off_loop(
            PACKED_COST * packed, lambda: self._loaded(tenant, sid, found)
        )

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
        packed = sum(len(frame or b"") for frame in frames)
        return await off_loop(
            PACKED_COST * packed,
            lambda: [
                None
                if frame is None
                else bytes(unseal(frame, place(tenant, sid, name)))
                for name, frame in zip(names, frames, strict=True)
            ],
        )

    async def commit(self, tenant: str, sid: str, change: Change) -> Outcome:
        """Apply a change if the session still has the expected version."""
        keys = Keys.of(tenant, sid)
        call = f"{change.expected_version + 1}-{change.token}"
        blobs = await self._sealed(tenant, sid, change.blobs, call)
        bring = await self._brought(keys, blobs)
        length = len(change.meta) + sum(map(len, change.records.values()))
        arguments = await off_loop(
            JSON_COST * length, lambda: self._arguments(tenant, sid, change, blobs)
        )
        listing = ("ZADD", index_key(tenant), 0, sid)

        async def flip(client: Client, _: int) -> str:
            # Listed again with every commit: an index entry that got lost comes back.
            return await self._commit.run(
                client, keys, change.token, arguments, before=bring, beside=listing
            )

        moved = len(change.meta) + sum(len(part) for _, _, part, *_ in bring)
        outcome = await self._linked.call(flip, moved_bytes=moved)
        if outcome == Answer.LOST:
            raise StoreUnavailable("Redis has dropped data that it had accepted")
        if change.expected_version == 0:
            await self._thin_out_index(tenant)
        return _outcome(sid, outcome)

    def _arguments(
        self, tenant: str, sid: str, change: Change, blobs: Sequence[Sealed]
    ) -> list[Any]:
        now = self._clock()
        quota = change.quota or Quota()
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
            *(part for item in blobs for part in (item.name, item.blob.descriptor)),
            len(change.drop_blobs),
            *change.drop_blobs,
            len(records),
            *(part for record in records for part in record),
            int(change.drop_parts),
            *(
                -1 if limit is None else limit
                for limit in (quota.sessions, quota.bytes)
            ),
            len(change.made_of),
            *(part for pair in change.made_of.items() for part in pair),
        ]

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


def _outcome(sid: str, answer: str) -> Outcome:
    raise_unless_live(sid, answer)
    return Outcome(answer)
