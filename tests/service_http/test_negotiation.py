"""Accept and Content-Type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.errors import NotAcceptableError, UnsupportedMediaTypeError
from service.media.types import (
    ARRAY_ANSWERS,
    CSV,
    JSON,
    NPY,
    RAW,
    content_type,
    negotiate,
    parse_media_type,
)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("APPLICATION/X-NPY", NPY),
        ("text/html, application/x-npy;q=0.9, */*;q=0.1", NPY),
        ("application/json;q=0.5, text/csv;q=0.6", CSV),
        ("application/json;q=0.5, text/csv;q=0.5", JSON),
        ("application/json;q=0, application/*;q=0.5", NPY),
        ("*/*;q=0.1, application/octet-stream", RAW),
        ("text/csv;header=present;q=0.4, application/x-npy;q=0.3", CSV),
        ("text/csv, application/json;q=nan", CSV),
        ("text/csv;q=0.2, application/json;q=7", CSV),
    ],
)
def test_the_preferred_offer_is_chosen(accept: str | None, chosen: str) -> None:
    assert negotiate(accept, ARRAY_ANSWERS) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "json", "application/json;q=x"]
)
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        negotiate(accept, ARRAY_ANSWERS)
    assert caught.value.offered == ARRAY_ANSWERS


@given(st.text())
def test_any_accept_is_answered(accept: str) -> None:
    try:
        assert negotiate(accept, ARRAY_ANSWERS) in ARRAY_ANSWERS
    except NotAcceptableError as error:
        assert error.detail


def test_content_types_with_parameters() -> None:
    media = content_type('Application/JSON ; charset="UTF-8"', (JSON,))
    assert (media.name, media.parameters) == (JSON, {"charset": "UTF-8"})
    quoted = parse_media_type(r'multipart/form-data; boundary="a\"b;c"; x=1')
    assert quoted.parameters == {"boundary": 'a"b;c', "x": "1"}


@pytest.mark.parametrize(
    "value", [None, "", "text/plain", "application/json;charset=x"]
)
def test_content_types_not_read(value: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        content_type(value, (JSON,))
    assert caught.value.offered == (JSON,)
