"""multipart/form-data (RFC 7578) over a body that is already in memory.

Parts are slices of the body, so arrays are not copied on their way through. Only what
array bodies need is read: unique names, no transfer encodings, few small headers.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from service.media.errors import FieldError, InvalidMultipartError
from service.media.types import MULTIPART, parse_media_type

MAX_PARTS = 16
MAX_PART_HEADER_BYTES = 4096
_LINE_BREAK = re.compile(rb"[ \t]{0,64}\r\n")
Part = tuple[str, str, bytes]


def decode_multipart(body: bytes | bytearray, boundary: str) -> dict[str, memoryview]:
    """The parts of a body by name.

    Args:
        body: the whole body.
        boundary: from the Content-Type.

    Raises:
        InvalidMultipartError: when it does not follow the format or breaks off.
    """
    if not re.fullmatch(r"[\x20-\x7e]{0,69}[\x21-\x7e]", boundary):
        raise InvalidMultipartError(
            "The boundary in Content-Type is missing or not allowed; HTTP libraries "
            "set it by themselves when Content-Type is left to them."
        )
    delimiter = b"--" + boundary.encode("ascii")
    at = _first_delimiter(body, delimiter)
    parts: dict[str, memoryview] = {}
    view = memoryview(body)
    while (content := _part_start(body, at)) is not None:
        end = body.find(b"\r\n" + delimiter, content)
        if end < 0:
            raise _broken("the last part has no end; the body was cut short")
        name, start = _part_name(body, content, end)
        if name in parts:
            raise InvalidMultipartError(
                "A part may come only once.",
                FieldError(f"/{name}", "duplicate", "this part came twice"),
            )
        if len(parts) == MAX_PARTS:
            raise _broken(f"more than {MAX_PARTS} parts")
        parts[name] = view[start:end]
        at = end + 2 + len(delimiter)
    return parts


def encode_multipart(parts: Iterable[Part]) -> tuple[str, bytes]:
    """A Content-Type and a body from ``(name, media type, content)`` parts."""
    boundary = secrets.token_hex(16)
    chunks: list[bytes] = []
    for name, media_type, content in parts:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        )
        chunks += [head.encode("ascii"), content, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode("ascii"))
    return f"{MULTIPART}; boundary={boundary}", b"".join(chunks)


def _first_delimiter(body: bytes | bytearray, delimiter: bytes) -> int:
    """Where the first delimiter ends; a preamble before it is allowed."""
    if body.startswith(delimiter):
        return len(delimiter)
    found = body.find(b"\r\n" + delimiter)
    if found < 0:
        raise _broken("the boundary of Content-Type does not occur in the body")
    return found + 2 + len(delimiter)


def _part_start(body: bytes | bytearray, at: int) -> int | None:
    """Where a part's headers start after a delimiter; None after the closing one."""
    if body.startswith(b"--", at):
        return None
    line_break = _LINE_BREAK.match(body, at)
    if line_break is None:
        raise _broken("a boundary is not followed by a line break")
    return line_break.end()


def _part_name(body: bytes | bytearray, start: int, end: int) -> tuple[str, int]:
    """A part's name, and where its content starts."""
    stop = body.find(b"\r\n\r\n", start, min(end, start + MAX_PART_HEADER_BYTES) + 4)
    if stop < 0:
        raise _broken("a part's headers do not end, or are too long")
    headers: dict[str, str] = {}
    for line in body[start:stop].decode("latin-1").split("\r\n"):
        key, colon, value = line.partition(":")
        if not colon:
            raise _broken("a part's header has no colon")
        headers[key.strip().lower()] = value.strip()
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in ("binary", "7bit", "8bit"):
        raise _broken("a part has a Content-Transfer-Encoding; send it as it is")
    # The disposition has the grammar of a media type but for its first word.
    disposition = headers.get("content-disposition", "")
    media = parse_media_type("multipart/" + disposition)
    name = media.parameters.get("name", "")
    if media.name != "multipart/form-data" or not re.fullmatch(r"\w{1,64}", name):
        raise _broken("a part has no Content-Disposition: form-data with a plain name")
    return name, stop + 4


def _broken(reason: str) -> InvalidMultipartError:
    return InvalidMultipartError(f"This is not multipart/form-data: {reason}.")
