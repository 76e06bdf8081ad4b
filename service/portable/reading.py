"""From a file into a store. Files come from anywhere: nothing in them is believed.

Entries are never unpacked onto a disk, and never compressed, so neither a path nor a
bomb can hide in a name or a length. Every byte is under a digest that is checked before
the session is published.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.portable import checking, layout
from service.portable.errors import PortableError
from service.sessions.documents import (
    analysis_blob,
    cycle_record,
    unpack_cycle,
    unpack_session,
)
from service.sessions.members import unpack_members
from service.sessions.models import Array, Cycle, Session
from service.stores.codec import pack_document, unpack_array, unpack_document
from service.stores.errors import StoreCorrupt
from service.stores.protocol import Loaded


@contextmanager
def opened(path: Path) -> Iterator[SessionFile]:
    """A session file, its table of contents checked.

    Raises:
        PortableError: when it is no such file; also from inside, where damage shows.
        OSError: when it cannot be read.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield SessionFile(archive, os.fstat(file.fileno()).st_size)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise PortableError(f"not a session file, or cut short ({error})") from None
    except StoreCorrupt as error:
        raise PortableError(error.detail) from None


class SessionFile:
    """A session in a file.

    Args:
        archive: open for reading.
        size: bytes of the file.

    Attributes:
        session: what is known of the session.
        loaded: the same as a store has it.
        blobs: names of its blobs, in order.
    """

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._entries = _checked_entries(archive, size)
        manifest = self._manifest()
        self._contents: dict[str, Any] = manifest["entries"]
        if set(self._contents) != set(self._entries) - {layout.MANIFEST}:
            raise PortableError("the table of contents and the contents differ")
        self.blobs = [
            name.removesuffix(layout.SUFFIX)
            for name in self._entries
            if name.endswith(layout.SUFFIX)
        ]
        self.loaded, self.session = self._session(manifest["session"])
        # Samples of the analyses whose records have been read.
        self._rows: dict[str, int] = {}

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Names and documents of all records, checked at the end of the last one."""
        seen = set()
        digest = hashlib.sha256()
        with self._archive.open(layout.RECORDS) as lines:
            while line := lines.readline(layout.LONGEST_DOCUMENT):
                digest.update(line)
                name, document = _record(line)
                if name in seen:
                    raise PortableError(f"record {name} is there twice")
                seen.add(name)
                yield name, self._readable(name, _packed(name, document))
        self._check_digest(layout.RECORDS, digest.hexdigest())
        for k in range(1, self.session.cycle + 1):
            if cycle_record(k) not in seen:
                raise PortableError(f"the facts of cycle {k} are missing")

    def cycle(self, number: int) -> Cycle | None:
        """Facts about one cycle, if it is there."""
        wanted = cycle_record(number)
        found = [data for name, data in self.records() if name == wanted]
        return unpack_cycle(found[0]) if found else None

    def array(self, blob: str) -> Array | None:
        """One array, read-only, if it is there."""
        if blob not in self.blobs:
            return None
        return unpack_array(self.blob(blob))

    def blob(self, name: str) -> bytes:
        """The bytes of one blob, checked."""
        payload = self._read(name + layout.SUFFIX)
        array = unpack_array(payload)
        rows = self._rows.get(name)
        if name == analysis_blob(0):
            rows = self.session.initial_members
        checking.check_array(name, array, self.session, rows)
        return payload

    def _readable(self, name: str, record: bytes) -> bytes:
        """A record that the service will not stumble over."""
        kind = name.partition("/")[0]
        if kind == "members":
            checking.check_members(name, *unpack_members(record))
        if kind == "cycle":
            cycle = unpack_cycle(record)
            checking.check_cycle(name, cycle, self.session)
            self._rows[analysis_blob(cycle.cycle)] = cycle.n_samples
            if cycle.cycle == self.session.cycle:
                self._check_members(cycle.n_samples)
        return record

    def _check_members(self, n_samples: int) -> None:
        if self.session.members != n_samples:
            raise PortableError(
                f"members: got {self.session.members}, wanted {n_samples}, the "
                "samples of the last cycle"
            )

    def _manifest(self) -> dict[str, Any]:
        manifest = _document(self._content(layout.MANIFEST), layout.MANIFEST)
        if manifest.get("format") != layout.FORMAT:
            raise PortableError("not a session file")
        version = manifest.get("format_version")
        if version != layout.FORMAT_VERSION:
            known = layout.FORMAT_VERSION
            raise PortableError(f"format version {version!r}, known is {known}")
        entries, session = manifest.get("entries"), manifest.get("session")
        if not isinstance(entries, dict) or not isinstance(session, dict):
            raise PortableError("the table of contents cannot be read")
        return manifest

    def _session(self, told: dict[str, Any]) -> tuple[Loaded, Session]:
        sid = told.get("id")
        if not isinstance(sid, str) or not layout.SID.fullmatch(sid):
            raise PortableError("the session has no proper name")
        version = checking.check_count("version", told.get("version"), 1, checking.MOST)
        expires_at = checking.check_time("expiry", told.get("expires_at"))
        told_arrivals = told.get("arrivals", 0)
        arrivals = checking.check_count("arrivals", told_arrivals, 0, checking.MOST)
        meta = self._read(layout.SESSION)
        loaded = Loaded(version, meta, expires_at, arrivals)
        _packed(layout.SESSION, _document(meta, layout.SESSION))
        session = unpack_session(sid, loaded)
        checking.check_session(session)
        first = session.oldest_kept or int(session.initial_members is None)
        for k in range(first, session.cycle + 1):
            if analysis_blob(k) not in self.blobs:
                raise PortableError(f"the analysis of cycle {k} is missing")
        return loaded, session

    def _read(self, name: str) -> bytes:
        content = self._content(name)
        self._check_digest(name, hashlib.sha256(content).hexdigest())
        return content

    def _content(self, name: str) -> bytes:
        info = self._entries.get(name)
        if info is None:
            raise PortableError(f"there is no {name} in it")
        if (
            not name.endswith(layout.SUFFIX)
            and info.file_size > layout.LONGEST_DOCUMENT
        ):
            raise PortableError(f"{name} is too long")
        return self._archive.read(info)

    def _check_digest(self, name: str, found: str) -> None:
        told = self._contents.get(name)
        if not isinstance(told, dict) or told.get("sha256") != found:
            raise PortableError(f"{name} is not what was written: its digest differs")


def _checked_entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Entries by name: each once, plain, and no longer together than the file is."""
    infos = archive.infolist()
    if len(infos) > layout.MOST_ENTRIES:
        raise PortableError(f"{len(infos)} entries are more than a session has")
    known = (layout.MANIFEST, layout.SESSION, layout.RECORDS)
    for info in infos:
        name = info.filename
        blob = name.endswith(layout.SUFFIX) and layout.is_blob(name[:-4])
        if name not in known and not blob:
            raise PortableError(f"{name[:100]!r} is no part of a session")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise PortableError(f"{name} is compressed or encrypted")
        if not 0 <= info.header_offset < size:
            raise PortableError(f"{name} is nowhere in the file")
        if info.file_size != info.compress_size:
            raise PortableError(f"{name} has two lengths")
    found = {info.filename: info for info in infos}
    if len(found) != len(infos):
        raise PortableError("an entry is there twice")
    if sum(info.file_size for info in infos) > size:
        raise PortableError("its entries are longer than the file")
    if missing := [name for name in known if name not in found]:
        raise PortableError(f"there is no {missing[0]} in it")
    return found


def _document(content: bytes, what: str) -> dict[str, Any]:
    try:
        return unpack_document(content)
    except (ValueError, RecursionError):
        raise PortableError(f"{what} cannot be read") from None


def _packed(name: str, document: dict[str, Any]) -> bytes:
    try:
        return pack_document(document)
    except (ValueError, RecursionError) as error:
        raise PortableError(f"record {name} is no JSON ({error})") from None


def _record(line: bytes) -> tuple[str, dict[str, Any]]:
    content = _document(line, "a line of the records")
    name, document = content.get("name"), content.get("document")
    if not isinstance(name, str) or not layout.is_record(name):
        raise PortableError("a record has no proper name")
    if not isinstance(document, dict):
        raise PortableError(f"record {name} is no document")
    return name, document
