"""From a store into a file, blob by blob."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, Any

from service.portable import layout
from service.portable.errors import PortableError
from service.stores.codec import pack_document, unpack_document
from service.stores.errors import StoreCorrupt
from service.stores.protocol import Loaded, Names, Store

_RECORDS_TOGETHER = 200
_ATTEMPTS = 3
# Entries need a time, and the earliest there is tells nothing.
_TIME = (1980, 1, 1, 0, 0, 0)


async def write_session(store: Store, tenant: str, sid: str, file: IO[bytes]) -> Loaded:
    """Write a session into an empty file; what was written is one state of it.

    Args:
        store: where it is kept.
        tenant: whose it is.
        sid: its name.
        file: open for writing, at its beginning.

    Raises:
        StoreError: from the store.
        PortableError: when the session changes faster than it can be read.
    """
    for _ in range(_ATTEMPTS):
        file.seek(0)
        file.truncate()
        before = await store.load(tenant, sid)
        try:
            await _write(store, tenant, sid, before, file)
        except StoreCorrupt:
            # Something that a later change has replaced, or real damage.
            if (await store.load(tenant, sid)).version == before.version:
                raise
            continue
        if (await store.load(tenant, sid)).version == before.version:
            return before
    raise PortableError(f"session {sid} changes while it is read; try again later")


async def _write(
    store: Store, tenant: str, sid: str, loaded: Loaded, file: IO[bytes]
) -> None:
    names = await store.names(tenant, sid)
    _check_names(sid, names)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        packing = _Packing(archive)
        packing.add(layout.SESSION, loaded.meta)
        await packing.add_lines(
            layout.RECORDS, _lines(store, tenant, sid, sorted(names.records))
        )
        for name in sorted(names.blobs):
            blob = await store.blob(tenant, sid, name)
            if blob is None:
                raise StoreCorrupt(f"session {sid} has lost {name}")
            packing.add(name + layout.SUFFIX, blob)
        manifest = layout.contents(
            sid, loaded.version, loaded.expires_at, loaded.arrivals, packing.entries
        )
        packing.add(layout.MANIFEST, pack_document(manifest))


def _check_names(sid: str, names: Names) -> None:
    odd = [name for name in names.blobs if not layout.is_blob(name)]
    odd += [name for name in names.records if not layout.is_record(name)]
    if odd:
        raise PortableError(
            f"session {sid} has {odd[0]!r}, which has no place in files"
        )


async def _lines(
    store: Store, tenant: str, sid: str, names: Sequence[str]
) -> AsyncIterator[bytes]:
    for start in range(0, len(names), _RECORDS_TOGETHER):
        some = names[start : start + _RECORDS_TOGETHER]
        records = await store.records(tenant, sid, some)
        for name, record in zip(some, records, strict=True):
            if record is None:
                raise StoreCorrupt(f"session {sid} has lost {name}")
            document = unpack_document(record)
            yield pack_document({"name": name, "document": document}) + b"\n"


class _Packing:
    """Adds entries and remembers what is in them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.entries: dict[str, dict[str, Any]] = {}

    def add(self, name: str, content: bytes | memoryview) -> None:
        """One entry, at once."""
        with self._entry(name, len(content)) as entry:
            entry.write(content)
        self._note(name, len(content), hashlib.sha256(content).hexdigest())

    async def add_lines(self, name: str, lines: AsyncIterator[bytes]) -> None:
        """One entry, line by line."""
        size, digest = 0, hashlib.sha256()
        with self._entry(name, None) as entry:
            async for line in lines:
                entry.write(line)
                digest.update(line)
                size += len(line)
        self._note(name, size, digest.hexdigest())

    def _entry(self, name: str, size: int | None) -> IO[bytes]:
        info = zipfile.ZipInfo(name, _TIME)
        info.external_attr = 0o600 << 16
        info.create_system = 3
        if size is not None:
            info.file_size = size
        # How long lines get is not known before; nobody minds twenty bytes.
        return self._archive.open(info, "w", force_zip64=size is None)

    def _note(self, name: str, size: int, digest: str) -> None:
        self.entries[name] = {"bytes": size, "sha256": digest}
