"""The record codec gives back what it was given, or says that it cannot."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.stores import StoreCorrupt
from service.stores.codec import (
    HEADER_BYTES,
    _written,
    pack_array,
    pack_document,
    seal,
    unpack_array,
    unpack_document,
    unseal,
)
from service.stores.places import place

# A busy machine is no reason to fail.
QUIET = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@QUIET
@given(payload=st.binary(max_size=2000), compress=st.booleans())
def test_frames_come_back(payload: bytes, compress: bool) -> None:
    frame = seal(payload * 3, "place", compress=compress)
    assert bytes(unseal(frame, "place")) == payload * 3


@QUIET
@given(
    payload=st.binary(min_size=1, max_size=1500),
    compress=st.booleans(),
    data=st.data(),
)
def test_no_flipped_bit_passes(
    payload: bytes, compress: bool, data: st.DataObject
) -> None:
    frame = bytearray(seal(payload, "place", compress=compress))
    at = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[at // 8] ^= 1 << at % 8
    with pytest.raises(StoreCorrupt):
        unseal(bytes(frame), "place")


def test_every_byte_of_a_frame_is_protected() -> None:
    frame = seal(b"payload", "place")
    for at in range(len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 0xFF
        with pytest.raises(StoreCorrupt):
            unseal(bytes(damaged), "place")


def test_no_piece_may_be_missing_or_added() -> None:
    frame = seal(bytes(5000), "place", compress=False)
    for cut in (0, 1, HEADER_BYTES - 1, HEADER_BYTES, len(frame) - 1):
        with pytest.raises(StoreCorrupt):
            unseal(frame[:cut], "place")
    with pytest.raises(StoreCorrupt):
        unseal(frame + b"\0", "place")


def test_a_frame_belongs_to_its_place() -> None:
    frame = seal(b"payload", "tenant/session/analysis/1")
    with pytest.raises(StoreCorrupt):
        unseal(frame, "tenant/session/analysis/2")


def test_no_two_places_have_one_name() -> None:
    names = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "b"),
        ("b", "a"),
        ("a%2Fb", "c"),
        ("", ""),
    ]
    assert len({place(tenant, sid, "meta") for tenant, sid in names}) == len(names)


def test_an_unknown_format_is_named() -> None:
    frame = bytearray(seal(b"payload", "place"))
    frame[4] = 9
    with pytest.raises(StoreCorrupt, match="format 9, known is 1"):
        unseal(bytes(frame), "place")


@pytest.mark.parametrize("size", [1, 3000])
def test_documents_are_the_same_text_in_one_go_and_block_by_block(size: int) -> None:
    document = {
        "b": {"deep": {"deeper": {"c": list(range(size)), "a": "ü"}}, "": []},
        "a": [1.5, None, {"z": 1, "y": [True]}],
        "long": list(range(size)),
    }
    plain = json.dumps(
        document, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    assert pack_document(document) == plain.encode()
    assert "".join(_written(document, 3)) == plain


def test_long_documents_shrink_and_arrays_do_not() -> None:
    text = pack_document({"members_used": list(range(5000))})
    assert len(seal(text, "place", compress=True)) < len(text) / 2
    assert len(seal(text, "place")) == len(text) + HEADER_BYTES


@QUIET
@given(document=st.dictionaries(st.text(), JSON))
def test_documents_come_back(document: dict[str, object]) -> None:
    assert unpack_document(pack_document(document)) == document


def test_documents_do_not_depend_on_order() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert pack_document(one) == pack_document(other)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_documents_hold_no_number_that_json_lacks(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        pack_document({"number": number})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(4, 3),
        np.asfortranarray(np.arange(12.0).reshape(4, 3)),
        np.arange(24.0).reshape(4, 6)[:, ::2],
        np.arange(12, dtype=">f8").reshape(4, 3),
        np.arange(12, dtype=np.int64).reshape(4, 3),
        np.empty((0, 3)),
        np.empty((3, 0)),
        np.array([[math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308]]),
    ],
    ids=repr,
)
def test_arrays_come_back_bit_for_bit(array: np.ndarray) -> None:
    found = unpack_array(unseal(seal(pack_array(array), "place"), "place"))
    plain = np.asarray(array, dtype=np.float64, order="C")
    assert found.shape == plain.shape
    assert found.dtype == np.float64
    assert found.tobytes() == plain.tobytes()
    assert found.flags.aligned
    assert not found.flags.writeable


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not an array at all",
        pack_array(np.zeros((4, 3)))[:-8],
        pack_array(np.zeros((4, 3)))[:-3],
    ],
)
def test_what_is_not_an_array_is_refused(payload: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        unpack_array(payload)


def test_an_array_of_another_kind_is_refused() -> None:
    text = pack_array(np.zeros((4, 3))).replace(b"'<f8'", b"'<i8'")
    with pytest.raises(StoreCorrupt, match="float64"):
        unpack_array(text)
