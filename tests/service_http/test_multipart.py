"""Forms: what HTTP libraries send is read, what breaks the format is not."""

from __future__ import annotations

import string

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.errors import InvalidMultipartError
from service.media.multipart import MAX_PARTS, decode_multipart, encode_multipart
from service.media.types import parse_media_type

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=20)


def decoded(content_type: str, body: bytes) -> dict[str, bytes]:
    """Parts as bytes."""
    boundary = parse_media_type(content_type).parameters["boundary"]
    return {k: bytes(v) for k, v in decode_multipart(body, boundary).items()}


@given(st.dictionaries(NAMES, st.binary(), max_size=MAX_PARTS))
def test_round_trip(parts: dict[str, bytes]) -> None:
    made = encode_multipart((name, "a/b", data) for name, data in parts.items())
    assert decoded(*made) == parts


@given(st.dictionaries(NAMES, st.binary(), min_size=1, max_size=5))
def test_what_httpx_sends_is_read(parts: dict[str, bytes]) -> None:
    files = {name: (f"{name};.npy", data, "a/b") for name, data in parts.items()}
    request = httpx.Request("POST", "http://x", files=files)
    assert decoded(request.headers["content-type"], request.read()) == parts


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--",
        b'ignored\r\n--b\r\ncontent-disposition:form-data;name="x"\r\n\r\n1\r\n--b--\r\n',
        b'--b  \r\nContent-Disposition: Form-Data; Name="x"\r\n\r\n1\r\n--b--ignored',
        b'--b\r\nX: y\r\nContent-Disposition: form-data; filename="name=y"; name="x"'
        b"\r\nContent-Transfer-Encoding: BINARY\r\n\r\n1\r\n--b--\r\n",
    ],
)
def test_what_the_format_allows(body: bytes) -> None:
    assert {k: bytes(v) for k, v in decode_multipart(body, "b").items()} == {"x": b"1"}


@pytest.mark.parametrize("boundary", ["", "x" * 71, "trailing ", "schräg", "a\nb"])
def test_boundaries_that_are_none(boundary: str) -> None:
    with pytest.raises(InvalidMultipartError):
        decode_multipart(b"--" + boundary.encode() + b"--", boundary)


def test_too_many_parts() -> None:
    _, body = encode_multipart((f"p{i}", "a/b", b"") for i in range(MAX_PARTS + 1))
    boundary = body[2:34].decode()
    with pytest.raises(InvalidMultipartError, match=f"more than {MAX_PARTS}"):
        decode_multipart(body, boundary)


@given(st.integers(0, 400), st.binary(max_size=20))
def test_any_damage_is_refused_in_words_or_does_no_harm(at: int, noise: bytes) -> None:
    content_type, body = encode_multipart([("x", "a/b", b"1" * 50), ("y", "a/b", b"2")])
    try:
        decoded(content_type, body[:at] + noise + body[at + len(noise) :])
    except InvalidMultipartError as error:
        assert error.detail
