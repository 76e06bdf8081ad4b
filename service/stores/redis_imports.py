"""Sessions that come into Redis from elsewhere: staged in parts, published at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from service.stores.codec import seal
from service.stores.errors import StoreUnavailable
from service.stores.places import META, place
from service.stores.protocol import Loaded, Names, Outcome
from service.stores.redis_blobs import RedisBlobs
from service.stores.redis_keys import Keys, index_key, lifetimes
from service.stores.redis_link import Client, ask_all
from service.stores.redis_scripts import Answer, Script

# Large sessions take their time over a slow line.
_STAGED_SECONDS = 6 * 3600


class RedisImports(RedisBlobs):
    """The methods of the store that are about moving whole sessions."""

    _clock: Callable[[], float]
    _publish = Script.load("publish.lua")

    async def names(self, tenant: str, sid: str) -> Names:
        """Names of all records and blobs of a session; none where there is none."""
        keys = Keys.of(tenant, sid)
        commands = [("HKEYS", keys.records), ("HKEYS", keys.blobs)]
        answers = await self._linked.call(lambda client, _: ask_all(client, commands))
        return Names(*([name.decode() for name in _sound(found)] for found in answers))

    async def stage(
        self,
        tenant: str,
        sid: str,
        token: str,
        *,
        records: Mapping[str, bytes],
        blobs: Mapping[str, bytes],
    ) -> None:
        """Put parts of a session that comes from elsewhere aside, for ``publish``."""
        keys = Keys.of(tenant, sid)
        sealed = []
        for name, payload in blobs.items():
            sealed += await self._sealed(
                tenant, sid, {name: payload}, f"{token}-{quote(name, safe='')}"
            )
        await self._upload(keys, sealed, _STAGED_SECONDS)
        pairs = {
            name: seal(data, place(tenant, sid, name), compress=True)
            for name, data in records.items()
        }
        places = {item.name: item.blob.descriptor for item in sealed}
        commands: list[tuple[Any, ...]] = []
        hashes = keys.staged(token)
        commands += [("HSET", hashes[0], *pair) for pair in pairs.items()]
        commands += [("HSET", hashes[1], *pair) for pair in places.items()]
        commands += [("EXPIRE", key, _STAGED_SECONDS) for key in hashes]
        moved = sum(map(len, pairs.values()))
        for answer in await self._linked.call(
            lambda client, _: ask_all(client, commands), moved_bytes=moved
        ):
            _sound(answer)

    async def publish(
        self, tenant: str, sid: str, token: str, loaded: Loaded, staged: Names
    ) -> Outcome:
        """Make all that was staged under a token a live session, at once."""
        keys = Keys.of(tenant, sid)
        now = self._clock()
        arguments = [
            token,
            repr(now),
            loaded.version,
            seal(loaded.meta, place(tenant, sid, META), compress=True),
            repr(loaded.expires_at),
            loaded.arrivals,
            *lifetimes(loaded.expires_at - now),
            len(staged.records),
            len(staged.blobs),
        ]
        listing = ("ZADD", index_key(tenant), 0, sid)

        async def run(client: Client, _: int) -> Answer:
            return await self._publish.run(
                *(client, keys, token, arguments),
                beside=listing,
                more_keys=keys.staged(token),
            )

        answer = await self._linked.call(run)
        if answer == Answer.LOST:
            raise StoreUnavailable("what was staged has vanished")
        return Outcome(answer)


def _sound(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
