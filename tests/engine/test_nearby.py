"""Neighbours found by a tree are those that all distances would tell."""

from __future__ import annotations

import numpy as np
import pytest

from ccdm_engine.nearby import surroundings


@pytest.mark.parametrize("period", [(0.0, 0.0), (10.0, 0.0), (10.0, 7.0)])
def test_neighbours_are_those_of_all_distances(period: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    places, here = rng.uniform(-20, 20, (80, 2)), rng.uniform(-20, 20, (30, 2))
    gaps = np.abs(here[:, None] - places)
    for axis, length in enumerate(period):
        if length:
            gaps[..., axis] %= length
            gaps[..., axis] = np.minimum(gaps[..., axis], length - gaps[..., axis])
    distance = np.sqrt(np.sum(gaps**2, axis=-1))
    near = surroundings(places, 3.0, np.array(period)).near(here)
    for k, row in enumerate(distance):
        inside = np.isfinite(near.distance[k])
        assert set(near.index[k, inside]) == set(np.flatnonzero(row < 3.0))
        assert np.allclose(near.distance[k, inside], np.sort(row[row < 3.0]))
        assert np.all(np.diff(near.distance[k, inside]) >= 0)


def test_only_the_nearest_are_kept_and_nothing_may_be_in_reach() -> None:
    around = surroundings(np.arange(10.0)[:, None], 3.5, np.zeros(1))
    near = around.near(np.array([[4.2], [100.0]]), most=2)
    assert np.array_equal(near.index[0], [4, 5])
    assert not np.isfinite(near.distance[1]).any()


def test_a_place_just_below_zero_is_on_the_ring() -> None:
    around = surroundings(np.array([[0.0], [5.0]]), 1.0, np.array([10.0]))
    near = around.near(np.array([[-1e-18], [10.0], [1e6]]))
    assert np.array_equal(near.index[:, 0], [0, 0, 0])
    assert np.all(near.distance[:, 0] < 1e-9)
