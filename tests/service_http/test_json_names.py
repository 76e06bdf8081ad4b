"""Names in JSON objects are unique, and telling so costs no good body anything."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest

from service.media.bodies import PARAMS, PARAMS_BYTES, decode_body, decode_object
from service.media.errors import InvalidJsonError, TooLargeError
from service.media.multipart import encode_multipart
from service.media.types import MULTIPART, content_type


@pytest.mark.parametrize(
    "good",
    [
        {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]},
        {"quotes": 'he said "a": 1, "a": 2', "b": '\\"', "c": "\\"},
        {'"': 1, '\\"': 2, "": 3, ":": 4},
        {"mixed": [1, {"a": 1}, "a"], "strings": ["a", "a"]},
        {"numbers": [[1, 2], [3, 4]], "deep": [[[{"a": [{"a": []}]}]]]},
    ],
)
def test_what_is_unique_is_read(good: dict[str, object]) -> None:
    assert decode_object(orjson.dumps(good)) == good
    spaced = orjson.dumps(good, option=orjson.OPT_INDENT_2).replace(b":", b":")
    assert decode_object(spaced) == good


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "a"),
        ('{"x": [{"b": 1, "b" \\n : 2}]}', "b"),
        ('{"x": [1, {"c": 1, "c": 2}]}', "c"),
        ('{"d\\\\": 1, "d\\\\": 2}', "d\\"),
        ('{"\\u0065": 1, "e": 2}', "e"),
    ],
)
def test_what_comes_twice_is_refused(text: str, name: str) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        decode_object(text.replace("\\n", "\n").encode())
    assert caught.value.errors[0].pointer == f"/{name}"
    assert caught.value.errors[0].code == "duplicate"


def test_depth_and_digits_do_no_harm() -> None:
    deep = b'{"a": [1, {"b": 1}], "c": ' + b"[" * 200 + b"]" * 200 + b"}"
    assert len(decode_object(deep)["c"]) == 1
    with pytest.raises(InvalidJsonError, match="nested deeper"):
        decode_object(b'{"c": ' + b"[" * 960 + b"]" * 960 + b"}")
    digits = b'{"a": [1, {"b": ' + b"9" * 300 + b".0}]}"
    assert decode_object(digits)["a"][0] == 1


@pytest.mark.parametrize("piece", [b"x", b"\\n", b"\\nx"])
def test_one_long_string_takes_no_more_than_a_few_times_its_size(piece: bytes) -> None:
    body = b'{"a": "' + piece * (2 * 2**20 // len(piece)) + b'"}'
    tracemalloc.start()
    try:
        decode_object(body)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20 * len(body)


def test_parameters_beside_arrays_have_a_limit_of_their_own() -> None:
    text = b'{"a": "' + b"x" * PARAMS_BYTES + b'"}'
    kind, body = encode_multipart([(PARAMS, "application/json", text)])
    with pytest.raises(TooLargeError) as caught:
        decode_body(content_type(kind, (MULTIPART,)), body, ())
    assert (caught.value.name, caught.value.limit) == ("params_bytes", PARAMS_BYTES)
