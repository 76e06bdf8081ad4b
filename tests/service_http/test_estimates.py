"""Estimates decide where an analysis runs; they err by a factor of a few at most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.compute import SMALL_BYTES, SMALL_SECONDS
from service.compute.estimates import estimated_bytes, estimated_seconds


def seconds(members: int, dx: int, dy: int, **options: Any) -> float:
    """Estimated time."""
    return estimated_seconds(np.empty((members, dx)), np.empty((members, dy)), options)


def memory(members: int, dx: int, dy: int, **options: Any) -> int:
    """Estimated memory."""
    return estimated_bytes(np.empty((members, dx)), np.empty((members, dy)), options)


def test_everyday_analyses_stay_in_threads() -> None:
    for members, dx, dy in ((50, 3, 1), (100, 40, 20), (250, 3, 3), (20, 400, 50)):
        assert seconds(members, dx, dy) < SMALL_SECONDS
        assert memory(members, dx, dy) < SMALL_BYTES


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3000, 200, 50), {}),
        ((1000, 3, 1), {"sampler": "rk45"}),
        ((100, 3, 1), {"n_samples": 100_000}),
        ((100, 3, 1), {"steps": 10_000}),
        ((20, 20_000, 2000), {}),
        ((2000, 2000, 1), {"preconditioner": "none"}),
    ],
)
def test_whatever_may_take_long_can_be_killed(
    shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    assert seconds(*shape, **options) > SMALL_SECONDS


def test_a_small_body_with_a_large_regression_is_seen_through() -> None:
    # Twenty members fit into a tenth of a body; states times measurements do not.
    assert memory(20, 100_000, 20_000) > 2**35
    assert memory(2, 10_000, 1, n_samples=100_000) > 2**33


def test_shapes_that_the_engine_will_refuse_cost_nothing() -> None:
    flat = np.empty(10**6)
    assert estimated_seconds(flat, flat, {}) < SMALL_SECONDS
    assert estimated_bytes(flat, flat, {}) < SMALL_BYTES
