"""NumPy's npy format (versions 1 to 3), read without NumPy's own reader.

``np.load`` believes the header: 128 bytes can make it ask for 74 GiB, and object
arrays run code. Here the header is matched against the one grammar that arrays of
numbers need, its dtype against a list, and its shape against the bytes that came.

A column-major array of shape (dx, N) is byte for byte a row-major (N, dx): Fortran,
Julia, MATLAB and R users may declare either.
"""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.errors import InvalidArrayError, invalid_array
from service.media.kinds import HEAD, SAVE, looks_like

Array = npt.NDArray[np.float64]
Buffer = bytes | bytearray | memoryview

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 4096
MAX_DIMENSIONS = 8
_USUAL_HEADER = 256
DTYPES = frozenset(
    [f"{order}f{size}" for order in "<>" for size in (4, 8)]
    + [f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)]
    + [f"{order}{kind}1" for order in "<>|" for kind in "iu"]
)

_ITEM = re.compile(
    r"\s*(['\"])(?P<key>descr|fortran_order|shape)\1\s*:\s*(?P<value>"
    r"'[^']{0,64}'|\"[^\"]{0,64}\"|True|False|\([\d,\s]{0,256}\)"
    r")\s*(?:,|$)"
)
_SHAPE = re.compile(r"\(\s*(?:\d{1,19}\s*,\s*)*(?:\d{1,19}\s*)?\)")


def decode_npy(data: Buffer, pointer: str) -> Array:
    """One npy file as float64, C-ordered.

    Args:
        data: the whole file.
        pointer: where it stands in the request, for errors.

    Raises:
        InvalidArrayError: when it is no npy file, holds anything but numbers, or is
            longer or shorter than its header says.
    """
    view = memoryview(data)
    header, start = _header(view, pointer)
    # Heads are few and come again and again; long ones are nobody's we know.
    fields = _fields if len(header) <= _USUAL_HEADER else _fields.__wrapped__
    descr, fortran, shape = fields(header, pointer)
    dtype = _dtype(descr, pointer)
    wanted = math.prod(shape) * dtype.itemsize
    present = len(view) - start
    if wanted != present:
        raise invalid_array(
            pointer,
            "npy-size",
            f"the npy header promises {wanted} bytes of numbers for shape {shape}, "
            f"but {present} came",
        )
    flat = np.frombuffer(view, dtype=dtype, offset=start)
    try:
        array = flat.reshape(shape, order="F" if fortran else "C")
    except ValueError:
        # Nothing at all, with an axis beyond what an index can count.
        raise invalid_array(pointer, "npy-header", "the npy shape is absurd") from None
    # Always a copy: aligned, writable, and free of the body it came in.
    return np.array(array, dtype=np.float64, order="C")


def encode_npy(array: npt.ArrayLike) -> bytes:
    """An array of numbers as npy version 1, C-ordered, little-endian float64."""
    values = np.asarray(array)
    plain = np.ascontiguousarray(values, dtype="<f8")
    # One copy of the numbers, next to their header.
    contents = plain.data.cast("B") if plain.size else b""
    return b"".join((npy_header(values.shape), contents))


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The npy header of a C-ordered little-endian float64 array."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape!r}, }}"
    # The contents start on a multiple of 64 bytes, as the format asks.
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    encoded = (text + " " * padding + "\n").encode("ascii")
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(encoded)) + encoded


def _header(view: memoryview, pointer: str) -> tuple[str, int]:
    """The header's text, and where the numbers start."""
    if bytes(view[:6]) != MAGIC:
        message = f"this is not an npy file, but {looks_like(bytes(view[:HEAD]))}"
        raise invalid_array(pointer, "npy", message, SAVE)
    if len(view) < 12:
        raise _cut_short(pointer)
    major = view[6]
    if major not in (1, 2, 3):
        raise invalid_array(pointer, "npy", f"npy version {major} is not read here")
    size_at, form = (8, "<H") if major == 1 else (8, "<I")
    start = size_at + struct.calcsize(form)
    (length,) = struct.unpack_from(form, view, size_at)
    if length > MAX_HEADER_BYTES:
        raise invalid_array(
            pointer,
            "npy-header",
            f"an npy header of {length} bytes; at most {MAX_HEADER_BYTES} are read",
        )
    if start + length > len(view):
        raise _cut_short(pointer)
    return bytes(view[start : start + length]).decode("latin-1"), start + length


def _cut_short(pointer: str) -> InvalidArrayError:
    return invalid_array(pointer, "npy", "the npy file ends within its header")


@lru_cache(256)
def _fields(header: str, pointer: str) -> tuple[str, bool, tuple[int, ...]]:
    """The dtype's name, whether columns come first, and the shape."""
    text = header.strip()
    values = _items(text[1:-1].strip()) if text[:1] + text[-1:] == "{}" else {}
    descr = values.get("descr", "")
    shape = values.get("shape", "")
    sizes = tuple(map(int, re.findall(r"\d+", shape)))
    if (
        descr[:1] in ("'", '"')
        and values.get("fortran_order") in ("True", "False")
        and _SHAPE.fullmatch(shape)
        and len(sizes) <= MAX_DIMENSIONS
    ):
        return descr[1:-1], values["fortran_order"] == "True", sizes
    if re.search(r"['\"]descr['\"]\s*:\s*\[", text):
        raise invalid_array(
            pointer, "dtype", "records are not read here; wanted a plain number dtype"
        )
    raise invalid_array(pointer, "npy-header", "the npy header cannot be read")


def _items(text: str) -> dict[str, str]:
    """The items of the header's dictionary; none unless all can be read."""
    values: dict[str, str] = {}
    at = 0
    while match := _ITEM.match(text, at):
        values[match["key"]] = match["value"]
        at = match.end()
    return values if at == len(text) else {}


def _dtype(descr: str, pointer: str) -> np.dtype[Any]:
    if descr not in DTYPES:
        # The text comes from the client, so it is not repeated unless well-formed.
        got = f"dtype {descr}" if re.fullmatch(r"[<>=|]?\w{1,8}", descr) else "a dtype"
        raise invalid_array(
            pointer,
            "dtype",
            f"{got} is not read here; wanted real numbers: float64, float32 or "
            "integers (numpy: array.astype('<f8'))",
        )
    return np.dtype(descr)
