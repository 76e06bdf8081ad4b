"""Chunks of HDF5 files: unpacked into nothing once, before HDF5 unpacks them for good.

What a chunk says it holds, and what is packed in it, are two things: HDF5 unpacks
gzip into as much memory as it takes, a thousand times its bytes on disk, and finds out.
So each chunk is unpacked here first, a little at a time, and refused at the first byte
too much. Other packings are refused at sight, as they have no such measure.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

GZIP = 1
KNOWN = {GZIP: "gzip", 2: "shuffle", 3: "fletcher32"}
# Bytes of a checksum; those a packing may be longer than what is in it.
CHECKSUM = 4
SPARE = 4096
PIECE = 2**20


def chunk_bytes(dataset: Any) -> int:
    """Memory to read one chunk, out of one buffer into another; 0 without chunks.

    Raises:
        ValueError: for packings that are not read.
    """
    packings = _packings(dataset)
    if set(packings) - set(KNOWN) or len(set(packings)) < len(packings):
        wanted = ", ".join(KNOWN.values())
        raise ValueError(f"its chunks are packed in a way other than {wanted}, once")
    return 2 * _size(dataset)


def check_packed(dataset: Any) -> None:
    """Unpack all chunks into nothing.

    Raises:
        ValueError: for one that holds more than it says.
    """
    packings = _packings(dataset)
    if GZIP not in packings:
        return
    plain = 1 << packings.index(GZIP)  # chunks may be left as they are, one by one
    most = _size(dataset) + CHECKSUM
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    for chunk in chunks:
        if chunk.size > most + most // 100 + SPARE:
            raise ValueError("one of its chunks is longer than what it holds")
        if not chunk.filter_mask & plain:
            packed = dataset.id.read_direct_chunk(chunk.chunk_offset)[1]
            _check_gzip(packed, most)


def _check_gzip(packed: bytes, most: int) -> None:
    unpack, count = zlib.decompressobj(), 0
    while packed and not unpack.eof:
        count += len(unpack.decompress(packed, PIECE))
        packed = unpack.unconsumed_tail
        if count > most:
            raise ValueError("one of its chunks holds more than it says")


def _packings(dataset: Any) -> list[int]:
    plan = dataset.id.get_create_plist()
    return [int(plan.get_filter(index)[0]) for index in range(plan.get_nfilters())]


def _size(dataset: Any) -> int:
    return int(math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize)
