"""Names of keys, pieces of blobs and lifetimes in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from service.stores.errors import StoreCorrupt
from service.stores.protocol import TOMBSTONE_SECONDS

PIECE_BYTES = 4 << 20
_LAYOUT = "ccdm1"
# Clocks are set wrong by an hour now and then, and those of services and server differ:
# data stay for so long after the moment from which a session reads as expired.
_GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Blob:
    """Where a blob's pieces are: under names made of ``id``, ``size`` bytes in all."""

    id: str
    size: int

    @property
    def pieces(self) -> int:
        """How many there are."""
        return -(-self.size // PIECE_BYTES)

    @property
    def descriptor(self) -> str:
        """The blob as the scripts read it."""
        return f"{self.id}:{self.pieces}:{self.size}"

    @classmethod
    def parse(cls, descriptor: bytes) -> Blob:
        """The inverse of ``descriptor``."""
        parts = descriptor.decode("ascii", "replace").split(":")
        if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
            raise StoreCorrupt("a blob's descriptor cannot be read")
        blob = cls(parts[0], int(parts[2]))
        if blob.pieces != int(parts[1]):
            raise StoreCorrupt("a blob's descriptor contradicts itself")
        return blob


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one session; the part in braces decides the slot, for all alike."""

    head: str
    tenant: str

    @classmethod
    def of(cls, tenant: str, sid: str) -> Keys:
        """Keys of a tenant's session."""
        return cls(f"{_LAYOUT}:{{{_quoted(tenant)}:{_quoted(sid)}}}", _quoted(tenant))

    @property
    def all(self) -> tuple[str, ...]:
        """What every script is given: four of the session, three of its tenant."""
        names = (ends_key, sizes_key, gone_key)
        accounts = (name(self.tenant) for name in names)
        return (self.head, self.records, self.blobs, self.parts, *accounts)

    @property
    def records(self) -> str:
        """Hash of records."""
        return f"{self.head}:records"

    @property
    def blobs(self) -> str:
        """Hash of blob descriptors."""
        return f"{self.head}:blobs"

    @property
    def parts(self) -> str:
        """Hash of parts: where their payload is, and what is listed of them."""
        return f"{self.head}:parts"

    def staged(self, token: str) -> tuple[str, str]:
        """Hashes of records and blobs that wait to be published."""
        return f"{self.head}:{token}:records", f"{self.head}:{token}:blobs"

    def pieces(self, blob: Blob) -> list[str]:
        """Keys of a blob's pieces, in order."""
        return [f"{self.head}:{blob.id}:{piece}" for piece in range(blob.pieces)]


def index_key(tenant: str) -> str:
    """Sorted set of a tenant's session names."""
    return f"{_LAYOUT}:{{{_quoted(tenant)}}}:sessions"


def ends_key(quoted_tenant: str) -> str:
    """Sorted set: when each session of a tenant expires."""
    return f"{_LAYOUT}:{{{quoted_tenant}}}:ends"


def sizes_key(quoted_tenant: str) -> str:
    """Hash: the bytes of each session of a tenant, and their sum."""
    return f"{_LAYOUT}:{{{quoted_tenant}}}:sizes"


def gone_key(quoted_tenant: str) -> str:
    """Sorted set: the deleted and expired sessions of a tenant, the oldest first."""
    return f"{_LAYOUT}:{{{quoted_tenant}}}:gone"


def account_keys(tenant: str) -> tuple[str, str]:
    """What is known of all sessions of a tenant: their ends and their sizes."""
    return ends_key(_quoted(tenant)), sizes_key(_quoted(tenant))


def lifetimes(seconds: float) -> tuple[int, int]:
    """Milliseconds that the head and the data of a session are to live from now."""
    data = max(seconds, 0.0) + _GRACE_SECONDS
    return int((data + TOMBSTONE_SECONDS) * 1000), int(data * 1000)


@lru_cache(1024)
def _quoted(name: str) -> str:
    return quote(name, safe="")
