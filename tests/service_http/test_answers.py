"""Answers in every media type carry the same doubles."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.media.answers import answer_headers, decode_answer, encode_answer
from service.media.errors import InvalidArrayError
from service.media.numbers import BLOCK
from service.media.types import ARRAY_ANSWERS, CSV, JSON, NPY, RAW

ROWS = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


def round_trip(media_type: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Encode and decode."""
    body = encode_answer(media_type, array, name="samples", facts={"cycle": 1})
    headers = answer_headers(media_type, array.shape)
    return decode_answer(f"{media_type}; charset=utf-8", body, headers, "samples")


@pytest.mark.parametrize("media_type", ARRAY_ANSWERS)
@given(array=hnp.arrays(np.float64, ROWS))
def test_round_trips(media_type: str, array: np.ndarray[Any, Any]) -> None:
    for view in (array, array.T, array[::-1, ::2]):
        back = round_trip(media_type, view)
        assert back.shape == view.shape
        if media_type == JSON:
            # JSON has neither NaN nor infinity; both are null, which is NaN.
            view = np.where(np.isfinite(view), view, np.nan)
        np.testing.assert_array_equal(back, view)
        # array_equal takes -0 for 0, a round trip does not.
        known = ~np.isnan(view)
        assert np.array_equal(np.signbit(back[known]), np.signbit(view[known]))


@pytest.mark.parametrize("media_type", ARRAY_ANSWERS)
def test_blocks_are_joined_without_a_seam(media_type: str) -> None:
    array = np.random.default_rng(1).standard_normal((2 * BLOCK // 3 + 5, 4))
    np.testing.assert_array_equal(round_trip(media_type, array), array)


@pytest.mark.parametrize("media_type", [NPY, RAW])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_arrays(media_type: str, shape: tuple[int, int]) -> None:
    assert round_trip(media_type, np.empty(shape)).shape == shape


def test_json_of_empty_arrays_is_json() -> None:
    for rows, text in ((0, []), (2, [[], []])):
        body = encode_answer(JSON, np.empty((rows, 0)), name="samples", facts={})
        assert orjson.loads(body) == {"samples": text}


def test_json_says_the_facts_and_nothing_twice() -> None:
    facts = {"cycle": 3, "diagnostics": {"b": 1, "a": [None, 2.5]}}
    body = encode_answer(JSON, np.array([[1.0, np.nan]]), name="samples", facts=facts)
    assert body == (
        b'{"samples":[[1.0,null]],"cycle":3,"diagnostics":{"a":[null,2.5],"b":1}}'
    )


@given(
    st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=2, max_size=2)
)
def test_names_are_quoted_where_they_must_be(names: list[str]) -> None:
    body = encode_answer(CSV, np.ones((1, 2)), name="", facts={}, columns=names)
    rows = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert rows == [names, ["1.0", "1.0"]]


def test_a_raw_answer_that_does_not_fit_its_shape() -> None:
    for sizes in ("2,2", "x", ""):
        with pytest.raises(InvalidArrayError):
            decode_answer(RAW, bytes(24), {"Ccdm-Shape": sizes}, "samples")
    with pytest.raises(InvalidArrayError):
        decode_answer("text/html", b"<p>", {}, "samples")
