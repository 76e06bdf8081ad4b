"""An array into an answer, and back.

JSON carries facts beside the numbers; the binary forms and CSV carry the numbers, and
their facts travel in headers. JSON and CSV write every double with the digits it needs
to come back as the same double.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from service.media.errors import invalid_array
from service.media.npy import decode_npy, encode_npy
from service.media.numbers import BLOCK, array_from_json
from service.media.types import CSV, JSON, NPY, RAW, parse_media_type

Array = npt.NDArray[np.float64]
SHAPE_HEADER = "Ccdm-Shape"
DTYPE_HEADER = "Ccdm-Dtype"
DTYPE = "<f8"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS


def encode_answer(
    media_type: str,
    samples: Array,
    *,
    name: str,
    facts: Mapping[str, Any],
    columns: Sequence[str] | None = None,
) -> bytes:
    """An array of rows as a body.

    Args:
        media_type: JSON, npy, octet-stream or CSV.
        samples: ``(rows, columns)``.
        name: what JSON calls them.
        facts: what JSON says beside them.
        columns: header of a CSV; ``x0, x1, ...`` by default.
    """
    if media_type == NPY:
        return encode_npy(samples)
    if media_type == RAW:
        return np.ascontiguousarray(samples, dtype=DTYPE).tobytes()
    if media_type == CSV:
        return b"".join(_csv(samples, columns))
    return encode_json({name: samples, **facts})


def answer_headers(media_type: str, shape: tuple[int, ...]) -> dict[str, str]:
    """The headers without which a body cannot be read."""
    if media_type == RAW:
        sizes = ",".join(map(str, shape))
        return {SHAPE_HEADER: sizes, DTYPE_HEADER: DTYPE}
    return {}


def encode_json(members: Mapping[str, Any]) -> bytes:
    """A JSON object whose array members are written block by block.

    One call for all would hold the interpreter for as long as the array is large.
    Names inside members are sorted, so that what a store gave back is written as it
    was the first time.
    """
    parts: list[bytes] = []
    for key, value in members.items():
        parts += [b"," if parts else b"{", orjson.dumps(key), b":"]
        if isinstance(value, np.ndarray) and value.ndim == 2:
            parts += _json_rows(value)
        else:
            parts.append(orjson.dumps(value, option=_OPTIONS))
    return b"".join([*parts, b"}"] if parts else [b"{}"])


def decode_answer(
    content_type: str, body: bytes, headers: Mapping[str, str], name: str
) -> Array:
    """The inverse of :func:`encode_answer`, for clients.

    Args:
        content_type: of the answer.
        body: of the answer.
        headers: of the answer, looked up as given here and in lower case.
        name: what JSON calls the array.

    Raises:
        InvalidArrayError: when the body is not what the headers say.
    """
    media = parse_media_type(content_type).name
    if media == NPY:
        return decode_npy(body, f"/{name}")
    if media == RAW:
        return _decode_raw(body, _header(headers, SHAPE_HEADER))
    if media == CSV:
        lines = body.decode("utf-8").split("\r\n")[1:]
        rows = [list(map(float, line.split(","))) for line in lines if line]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    if media == JSON:
        return array_from_json(orjson.loads(body)[name], f"/{name}")
    raise invalid_array(f"/{name}", "media-type", "the answer is not an array")


def _header(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name) or headers.get(name.lower()) or ""


def _decode_raw(body: bytes, sizes: str) -> Array:
    try:
        shape = tuple(map(int, sizes.split(",")))
        return np.frombuffer(body, dtype=DTYPE).reshape(shape).astype(np.float64)
    except ValueError:
        message = "the body does not fit Ccdm-Shape"
        raise invalid_array("", "raw-size", message) from None


def _blocks(samples: Array) -> Iterator[Array]:
    step = max(1, BLOCK // max(1, samples.shape[1]))
    for start in range(0, samples.shape[0], step):
        yield np.ascontiguousarray(samples[start : start + step], dtype=np.float64)


def _json_rows(samples: Array) -> Iterator[bytes]:
    separator = b"["
    for block in _blocks(samples):
        yield separator
        yield orjson.dumps(block, option=_OPTIONS)[1:-1]
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


def _csv(samples: Array, columns: Sequence[str] | None) -> Iterator[bytes]:
    names = columns or [f"x{place}" for place in range(samples.shape[1])]
    yield (",".join(map(_quoted, names)) + "\r\n").encode("utf-8")
    for block in _blocks(samples):
        if np.isfinite(block).all() and block.size:
            # "[[1.0,2.0],[3.0,4.0]]" without its brackets is a CSV already.
            text = orjson.dumps(block, option=_OPTIONS)
            yield text[2:-2].replace(b"],[", b"\r\n") + b"\r\n"
        else:
            for row in block.tolist():
                yield (",".join(map(repr, row)) + "\r\n").encode("ascii")


def _quoted(name: str) -> str:
    if any(mark in name for mark in ',"\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name
