"""The same request is recognised however it was sent, and no other one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.sessions.creation import new_sid
from service.sessions.requests import cycle_seed, digest
from tests.support.analyses import forecast


def test_layout_and_kind_of_numbers_do_not_matter() -> None:
    x, y, o = np.arange(12.0).reshape(4, 3), np.arange(8.0).reshape(4, 2), np.ones(2)
    same = [
        (np.asfortranarray(x), y, o),
        (x.astype(">f8"), y.astype(np.float32), o.astype(int)),
        (np.repeat(x, 2, axis=0)[::2], y, o),
    ]
    assert {digest(*arrays, {}) for arrays in same} == {digest(x, y, o, {})}


def test_any_missing_value_is_the_same_missing_value() -> None:
    x, y, o = forecast(1)
    o[0] = np.nan
    other = o.copy()
    other.view(np.uint64)[0] = 0xFFF8_0000_0000_1234
    assert np.isnan(other[0])
    assert digest(x, y, o, {}) == digest(x, y, other, {})
    assert digest(x, y, o, {}) != digest(x, y, np.nan_to_num(o), {})


def test_order_of_options_does_not_matter_and_their_values_do() -> None:
    arrays = forecast(1)
    assert digest(*arrays, {"a": 1, "b": 2}) == digest(*arrays, {"b": 2, "a": 1})
    seen = [{}, {"a": 1}, {"a": 2}, {"a": "1"}, {"a": None}, {"b": 1}]
    assert len({digest(*arrays, options) for options in seen}) == len(seen)


def test_shapes_matter_where_bytes_agree() -> None:
    flat = np.arange(12.0)
    o = np.ones(2)
    shapes = [((6, 1), (3, 2)), ((3, 2), (6, 1)), ((2, 3), (2, 3)), ((2, 3), (3, 2))]
    marks = {digest(flat[:6].reshape(a), flat[6:].reshape(b), o, {}) for a, b in shapes}
    assert len(marks) == len(shapes)
    # Bytes may not wander from one array to the next.
    assert digest(flat[:6], flat[6:], o, {}) != digest(flat[:7], flat[7:], o, {})


def test_the_digest_of_old_cycles_stays_what_it_was() -> None:
    x, y, o = np.arange(6.0).reshape(2, 3), np.ones((2, 1)), np.array([np.nan])
    assert digest(x, y, o, {"steps": 8}) == (
        "1aac54b7c228d32b77c8efa499ecd6ca30c13baa2ea3209976f83f03f6a89e36"
    )


def test_seeds_of_old_cycles_stay_what_they_were() -> None:
    assert [cycle_seed(5, k) for k in (1, 2, 3)] == [
        3381174520779030,
        842499660180124,
        6459962269487456,
    ]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), cycle=st.integers(1, 10**9))
def test_seeds_fit_into_a_double(seed: int, cycle: int) -> None:
    found = cycle_seed(seed, cycle)
    assert found == int(float(found)) < 2**53
    assert found != cycle_seed(seed, cycle + 1)


@pytest.mark.parametrize("now", [0.0, 1.7e9, 4e9])
def test_names_sort_by_time_and_differ(now: float) -> None:
    early, late = [new_sid(now) for _ in range(50)], new_sid(now + 0.002)
    assert len(set(early)) == 50
    assert max(early) < late
    assert all(len(name) == 26 and name.isalnum() for name in early)
