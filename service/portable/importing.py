"""A session file becomes a session, or leaves no trace."""

from __future__ import annotations

import secrets
from dataclasses import replace

from service.portable.checking import check_limits
from service.portable.errors import PortableError
from service.portable.reading import SessionFile
from service.settings import Settings
from service.stores.protocol import Names, Outcome, Store

_TOGETHER_BYTES = 4 << 20
_TOGETHER = 500


async def import_session(
    store: Store,
    tenant: str,
    file: SessionFile,
    now: float,
    settings: Settings | None = None,
) -> None:
    """Put the session of a file into a store, under its own name.

    It keeps its expiry; where that has passed meanwhile, or is further away than its
    lifetime, the lifetime starts anew.

    Args:
        store: where it is to be.
        tenant: whose it is to be.
        file: open.
        now: seconds since 1970.
        settings: with the limits that hold there; without, only those of the format.

    Raises:
        PortableError: when the file is damaged, holds what the service would not have
            let in, or a live session has the name.
        StoreError: from the store.
    """
    if settings is not None:
        check_limits(file.session, settings)
    sid, token = file.session.id, secrets.token_hex(16)
    names = Names([], [])
    waiting: dict[str, bytes] = {}
    for name, document in file.records():
        waiting[name] = document
        names.records.append(name)
        size = sum(map(len, waiting.values()))
        if len(waiting) >= _TOGETHER or size >= _TOGETHER_BYTES:
            await store.stage(tenant, sid, token, records=waiting, blobs={})
            waiting = {}
    await store.stage(tenant, sid, token, records=waiting, blobs={})
    for name in file.blobs:
        content = file.blob(name)
        await store.stage(tenant, sid, token, records={}, blobs={name: content})
        names.blobs.append(name)
    loaded = file.loaded
    latest = now + file.session.ttl_seconds
    if not now < loaded.expires_at <= latest:
        loaded = replace(loaded, expires_at=latest)
    if await store.publish(tenant, sid, token, loaded, names) is Outcome.CONFLICT:
        raise PortableError(
            f"there is a live session {sid} already; delete it first to replace it"
        )
