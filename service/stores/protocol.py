"""The one contract of all stores.

A store is dumb on purpose. To it a session is

- ``meta``: a small document that changes as a whole with every commit,
- ``records``: small named documents that are added and read one by one,
- ``blobs``: large named documents,
- ``parts``: documents that come from many sides between two commits,
- a version, counted up by one with every commit, and a time of expiry.

``commit`` is a compare-and-set on the version: all of a :class:`Change` is applied or
nothing of it, and a reader sees the session before it or after it. What has been
acknowledged stays, within what the README promises for each store.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

TOMBSTONE_SECONDS = 86_400.0
# Sessions of one tenant that are remembered as deleted or expired; the oldest go first.
MOST_TOMBSTONES = 10_000


class Outcome(enum.Enum):
    """How a commit ended."""

    APPLIED = "applied"
    """The change is in, now."""
    ALREADY = "already"
    """The change was in before: this was a second try after a lost reply."""
    CONFLICT = "conflict"
    """The version has moved on; nothing was changed."""
    PARTED = "parted"
    """A part that the change was made of is not there any more; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The small part of a session.

    Attributes:
        version: number of commits so far, the creation included.
        meta: the session's document.
        expires_at: when it expires, in seconds since 1970.
        arrivals: parts put since the session began; never counted down.
    """

    version: int
    meta: bytes
    expires_at: float
    arrivals: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant may keep in live sessions; ``None`` is no limit.

    Data of sessions that have expired stay for a while, in case it was the clock that
    was wrong; they go as soon as the tenant would keep more bytes with them than this.

    Attributes:
        sessions: how many of them.
        bytes: how many bytes in all, as they are stored, and of parts their payloads.
    """

    sessions: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one tenant keeps in live sessions; the attributes are those of a quota."""

    sessions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """One commit.

    Attributes:
        expected_version: version that the session must have; 0 when it must be new.
        token: a name for this change that no other change has.
        meta: the new document.
        expires_at: the new time of expiry.
        records: records to add or replace.
        blobs: blobs to add or replace.
        drop_blobs: blobs to remove; names that do not exist are passed over.
        quota: refuse the change where the tenant would keep more than this, and more
            than before.
        drop_parts: remove all parts.
        made_of: marks by name of the parts that have to be there still.
    """

    expected_version: int
    token: str
    meta: bytes
    expires_at: float
    records: Mapping[str, bytes] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    drop_blobs: Sequence[str] = ()
    drop_parts: bool = False
    made_of: Mapping[str, str] = field(default_factory=dict)
    quota: Quota | None = None


class Putting(enum.Enum):
    """How the putting of a part ended."""

    ADDED = "added"
    """It is in, now."""
    SAME = "same"
    """It was in before, with the same mark."""
    OTHER = "other"
    """There is a part of this name with another mark; that one stays."""
    MOVED = "moved"
    """The session is in another version; nothing was changed."""
    OVERFULL = "overfull"
    """It would be one part, or some bytes, too many."""


class Dropping(enum.Enum):
    """How the taking away of a part ended."""

    APPLIED = "applied"
    """It was there, and is not any more."""
    ABSENT = "absent"
    """There was none."""
    MOVED = "moved"
    """The session is in another version; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something kept beside a session until a commit, without a version of its own.

    Attributes:
        name: its name; the first part of a name stays.
        mark: what tells it from another part of this name.
        payload: its bytes.
        info: a small document that is listed with it.
    """

    name: str
    mark: str
    payload: bytes
    info: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as it is listed.

    Attributes:
        name, mark, info: as in :class:`Part`.
        arrival: its number among all parts ever put beside this session, from 1.
        size: bytes it takes.
    """

    name: str
    mark: str
    info: bytes
    arrival: int
    size: int


@dataclass(frozen=True, slots=True)
class PartLimits:
    """The most that may lie beside one session: parts, and bytes of all of them."""

    parts: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Names:
    """What a session holds, by name, in no particular order."""

    records: list[str]
    blobs: list[str]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a tenant's sessions, in order of their names.

    Attributes:
        sessions: ``(sid, loaded)`` of each live session.
        next: pass it as ``after`` for the next page; ``None`` when this is the last.
    """

    sessions: list[tuple[str, Loaded]]
    next: str | None


class PageRoom:
    """How much still fits on a page: one session always does.

    Args:
        limit: sessions.
        max_bytes: of their documents; ``None`` is no limit.
    """

    def __init__(self, limit: int, max_bytes: int | None) -> None:
        self._limit = limit
        self._bytes = max_bytes
        self._taken = 0

    def take(self, loaded: Loaded) -> bool:
        """Whether one more fits; then its place is taken."""
        if self._taken and self._bytes is not None and len(loaded.meta) > self._bytes:
            return False
        if self._taken >= self._limit:
            return False
        self._taken += 1
        if self._bytes is not None:
            self._bytes -= len(loaded.meta)
        return True


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Whether the store works, and what its operator should know.

    Attributes:
        ok: whether the store answered just now and is not known to refuse writes; no
            session was read or written to find out.
        detail: the kind of store and its state, or why it does not work.
        warnings: settings that put acknowledged data at risk.
    """

    ok: bool
    detail: str
    warnings: tuple[str, ...] = ()


