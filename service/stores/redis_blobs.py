"""Blobs in Redis: cut into pieces, sent before the script that refers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import OutOfMemoryError

from service.stores.codec import seal, unseal
from service.stores.errors import StoreCorrupt
from service.stores.offloop import off_loop
from service.stores.places import place
from service.stores.redis_keys import PIECE_BYTES, Blob, Keys
from service.stores.redis_link import LARGE_BYTES, Client, RedisLink, ask, ask_all

# Pieces of a commit that never comes must vanish by themselves; until it comes, a slow
# network has this long.
UPLOAD_SECONDS = 600
_READ_TOGETHER = 4
# What goes over in one round trip is held in memory twice.
_SENT_TOGETHER = 64 << 20

Command = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A blob that is ready to go: its name, its place, its bytes."""

    name: str
    blob: Blob
    frame: bytes


class RedisBlobs:
    """The methods of the store that move blobs."""

    _clock: Callable[[], float]

    @property
    def _linked(self) -> RedisLink:
        raise NotImplementedError

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

    async def _sealed(
        self, tenant: str, sid: str, payloads: Mapping[str, bytes], call: str
    ) -> list[Sealed]:
        """Blobs under checksums, with ids that nobody else uses."""
        found = []
        for number, (name, payload) in enumerate(payloads.items()):
            context = place(tenant, sid, name)
            frame = await off_loop(
                len(payload),
                lambda p=payload, c=context: seal(p, c),  # type: ignore[misc]
            )
            found.append(Sealed(name, Blob(f"{call}-{number}", len(frame)), frame))
        return found

    async def _upload(
        self, keys: Keys, blobs: Sequence[Sealed], seconds: int | None = None
    ) -> None:
        """Send blobs, several in one round trip, to live so many seconds at first."""
        waiting: list[Sealed] = []
        for item in blobs:
            size = sum(other.blob.size for other in waiting) + item.blob.size
            if waiting and size > _SENT_TOGETHER:
                await self._send(keys, waiting, seconds or UPLOAD_SECONDS)
                waiting = []
            waiting.append(item)
        if waiting:
            await self._send(keys, waiting, seconds or UPLOAD_SECONDS)

    async def _brought(self, keys: Keys, blobs: Sequence[Sealed]) -> list[Command]:
        """Commands that bring small blobs with the script that refers to them.

        Large ones are sent here and now: what may have to be sent again with the
        script should not hold up others.
        """
        if sum(item.blob.size for item in blobs) > LARGE_BYTES:
            await self._upload(keys, blobs)
            return []
        return _pieces_of(keys, blobs, UPLOAD_SECONDS)

    async def _send(self, keys: Keys, blobs: Sequence[Sealed], seconds: int) -> None:
        commands = _pieces_of(keys, blobs, seconds)

        async def send(client: Client, _: int) -> None:
            for answer in await ask_all(client, commands):
                if isinstance(answer, OutOfMemoryError):
                    # No script has seen these names, so nothing can refer to them.
                    await ask(client, "UNLINK", *(name for _, name, *_ in commands))
                if isinstance(answer, Exception):
                    raise answer

        moved = sum(item.blob.size for item in blobs)
        await self._linked.call(send, moved_bytes=moved)


def _pieces_of(keys: Keys, blobs: Sequence[Sealed], seconds: int) -> list[Command]:
    """Commands that set all pieces of blobs, to live so many seconds at first."""
    # NX: what a broken connection delivers late must not shorten the lifetime that the
    # flip has given to the same piece meanwhile.
    return [
        (
            *("SET", name),
            memoryview(item.frame)[number * PIECE_BYTES :][:PIECE_BYTES],
            *("NX", "EX", seconds),
        )
        for item in blobs
        for number, name in enumerate(keys.pieces(item.blob))
    ]
