"""Parts in the Redis store: what comes from many sides between two commits.

Payloads go as those of blobs do: first the pieces under names that nobody knows, then
a script that lists the part, unless the session has moved on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from service.stores.codec import seal, unseal
from service.stores.errors import StoreCorrupt, StoreUnavailable
from service.stores.offloop import ENTRY_BYTES, off_loop
from service.stores.places import part_place, place
from service.stores.protocol import (
    Dropping,
    ListedPart,
    Part,
    PartLimits,
    Putting,
    Quota,
)
from service.stores.redis_blobs import Command, Sealed
from service.stores.redis_keys import PIECE_BYTES, Blob, Keys, lifetimes
from service.stores.redis_link import RedisLink, ask
from service.stores.redis_scripts import Answer, Script, raise_unless_live

_GRACE_MS = lifetimes(0.0)[1]


class RedisParts:
    """The methods of the store that are about parts."""

    _clock: Callable[[], float]
    _put_part = Script.load("put_part.lua")
    _drop_part = Script.load("drop_part.lua")

    @property
    def _linked(self) -> RedisLink:
        raise NotImplementedError

    async def _brought(self, keys: Keys, blobs: Sequence[Sealed]) -> list[Command]:
        raise NotImplementedError

    async def put_part(
        self,
        tenant: str,
        sid: str,
        part: Part,
        *,
        expected_version: int,
        limits: PartLimits,
        quota: Quota | None = None,
    ) -> Putting:
        """Keep a part until a commit drops it; no new version, no new expiry."""
        keys = Keys.of(tenant, sid)
        token = secrets.token_hex(16)
        context = part_place(tenant, sid, part.name)
        frame = await off_loop(len(part.payload), lambda: seal(part.payload, context))
        blob = Blob(f"part-{token}", len(frame))
        bring = await self._brought(keys, [Sealed(part.name, blob, frame)])
        arguments = [
            token,
            repr(self._clock()),
            expected_version,
            part.name,
            blob.descriptor,
            part.mark,
            seal(part.info, place(tenant, sid, f"info/{part.name}")),
            len(part.payload),
            limits.parts,
            limits.bytes,
            _GRACE_MS,
            -1 if quota is None or quota.bytes is None else quota.bytes,
        ]
        answer = await self._linked.call(
            lambda client, _: self._put_part.run(
                client, keys, token, arguments, before=bring
            ),
            # Large ones are there by now.
            moved_bytes=len(frame) if bring else 0,
        )
        raise_unless_live(sid, answer)
        if answer == Answer.LOST:
            raise StoreUnavailable("Redis has dropped data that it had accepted")
        return Putting(answer)

    async def drop_part(
        self, tenant: str, sid: str, name: str, *, expected_version: int
    ) -> Dropping:
        """Take one part away again, if no commit has come in between."""
        keys = Keys.of(tenant, sid)
        token = secrets.token_hex(8)
        entry = await self._linked.call(
            lambda client, _: ask(client, "HGET", keys.parts, name)
        )
        # Names the payload of one put: what is put anew under this name stays.
        found = b"" if entry is None else entry.split(b"|", 1)[0]
        arguments = [token, repr(self._clock()), expected_version, name, found]
        tried = 0

        async def drop(client: Any, number: int) -> Answer:
            nonlocal tried
            tried = number
            return await self._drop_part.run(client, keys, token, arguments)

        answer = await self._linked.call(drop)
        raise_unless_live(sid, answer)
        # It was there a moment ago, in this version: on a second try the first one's
        # reply was lost, not its effect.
        if answer == Answer.ABSENT and found and tried > 0:
            return Dropping.APPLIED
        return Dropping(answer)

    async def parts(
        self, tenant: str, sid: str, *, after: int = 0
    ) -> Sequence[ListedPart]:
        """What there is now of later arrivals than ``after``, in their order."""
        key = Keys.of(tenant, sid).parts
        found = await self._linked.call(lambda client, _: ask(client, "HGETALL", key))
        pairs = found.items() if isinstance(found, dict) else _pairs(found)

        def read() -> list[ListedPart]:
            listed = (
                _listed(tenant, sid, name.decode(), text, after) for name, text in pairs
            )
            later = (part for part in listed if part is not None)
            return sorted(later, key=lambda part: part.arrival)

        return await off_loop(ENTRY_BYTES * len(pairs), read)

    async def part_payloads(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> Sequence[memoryview | None]:
        """Payloads of parts, checksums verified; ``None`` where there is none."""
        if not names:
            return []
        keys = Keys.of(tenant, sid)
        entries = await self._linked.call(
            lambda client, _: ask(client, "HMGET", keys.parts, *names)
        )
        blobs = [
            None if entry is None else Blob.parse(entry.split(b"|", 1)[0])
            for entry in entries
        ]
        frames = await self._frames(keys, [blob for blob in blobs if blob is not None])
        found: list[memoryview | None] = []
        for name, blob in zip(names, blobs, strict=True):
            frame = None if blob is None else frames[blob.id]
            context = part_place(tenant, sid, name)
            found.append(None if frame is None else unseal(frame, context))
        return found

    async def _frames(
        self, keys: Keys, blobs: Sequence[Blob]
    ) -> dict[str, bytes | None]:
        """Frames by the ids of their blobs; those dropped meanwhile are ``None``."""
        pieces: dict[str, list[bytes | None]] = {blob.id: [] for blob in blobs}
        for group in _groups(blobs):
            names = [name for blob in group for name in keys.pieces(blob)]
            got = await self._linked.call(
                lambda client, _, names=names: ask(client, "MGET", *names),  # type: ignore[misc]
                moved_bytes=sum(blob.size for blob in group),
            )
            owners = [blob.id for blob in group for _ in range(blob.pieces)]
            for owner, piece in zip(owners, got, strict=True):
                pieces[owner].append(piece)
        return {
            owner: None if None in found else b"".join(filter(None, found))
            for owner, found in pieces.items()
        }


def _groups(blobs: Sequence[Blob]) -> list[list[Blob]]:
    """Blobs in order, as many together as one answer should carry."""
    groups: list[list[Blob]] = []
    room = 0
    for blob in blobs:
        if not groups or blob.size > room:
            groups.append([])
            room = 4 * PIECE_BYTES
        groups[-1].append(blob)
        room -= blob.size
    return groups


def _pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _listed(
    tenant: str, sid: str, name: str, text: bytes, after: int
) -> ListedPart | None:
    """A part from its entry; ``None`` when it did not come after ``after``."""
    try:
        _, mark, arrival, size, info = text.split(b"|", 4)
        if int(arrival) <= after:
            return None
        return ListedPart(
            name=name,
            mark=mark.decode(),
            info=bytes(unseal(info, place(tenant, sid, f"info/{name}"))),
            arrival=int(arrival),
            size=int(size),
        )
    except ValueError:
        raise StoreCorrupt(f"part {name} of session {sid} cannot be read") from None
