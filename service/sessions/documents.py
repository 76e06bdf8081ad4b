"""Sessions and cycles as stored documents, and back.

What the store keeps by itself (version, expiry) is not in the document.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from service.sessions.models import Cycle, Document, Session
from service.stores.codec import pack_document, unpack_document
from service.stores.errors import StoreCorrupt
from service.stores.offloop import JSON_COST, off_loop
from service.stores.protocol import Loaded

FORMAT = 1
_KEPT_BY_THE_STORE = ("id", "version", "expires_at", "size")


def cycle_record(cycle: int) -> str:
    """Name of the record that holds a cycle's facts."""
    return f"cycle/{cycle}"


def analysis_blob(cycle: int) -> str:
    """Name of the blob that holds a cycle's analysis."""
    return f"analysis/{cycle}"


def input_blobs(cycle: int) -> tuple[str, str, str]:
    """Names of the blobs that hold what a cycle was made of, in the usual order."""
    return (
        f"forecast_states/{cycle}",
        f"simulated_measurements/{cycle}",
        f"observation/{cycle}",
    )


def members_record(cycle: int) -> str:
    """Name of the record that says whose members are in a cycle."""
    return f"members/{cycle}"


def pack_session(session: Session) -> bytes:
    """A session's document."""
    return _packed(session)


def unpack_session(sid: str, loaded: Loaded) -> Session:
    """The inverse of :func:`pack_session`."""
    values = _opened(loaded.meta, f"session {sid}")
    try:
        return Session(
            id=sid,
            version=loaded.version,
            expires_at=loaded.expires_at,
            size=len(loaded.meta),
            **values,
        )
    except TypeError as error:
        raise StoreCorrupt(f"session {sid} cannot be read ({error})") from None


async def read_session(sid: str, loaded: Loaded) -> Session:
    """The same; a long document is read where that holds up nobody."""
    cost = JSON_COST * len(loaded.meta)
    return await off_loop(cost, lambda: unpack_session(sid, loaded))


def pack_cycle(cycle: Cycle) -> bytes:
    """A cycle's record."""
    return _packed(cycle)


def unpack_cycle(record: bytes) -> Cycle:
    """The inverse of :func:`pack_cycle`."""
    try:
        return Cycle(**_opened(record, "a cycle"), size=len(record))
    except TypeError as error:
        raise StoreCorrupt(f"a cycle cannot be read ({error})") from None


def _packed(facts: Session | Cycle) -> bytes:
    values = {
        field.name: getattr(facts, field.name)
        for field in fields(facts)
        if field.name not in _KEPT_BY_THE_STORE
    }
    return pack_document({"format": FORMAT, **values})


def _opened(document: bytes, what: str) -> dict[str, Any]:
    values = unpack_document(document)
    found = values.pop("format", None)
    if found != FORMAT:
        raise StoreCorrupt(f"{what} has format {found!r}, known is {FORMAT}")
    return values


def merged(document: Document | None, patch: Document) -> Document:
    """A document with a JSON merge patch (RFC 7396) applied; nothing is shared.

    ``null`` removes a name, an object is merged, any other value replaces.
    """
    result = dict(document or {})
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[name] = value
    return result
