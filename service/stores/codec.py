"""The one record codec: how documents and arrays become stored bytes.

Two layers. A *payload* is a JSON document or an ``.npy`` array. A *frame* is a payload
under a checksum, and what stores write and read::

    "CCDM"  format u8  flags u8  zero u16  payload bytes u64  blake2b-128  payload

little-endian. The checksum covers the payload, the fields before it and the *context*:
the place where the frame belongs. So neither a flipped bit, nor a missing or foreign
piece, nor a frame put back in the wrong place passes for data.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from service.stores.errors import StoreCorrupt

FORMAT = 1
_MAGIC = b"CCDM"
_FIELDS = struct.Struct("<4sBBHQ")
_CHECKSUM_BYTES = 16
HEADER_BYTES = _FIELDS.size + _CHECKSUM_BYTES
_COMPRESSED = 1
# Shorter documents gain nothing; arrays of doubles gain about 4 % at any length.
_COMPRESS_FROM = 512
# Entries of a list that are written in one go: nobody else runs in the meantime.
_BLOCK = 2048
# Objects in objects whose long lists are looked for: `options/localization/...`.
_LEVELS = 3


def seal(payload: bytes, context: str, *, compress: bool = False) -> bytes:
    """Put a payload into a frame that belongs to ``context``."""
    flags = 0
    if compress and len(payload) >= _COMPRESS_FROM:
        payload, flags = zlib.compress(payload, 1), _COMPRESSED
    fields = _FIELDS.pack(_MAGIC, FORMAT, flags, 0, len(payload))
    return b"".join((fields, _checksum(fields, payload, context), payload))


def unseal(frame: bytes | memoryview, context: str) -> memoryview:
    """Take the payload out of a frame.

    Raises:
        StoreCorrupt: when the frame is not exactly what was sealed for ``context``.
    """
    view = memoryview(frame)
    if len(view) < HEADER_BYTES:
        raise StoreCorrupt(f"{context} is cut short ({len(view)} bytes)")
    fields = bytes(view[: _FIELDS.size])
    magic, version, flags, _, length = _FIELDS.unpack(fields)
    if magic != _MAGIC:
        raise StoreCorrupt(f"{context} does not begin like a record")
    if version != FORMAT:
        raise StoreCorrupt(f"{context} has format {version}, known is {FORMAT}")
    payload = view[HEADER_BYTES:]
    if len(payload) != length:
        raise StoreCorrupt(f"{context} has {len(payload)} bytes, wanted {length}")
    if bytes(view[_FIELDS.size : HEADER_BYTES]) != _checksum(fields, payload, context):
        raise StoreCorrupt(f"{context} fails its checksum")
    return memoryview(zlib.decompress(payload)) if flags & _COMPRESSED else payload


def _checksum(fields: bytes, payload: bytes | memoryview, context: str) -> bytes:
    place = context.encode()
    digest = hashlib.blake2b(digest_size=_CHECKSUM_BYTES)
    digest.update(fields)
    digest.update(len(place).to_bytes(4, "little"))
    digest.update(place)
    digest.update(payload)
    return digest.digest()


def pack_document(document: dict[str, Any]) -> bytes:
    """JSON with sorted keys: equal documents give equal bytes.

    Long lists are written block by block, so that a thread which writes them lets
    others run.

    Raises:
        ValueError: for NaN or infinity, which JSON does not have.
        TypeError: for anything else that JSON does not have.
    """
    if _is_long(document, _LEVELS):
        text = "".join(_written(document, _LEVELS))
    else:
        # The same text, written in one go.
        text = _encode(document)
    return text.encode("utf-8", "surrogatepass")


_encode = json.JSONEncoder(
    sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":")
).encode


def _is_long(value: Any, levels: int) -> bool:
    """Whether there is a list that is worth writing block by block."""
    if isinstance(value, list):
        return len(value) > _BLOCK
    return (
        isinstance(value, dict)
        and levels > 0
        and any(_is_long(item, levels - 1) for item in value.values())
    )


def _written(value: Any, levels: int) -> Iterator[str]:
    """A value as JSON, in pieces."""
    if isinstance(value, list) and len(value) > _BLOCK:
        for start in range(0, len(value), _BLOCK):
            yield "," if start else "["
            yield _encode(value[start : start + _BLOCK])[1:-1]
        yield "]"
    elif isinstance(value, dict) and value and levels and all(map(_is_name, value)):
        separator = "{"
        for name in sorted(value):
            yield f"{separator}{_encode(name)}:"
            yield from _written(value[name], levels - 1)
            separator = ","
        yield "}"
    else:
        yield _encode(value)


def _is_name(key: object) -> bool:
    return type(key) is str


def unpack_document(payload: bytes | memoryview) -> dict[str, Any]:
    """The inverse of :func:`pack_document`."""
    document = json.loads(bytes(payload).decode("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise StoreCorrupt("a document is not a JSON object")
    return document


def pack_array(array: npt.NDArray[np.float64]) -> bytes:
    """A float64 array in C order as the bytes of an ``.npy`` file."""
    plain = np.ascontiguousarray(array, dtype="<f8")
    header = io.BytesIO()
    described = np.lib.format.header_data_from_array_1_0(plain)
    np.lib.format.write_array_header_1_0(header, described)
    return b"".join((header.getvalue(), plain.data.cast("B") if plain.size else b""))


def unpack_array(payload: bytes | memoryview) -> npt.NDArray[np.float64]:
    """The inverse of :func:`pack_array`: a read-only view, nothing is copied.

    Raises:
        StoreCorrupt: when the payload is not such an array.
    """
    head = io.BytesIO(bytes(payload[:1024]))
    try:
        np.lib.format.read_magic(head)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        flat = np.frombuffer(payload, dtype="<f8", offset=head.tell())
        if fortran or dtype != np.dtype("<f8"):
            raise ValueError("not float64 in C order")
        return flat.reshape(shape)
    except ValueError as error:
        raise StoreCorrupt(f"an array cannot be read ({error})") from None
