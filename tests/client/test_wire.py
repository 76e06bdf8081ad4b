"""What goes over the wire comes back as it was, or is refused with a reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.client import UnexpectedReplyError, UsageError
from service.client.messages import Reply
from service.client.results import analysis_result
from service.client.wire import form, json, options_dict, read_npy, read_timing
from service.media.bodies import decode_body
from service.media.npy import encode_npy
from service.media.types import parse_media_type


def sent(values: Any) -> Any:
    """An array after its way through the body of a request."""
    content_type, body = form({"observation": values}, {})
    read = decode_body(parse_media_type(content_type), body, ["observation"])
    return read.arrays["observation"]


@given(
    arrays.arrays(
        dtype=st.sampled_from(["<f8", "<f4", ">f8", "<i4", "<i8", "<u2"]),
        shape=arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5),
    )
)
def test_every_number_arrives(array: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(sent(array), array.astype(np.float64))


def test_views_in_any_order_arrive() -> None:
    block = np.arange(24.0).reshape(4, 6)
    for view in (block.T, block[::2, ::-3], np.asfortranarray(block), block[:0]):
        np.testing.assert_array_equal(sent(view), view)


def test_none_and_nan_are_missing_observations() -> None:
    np.testing.assert_array_equal(sent([1.0, None, 3]), [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(sent([np.nan, 2.0]), [np.nan, 2.0])


@pytest.mark.parametrize(
    "values",
    [[True, False], ["1", "2"], [[1.0], [2.0, 3.0]], [1j], object, [{}], b"12"],
    ids=repr,
)
def test_what_is_no_number_is_refused_by_name(values: Any) -> None:
    with pytest.raises(UsageError, match="observation"):
        form({"observation": values}, {})


def test_infinite_bandwidths_and_numpy_values_have_a_json_form() -> None:
    options = {
        "measurement_bandwidth": math.inf,
        "n_samples": np.int64(7),
        "shrink": np.bool_(True),
        "measurement_error": np.array([1.0, 2.0]),
    }
    assert orjson.loads(json({"options": options})) == {
        "options": {
            "measurement_bandwidth": "inf",
            "n_samples": 7,
            "shrink": True,
            "measurement_error": [1.0, 2.0],
        }
    }


def test_options_may_be_a_mapping_or_know_their_own_form() -> None:
    class Own:
        def to_dict(self) -> dict[str, Any]:
            return {"sampler": "exact"}

    assert options_dict(Own()) == options_dict({"sampler": "exact"})
    with pytest.raises(UsageError, match="options: got int"):
        options_dict(3)


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be sent as JSON"):
        json({"options": object()})


def test_samples_in_json_come_back_bit_for_bit() -> None:
    samples = np.random.default_rng(0).standard_normal((50, 3)) * [1e-300, 1.0, 1e300]
    body = orjson.dumps(
        {"analysis_samples": samples, "diagnostics": {}},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    assert analysis_result(Reply(200, {}, body)).samples.tobytes() == samples.tobytes()


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"analysis_samples": 3}', b'{"analysis_samples": [[1], [2, 3]]}'],
)
def test_an_answer_without_samples_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(UnexpectedReplyError):
        analysis_result(Reply(200, {}, body))


def test_an_answer_of_another_server_is_told_apart() -> None:
    page = Reply(200, {"content-type": "text/html"}, b"<html>Welcome</html>")
    with pytest.raises(UnexpectedReplyError, match=r"text/html.*Welcome"):
        analysis_result(page)
    with pytest.raises(UnexpectedReplyError, match="is the address right"):
        read_npy(page)
    with pytest.raises(UnexpectedReplyError):
        analysis_result(Reply(302, {"location": "/login"}, b""))


def test_a_cut_npy_answer_is_refused() -> None:
    whole = encode_npy(np.zeros((3, 2)))
    assert read_npy(Reply(200, {}, whole)).shape == (3, 2)
    with pytest.raises(UnexpectedReplyError):
        read_npy(Reply(200, {}, whole[:-8]))


def test_server_timing_is_read_in_seconds() -> None:
    headers = {"server-timing": 'queue;dur=0.5, compute;desc="x";dur=1200, cache'}
    assert read_timing(Reply(200, headers, b"")) == {"queue": 0.0005, "compute": 1.2}
    assert read_timing(Reply(200, {}, b"")) == {}
