"""A request body into named arrays and parameters, and its inverse for clients.

The same thing twice::

    {"forecast_states": [[...]], ..., "options": {...}, "seed": 1}     JSON
    parts forecast_states, ... (npy) and params (JSON of the rest)     multipart

Both give the same arrays, the same parameters and the same pointers in errors.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from service.media.errors import (
    FieldError,
    InvalidArrayError,
    InvalidJsonError,
    InvalidMultipartError,
    TooLargeError,
)
from service.media.lengths import check_length
from service.media.multipart import decode_multipart, encode_multipart
from service.media.npy import Buffer, decode_npy, encode_npy
from service.media.numbers import array_from_json
from service.media.types import JSON, MULTIPART, NPY, MediaType

Array = npt.NDArray[np.float64]
PARAMS = "params"
_IN_PARAMS = (
    "Put all that is not an array, options and seed say, into the one JSON part "
    f"`{PARAMS}`."
)
_NULL = "Send null in place of NaN and Infinity, or send the arrays as npy, with NaN."


@dataclass(frozen=True, slots=True)
class ArrayBody:
    """What a body holds.

    Attributes:
        arrays: float64 arrays by name, those that were sent.
        params: everything else, not yet validated.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def require(self, *names: str) -> tuple[Array, ...]:
        """The arrays of these names.

        Raises:
            InvalidArrayError: listing all that are missing.
        """
        missing = [name for name in names if name not in self.arrays]
        if missing:
            raise InvalidArrayError(
                "Missing: " + ", ".join(missing) + ".",
                *(
                    FieldError(f"/{name}", "missing", "required", _whole(name, names))
                    for name in missing
                ),
            )
        return tuple(self.arrays[name] for name in names)


def _whole(name: str, names: Sequence[str]) -> str:
    listed = ", ".join(names)
    missing = (
        " One that did not come in at all is a null (NaN) for each measurement."
        if name == "observation"
        else ""
    )
    return f"Send {name} too: wanted are {listed}.{missing}"


# Structure that a request of ours never has, counted before it is parsed.
MOST_NAMES, MOST_LISTS = 10_000, 2_000_000
# A number takes up to a hundred bytes while it is parsed; as many as these are 64 MiB
# of npy. Written with the digits of a double they are 160 MB of JSON.
MOST_NUMBERS = 8 * 2**20
# Parameters without the arrays: the longest are coordinates and names of a large state.
PARAMS_BYTES = 8 * 2**20
# Many more than metadata may have; the parser goes on to a thousand and more.
MOST_LEVELS = 256
_NESTED = frozenset((dict, list))
# Possessive: no way back is kept, which takes a hundred bytes for each of a string.
_NAME = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*:)?', re.DOTALL)


def params_bytes(media: MediaType, body: bytearray) -> int:
    """How much of a multipart body is JSON.

    Raises:
        InvalidMultipartError: as when it is decoded.
    """
    parts = decode_multipart(body, media.parameters.get("boundary", ""))
    return len(parts.get(PARAMS, b""))


def decode_body(
    media: MediaType,
    body: bytes | bytearray,
    names: Sequence[str],
    most_params: int | None = None,
) -> ArrayBody:
    """Read an array body.

    Args:
        media: its Content-Type, JSON or multipart.
        body: the whole body.
        names: what is read as an array.
        most_params: bytes of JSON that the rest may take.

    Raises:
        BodyError: when it cannot be read, or an array is not one.
    """
    if media.name == MULTIPART:
        found = _from_multipart(body, media.parameters.get("boundary", ""), names)
    else:
        found = _from_json(body, names)
    if most_params is not None:
        check_length(found.params, most_params)
    return found


def _from_json(body: bytes | bytearray, names: Sequence[str]) -> ArrayBody:
    params = decode_object(body)
    given = {name: params.pop(name, None) for name in names}
    arrays = {
        name: array_from_json(value, f"/{name}")
        for name, value in given.items()
        if value is not None
    }
    return ArrayBody(arrays, params)


