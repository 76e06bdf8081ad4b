"""What a store may answer instead of data.

::

    StoreError
    ├── SessionNotFound     nobody of this tenant has a session of that name
    ├── SessionGone         there was one: deleted or expired less than a day ago
    ├── StoreUnavailable    no answer now; trying again later is worth it
    ├── StoreFull           no room for the write; nothing was changed
    ├── QuotaExceeded       the tenant keeps enough already; nothing was changed
    └── StoreCorrupt        bytes came back that are not the bytes that were written
"""

from __future__ import annotations

from typing import Literal

GoneReason = Literal["deleted", "expired"]
QuotaKind = Literal["sessions", "bytes"]
Kept = Literal["sessions", "jobs"]
_ROOM: dict[Kept, str] = {
    "sessions": "Delete sessions that are not needed, or keep fewer analyses.",
    "jobs": "Delete jobs that have ended: each keeps its result, and an open one its "
    "arrays.",
}


class StoreError(Exception):
    """Root of everything a store raises on purpose."""


class SessionNotFound(StoreError):
    """The tenant has no such session.

    Attributes:
        sid: the name that was asked for.
    """

    def __init__(self, sid: str) -> None:
        self.sid = sid
        super().__init__(f"There is no session {sid!r}.")


class SessionGone(StoreError):
    """The session existed and was deleted or expired within the last day.

    Attributes:
        sid: the name that was asked for.
        reason: ``"deleted"`` or ``"expired"``.
    """

    def __init__(self, sid: str, reason: GoneReason) -> None:
        self.sid = sid
        self.reason: GoneReason = reason
        done = "was deleted" if reason == "deleted" else "has expired"
        super().__init__(f"Session {sid!r} {done}.")


class StoreUnavailable(StoreError):
    """The store did not answer.

    A write that ends here may or may not have been applied: send it again, it is
    recognised.

    Attributes:
        detail: what happened, without addresses or secrets.
        retry_after: seconds after which another try makes sense.
    """

    def __init__(self, detail: str, retry_after: float = 2.0) -> None:
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"The session store is not available: {detail}.")


class StoreBusy(StoreUnavailable):
    """So much is asked of the store from here that it was not asked at all."""


class StoreFull(StoreError):
    """There is no room for the write; the session is as it was before.

    Attributes:
        detail: what is full.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The session store is full: {detail}.")


class QuotaExceeded(StoreError):
    """The tenant would keep more than it may; nothing was changed.

    Attributes:
        what: ``"sessions"`` or ``"bytes"``.
        limit: how many it may keep.
        used: how many it keeps now.
        remedy: what makes room.
    """

    def __init__(
        self, what: QuotaKind, limit: int, used: int, of: Kept = "sessions"
    ) -> None:
        self.what: QuotaKind = what
        self.limit = limit
        self.used = used
        self.remedy = _ROOM[of]
        kept = what if what == of else f"{what} of {of}"
        super().__init__(
            f"At most {limit} {kept} are kept for this key, and {used} are there "
            f"already. {self.remedy}"
        )


class StoreCorrupt(StoreError):
    """Stored bytes fail their checksum or are missing; they are never handed out.

    Attributes:
        detail: which bytes, and what is wrong with them.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"The session store holds damaged data: {detail}.")
