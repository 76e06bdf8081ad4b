"""Arrays in JSON: numbers, and nothing that merely looks like them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.media.errors import (
    BodyError,
    FieldError,
    InvalidArrayError,
    NotAcceptableError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from service.media.numbers import BLOCK, array_from_json

SHAPES = hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=6)


@given(hnp.arrays(np.float64, SHAPES, elements=st.floats(allow_infinity=False)))
def test_what_json_wrote_is_read_back(array: np.ndarray[Any, Any]) -> None:
    text = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    decoded = array_from_json(orjson.loads(text), "/x")
    # JSON has no NaN: it is written as null, and null is read as NaN.
    expected = np.where(np.isnan(array), np.nan, array)
    if array.size:
        assert decoded.tobytes() == expected.tobytes()
    assert decoded.shape == array.shape or array.shape[0] == 0


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ([[1.0], [True]], "/x/1/0", "type"),
        ([[1.0], ["2"]], "/x/1/0", "type"),
        ([1, 2, "3"], "/x/2", "type"),
        ([1, [2]], "/x/1", "type"),
        ([[1], 2], "/x/1", "type"),
        ([[1, 2], [3]], "/x/1", "ragged"),
        ([[1, 2], [3, [4]]], "/x/1/1", "type"),
        ([[[1]]], "/x/0/0", "type"),
        ({"0": 1}, "/x", "type"),
        ("12", "/x", "type"),
        (None, "/x", "type"),
        (1.5, "/x", "type"),
    ],
)
def test_refusals_point_at_the_place(value: Any, pointer: str, code: str) -> None:
    with pytest.raises(InvalidArrayError) as caught:
        array_from_json(value, "/x")
    assert caught.value.errors[0][:2] == (pointer, code)


def test_places_are_right_beyond_the_first_block() -> None:
    rows = [[0.0, 1.0] for _ in range(BLOCK)]
    np.testing.assert_array_equal(array_from_json(rows, "/x"), rows)
    rows[BLOCK - 3] = [0.0, False]
    with pytest.raises(InvalidArrayError) as caught:
        array_from_json(rows, "/x")
    assert caught.value.errors[0].pointer == f"/x/{BLOCK - 3}/1"
    rows[BLOCK - 3] = [0.0]
    with pytest.raises(InvalidArrayError) as caught:
        array_from_json(rows, "/x")
    assert caught.value.errors[0].pointer == f"/x/{BLOCK - 3}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_any_json_is_an_array_or_is_refused(value: Any) -> None:
    try:
        array = array_from_json(value, "/x")
    except BodyError as error:
        assert error.errors[0].pointer.startswith("/x")
    except OverflowError:
        # Integers beyond a double: parsers of JSON give them as floats or refuse.
        assert any(isinstance(item, int) for item in _leaves(value))
    else:
        assert array.dtype == np.float64 and array.ndim in (1, 2)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


@pytest.mark.parametrize(
    "error",
    [
        InvalidArrayError("a", FieldError("/x", "type", "b")),
        TooLargeError("a", "max_members", 5),
        NotAcceptableError("a", ("x/y",)),
        UnsupportedMediaTypeError("a", ("x/y",), ("H", "v")),
    ],
)
def test_errors_come_home_from_worker_processes(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and vars(back) == vars(error)
    assert str(back) == str(error)
