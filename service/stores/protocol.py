"""The one contract of all stores.

A store is dumb on purpose. To it a session is

- ``meta``: a small document that changes as a whole with every commit,
- ``records``: small named documents that are added and read one by one,
- ``blobs``: large named documents,
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


class Outcome(enum.Enum):
    """How a commit ended."""

    APPLIED = "applied"
    """The change is in, now."""
    ALREADY = "already"
    """The change was in before: this was a second try after a lost reply."""
    CONFLICT = "conflict"
    """The version has moved on; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The small part of a session.

    Attributes:
        version: number of commits so far, the creation included.
        meta: the session's document.
        expires_at: when it expires, in seconds since 1970.
    """

    version: int
    meta: bytes
    expires_at: float


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
    """

    expected_version: int
    token: str
    meta: bytes
    expires_at: float
    records: Mapping[str, bytes] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    drop_blobs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a tenant's sessions, in order of their names.

    Attributes:
        sessions: ``(sid, loaded)`` of each live session.
        next: pass it as ``after`` for the next page; ``None`` when this is the last.
    """

    sessions: list[tuple[str, Loaded]]
    next: str | None


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
        """

    async def touch(self, tenant: str, sid: str, expires_at: float) -> None:
        """Move the expiry of a live session further away; the version stays."""

    async def delete(
        self, tenant: str, sid: str, *, expected_version: int | None = None
    ) -> Outcome:
        """Remove a live session and leave a tombstone for a day.

        With ``expected_version`` the answer may be ``CONFLICT``.
        """

    async def list(self, tenant: str, *, after: str | None, limit: int) -> Page:
        """Live sessions of a tenant whose names sort after ``after``."""
