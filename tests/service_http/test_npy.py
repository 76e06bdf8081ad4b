"""npy files: whatever NumPy writes is read back, and nothing else."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.media.errors import BodyError, InvalidArrayError
from service.media.npy import DTYPES, decode_npy, encode_npy
from tests.service_http.bad_bodies import LYING, header

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)
)
FLOATS = hnp.arrays(np.float64, SHAPES)


def saved(array: np.ndarray[Any, Any], **how: Any) -> bytes:
    """As NumPy itself saves it."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False, **how)
    return buffer.getvalue()


@given(ARRAYS, st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_reads_every_dtype_in_every_version(
    array: np.ndarray[Any, Any], version: tuple[int, int]
) -> None:
    decoded = decode_npy(saved(array, version=version), "/x")
    np.testing.assert_array_equal(decoded, array.astype(np.float64))
    assert decoded.dtype == np.float64 and decoded.shape == array.shape
    assert decoded.flags.c_contiguous and decoded.flags.writeable


@given(FLOATS)
def test_reads_fortran_order(array: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(
        decode_npy(saved(np.asfortranarray(array)), ""), array
    )


@given(FLOATS)
def test_writes_what_numpy_reads(array: np.ndarray[Any, Any]) -> None:
    for view in (array, array.T, array[::-1] if array.ndim else array):
        back = np.load(io.BytesIO(encode_npy(view)))
        assert back.tobytes() == np.ascontiguousarray(view).tobytes()
        assert back.shape == view.shape
        again = decode_npy(encode_npy(view), "")
        # Bit for bit, NaN with its sign and payload included.
        assert again.tobytes() == np.ascontiguousarray(view).tobytes()


def test_the_numbers_start_on_a_multiple_of_64() -> None:
    for shape in ((), (0,), (3,), (10**4, 1), (1, 2, 3, 4)):
        data = encode_npy(np.zeros(shape))
        assert (len(data) - 8 * int(np.prod(shape))) % 64 == 0


def test_a_column_major_array_is_our_row_major_one() -> None:
    columns = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3), }"
    as_rows = decode_npy(header(text, columns.tobytes(order="A")), "")
    np.testing.assert_array_equal(as_rows, columns.T)


@pytest.mark.parametrize(
    "text",
    [
        "{'shape': (2,), 'fortran_order': False, 'descr': '<f8'}",
        '{"descr": "<f8", "fortran_order": False, "shape": (2,)}\n',
        "{ 'descr' : '<f8' ,'fortran_order':False,'shape':( 2 , ) , }   \n",
    ],
)
def test_headers_of_other_writers(text: str) -> None:
    decoded = decode_npy(header(text, np.array([1.0, 2.0]).tobytes()), "")
    np.testing.assert_array_equal(decoded, [1, 2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{'descr': '<f8', 'fortran_order': False}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': [2]}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'more': True}",
        "{'descr': True, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1 1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 9 + ")}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1" * 250 + ")}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 2000 + "}",
        "{'descr': '" + "<" * 3000 + "'}",
    ],
)
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArrayError) as caught:
        decode_npy(header(text, np.array([1.0, 2.0]).tobytes()), "/states")
    assert caught.value.errors[0].pointer == "/states"


def test_a_lying_header_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArrayError, match="80000000000 bytes"):
            decode_npy(header(LYING, b"\0" * 40), "")
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300), st.integers(0, 200), FLOATS)
def test_any_other_bytes_are_refused_in_words(
    noise: bytes, place: int, array: np.ndarray[Any, Any]
) -> None:
    whole = encode_npy(array)
    for data in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            decode_npy(data, "/x")
        except BodyError as error:
            assert error.errors