class Store(Protocol):
    """Where sessions are kept. Every method may raise ``StoreError``."""

    async def open(self) -> None:
        """Get ready; a store that cannot be reached now may still open."""

    async def close(self) -> None:
        """Let go of files and connections."""

    async def health(self) -> StoreHealth:
        """Ask the store how it is; never raises ``StoreError``."""

    async def load(self, tenant: str, sid: str) -> Loaded:
        """Version, document and expiry of a live session.

        Raises:
            SessionNotFound, SessionGone: when there is no live session.
        """

    async def records(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> list[bytes | None]:
        """Records by name; ``None`` where there is none."""

    async def blob(self, tenant: str, sid: str, name: str) -> memoryview | None:
        """One blob, its checksum verified; ``None`` when there is none."""

    async def commit(self, tenant: str, sid: str, change: Change) -> Outcome:
        """Apply a change if the session still has the expected version.

        Raises:
            SessionNotFound, SessionGone: when there is no live session to change.
            QuotaExceeded: when the change goes beyond its quota.
        """

    async def touch(self, tenant: str, sid: str, expires_at: float) -> None:
        """Move the expiry of a live session further away; the version stays."""

    async def delete(
        self, tenant: str, sid: str, *, expected_version: int | None = None
    ) -> Outcome:
        """Remove a live session and leave a tombstone for a day.

        With ``expected_version`` the answer may be ``CONFLICT``.
        """

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
        """Keep a part until a commit drops it; no new version, no new expiry.

        Any number of callers may do so at once; each name goes to the first. An
        acknowledged part is as durable as a commit.

        Raises:
            SessionNotFound, SessionGone: when there is no live session.
            QuotaExceeded: when it goes beyond the quota.
        """

    async def drop_part(
        self, tenant: str, sid: str, name: str, *, expected_version: int
    ) -> Dropping:
        """Take one part away again, if no commit has come in between.

        Raises:
            SessionNotFound, SessionGone: when there is no live session.
        """

    async def parts(
        self, tenant: str, sid: str, *, after: int = 0
    ) -> Sequence[ListedPart]:
        """What there is now of later arrivals than ``after``, in their order."""

    async def part_payloads(
        self, tenant: str, sid: str, names: Sequence[str]
    ) -> Sequence[memoryview | None]:
        """Payloads of parts, checksums verified; ``None`` where there is none."""

    async def list(
        self,
        tenant: str,
        *,
        after: str | None,
        limit: int,
        max_bytes: int | None = None,
    ) -> Page:
        """Live sessions of a tenant whose names sort after ``after``.

        With ``max_bytes`` only as many as have documents of so many bytes together,
        and at least one.
        """

    async def names(self, tenant: str, sid: str) -> Names:
        """Names of all records and blobs of a session; none where there is none."""

    async def usage(self, tenant: str) -> Usage:
        """What a tenant keeps in live sessions."""

    async def stage(
        self,
        tenant: str,
        sid: str,
        token: str,
        *,
        records: Mapping[str, bytes],
        blobs: Mapping[str, bytes],
    ) -> None:
        """Put parts of a session that comes from elsewhere aside, for ``publish``.

        May be called many times under one token. Nobody sees the parts, and what is
        never published vanishes by itself.
        """

    async def publish(
        self, tenant: str, sid: str, token: str, loaded: Loaded, staged: Names
    ) -> Outcome:
        """Make all that was staged under a token a live session, at once.

        It takes the place of a tombstone. The answer is ``CONFLICT``, and nothing has
        changed, where a live session has the name.

        Args:
            tenant: whose session.
            sid: its name.
            token: as in ``stage``.
            loaded: version, document and expiry that it begins with.
            staged: names of all that was staged, so that nothing can be missing.

        Raises:
            StoreUnavailable: when something that was staged has vanished.
        """
