"""Names in JSON objects are unique, and telling so costs no good body anything."""

from __future__ import annotations

import orjson
import pytest

from service.media.bodies import decode_object
from service.media.errors import InvalidJsonError


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
    deep = b'{"a": [1, {"b": 1}], "c": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert len(decode_object(deep)["c"]) == 1
    digits = b'{"a": [1, {"b": ' + b"9" * 300 + b".0}]}"
    assert decode_object(digits)["a"][0] == 1
