"""Media types, and the negotiation over them (RFC 9110, sections 8.3 and 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from service.media.errors import NotAcceptableError, UnsupportedMediaTypeError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MULTIPART = "multipart/form-data"
NPY = "application/x-npy"
RAW = "application/octet-stream"
CSV = "text/csv"
PROBLEM = "application/problem+json"
HTML = "text/html"

ARRAY_BODIES = (JSON, MULTIPART)
ARRAY_ANSWERS = (JSON, NPY, RAW, CSV)

_PARAMETER = re.compile(r';\s*([^\s;=]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*')

# Characters of a header that a client of ours would send.
_USUAL = 128


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type in lower case with its parameters."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_media_type(value: str) -> MediaType:
    """``type/subtype; name=value`` taken apart; anything else has an empty name."""
    # The same few come again and again; what strangers send at length is not kept.
    return _parsed(value) if len(value) <= _USUAL else _parsed.__wrapped__(value)


@lru_cache(256)
def _parsed(value: str) -> MediaType:
    name, _, _ = value.partition(";")
    parameters = {
        key.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for key, quoted, plain in _PARAMETER.findall(value[len(name) :])
    }
    name = name.strip().lower()
    return MediaType(name if "/" in name else "", parameters)


def content_type(value: str | None, offered: tuple[str, ...]) -> MediaType:
    """The Content-Type of a body, which has to be one of those offered.

    Raises:
        UnsupportedMediaTypeError: when it is missing or another one.
    """
    media = parse_media_type(value or "")
    if media.name in offered:
        charset = media.parameters.get("charset", "utf-8").lower()
        if charset in ("utf-8", "utf8", "us-ascii"):
            return media
        got = "The charset of this Content-Type is not read here"
    elif not value:
        got = "The body has no Content-Type"
    else:
        # What curl -d sends unless told otherwise is a form, and meets this.
        got = "This Content-Type is not read here"
        if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,40}", media.name, re.ASCII):
            got = f"Got Content-Type {media.name}, which is not read here"
    wanted = " or ".join(offered)
    raise UnsupportedMediaTypeError(
        f"{got}; send {wanted}, in UTF-8, and say so in Content-Type.",
        offered,
        ("Accept-Post", ", ".join(offered)),
    )


def identity_only(value: str | None) -> None:
    """Refuse compressed bodies: they gain about 4 % on doubles and hide their size.

    Raises:
        UnsupportedMediaTypeError: for any Content-Encoding but identity.
    """
    if value is not None and value.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            "Compressed bodies are not read here; send the body as it is, "
            "without Content-Encoding.",
            (),
            ("Accept-Encoding", "identity"),
        )


def negotiate(accept: str | None, offered: tuple[str, ...]) -> str:
    """The offered media type that Accept prefers; the first one where it does not say.

    The most specific range that matches a type decides its quality, as RFC 9110 has
    it; among equals the earlier offer wins.

    Raises:
        NotAcceptableError: when none is acceptable.
    """
    ranges = [_media_range(item) for item in (accept or "").split(",") if item.strip()]
    if not ranges:
        return offered[0]
    best = max(offered, key=lambda name: _quality(name, ranges))
    if _quality(best, ranges) > 0:
        return best
    raise NotAcceptableError(
        "None of the media types in Accept is offered here; offered are "
        + ", ".join(offered)
        + ".",
        offered,
    )


def _media_range(item: str) -> tuple[str, float]:
    media = parse_media_type(item)
    try:
        quality = float(media.parameters.get("q", "1"))
    except ValueError:
        quality = 0.0
    # Comparisons with NaN are false both ways: it counts as unacceptable.
    return media.name, quality if 0 <= quality <= 1 else 0.0


def _quality(name: str, ranges: list[tuple[str, float]]) -> float:
    family = name.split("/")[0] + "/*"
    for pattern in (name, family, "*/*"):
        found = [quality for media, quality in ranges if media == pattern]
        if found:
            return max(found)
    return 0.0