def decode_object(body: Buffer, pointer: str = "") -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InvalidJsonError: when it is not JSON, or not an object.
    """
    try:
        _require_bearable(body)
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = _json_hint(bytes(body), error.pos)
        message = f"{error}{hint and '.'}{hint}"
        place = FieldError(pointer, "json", message, _NULL if hint else "")
        raise InvalidJsonError(f"This is not JSON: {error}.{hint}", place) from None
    if type(value) is not dict:
        message = "wanted an object"
        raise InvalidJsonError(
            "The JSON body is not an object.", FieldError(pointer, "type", message)
        )
    _require_unique_names(body, value, pointer)
    return value


def _require_unique_names(body: Buffer, value: Any, pointer: str) -> None:
    """Refuse objects in which a name comes twice: parsers differ in what they keep.

    The names in the text are counted, and held against those that were kept; only
    where the counts differ it is worth finding out which.
    """
    written = sum(match[1] is not None for match in _NAME.finditer(body))
    if written == _count_names(value, pointer):
        return
    twice: list[str] = []

    def kept(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in pairs)
        twice.extend(name for name, count in counts.items() if count > 1)

    # Deeper than that parser goes there is nothing that is read here.
    with suppress(RecursionError):
        json.loads(bytes(body), object_pairs_hook=kept, parse_int=len, parse_float=len)
    if twice:
        name = twice[0][:64]
        raise InvalidJsonError(
            f"The name {name!r} comes twice in one JSON object.",
            FieldError(f"{pointer}/{name}", "duplicate", "this name comes twice"),
        )


def _count_names(value: Any, pointer: str) -> int:
    """Names of objects, level by level: Python's own stack is not deep enough.

    Raises:
        InvalidJsonError: when it is nested deeper than what is read here ever is.
    """
    count, level, depth = 0, [value], 0
    while level:
        depth += 1
        if depth > MOST_LEVELS:
            message = f"nested deeper than {MOST_LEVELS} levels"
            raise InvalidJsonError(
                f"The JSON is {message}.", FieldError(pointer, "json", message)
            )
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                count += len(item)
                below.extend(item.values())
            elif type(item) is list and not _NESTED.isdisjoint(map(type, item)):
                below.extend(item)
        level = below
    return count


def _json_hint(text: bytes, place: int) -> str:
    """What to do about the commonest thing that is no JSON."""
    found = re.match(rb"-?(NaN|Infinity|inf|nan)\b", text[place : place + 10])
    if found is None:
        return ""
    return f" {found[0].decode()} is no JSON: send null where a number is missing."


def _require_bearable(body: Buffer) -> None:
    """Refuse what would take a hundred times its size once it is Python objects."""
    text = bytes(body) if isinstance(body, memoryview) else body
    for mark, limit, what in (
        (b'":', MOST_NAMES, "names in JSON objects"),
        (b"{", MOST_NAMES, "JSON objects"),
        (b"[", MOST_LISTS, "JSON arrays (rows)"),
        (b",", MOST_NUMBERS, "numbers in JSON"),
    ):
        if text.count(mark) > limit:
            raise TooLargeError(
                f"More than {limit} {what}; send large arrays as npy.",
                "json_structure",
                limit,
            )


def encode_body(
    arrays: Mapping[str, npt.ArrayLike], params: Mapping[str, Any]
) -> tuple[str, bytes]:
    """Content-Type and body of a multipart request, for clients."""
    parts = [(name, NPY, encode_npy(array)) for name, array in arrays.items()]
    return encode_multipart([*parts, (PARAMS, JSON, orjson.dumps(dict(params)))])


def _from_multipart(
    body: bytes | bytearray, boundary: str, names: Sequence[str]
) -> ArrayBody:
    parts = decode_multipart(body, boundary)
    unknown = [name for name in parts if name not in names and name != PARAMS]
    if unknown:
        wanted = "wanted one of " + ", ".join([*names, PARAMS])
        raise InvalidMultipartError(
            "Not read here: " + ", ".join(unknown) + f"; {wanted}.",
            *(
                FieldError(f"/{name}", "unknown", wanted, _IN_PARAMS)
                for name in unknown
            ),
        )
    arrays = {
        name: decode_npy(parts[name], f"/{name}") for name in names if name in parts
    }
    return ArrayBody(arrays, _params(parts[PARAMS]) if PARAMS in parts else {})


def _params(part: Buffer) -> dict[str, Any]:
    if len(part) > PARAMS_BYTES:
        raise TooLargeError(
            f"The part {PARAMS} has {len(part)} bytes; {PARAMS_BYTES} are allowed.",
            "params_bytes",
            PARAMS_BYTES,
        )
    return decode_object(part, f"/{PARAMS}")
