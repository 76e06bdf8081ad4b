"""Noise levels: exact ends, always downwards, spaced as their processes say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdm_engine.schedules import SCHEDULES, way

NAMES = sorted(SCHEDULES)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    smallest=st.floats(1e-9, 1e6),
    ratio=st.floats(1.01, 1e9),
    steps=st.integers(1, 200),
)
def test_levels_fall_from_one_end_to_the_other_exactly(
    name: str, smallest: float, ratio: float, steps: int
) -> None:
    levels = SCHEDULES[name](smallest, smallest * ratio, steps)
    assert levels.shape == (steps + 1,)
    assert levels[0] == smallest * ratio
    assert levels[-1] == smallest
    assert np.all(np.diff(levels) < 0)


def test_variance_exploding_levels_are_uniform_in_log() -> None:
    levels = SCHEDULES["ve"](0.01, 5.0, 17)
    assert np.allclose(np.diff(np.log(levels)), np.log(0.01 / 5.0) / 17)


@pytest.mark.parametrize("name", NAMES)
def test_more_steps_leave_smaller_gaps(name: str) -> None:
    widest = [
        np.max(-np.diff(np.log(SCHEDULES[name](0.05, 8.0, steps))))
        for steps in (5, 10, 20, 40, 80)
    ]
    assert np.all(np.diff(widest) < 0)
    assert widest[-1] < 0.5


def test_the_two_schedules_are_different_spacings() -> None:
    first, second = (SCHEDULES[name](0.05, 8.0, 20) for name in NAMES)
    assert np.max(np.abs(np.log(first / second))) > 0.1


@pytest.mark.parametrize("ratio", [2.0, 50.0, 1e4, 1e9])
@pytest.mark.parametrize("spread", [1e-2, 1.0, 30.0])
def test_steps_are_even_along_the_way(ratio: float, spread: float) -> None:
    """What the default sampler takes: contracted where noise hides the ensemble."""
    for steps in (6, 17, 60):
        levels = SCHEDULES["ve"](0.05, 0.05 * ratio, steps, spread)
        assert levels[0] == 0.05 * ratio and levels[-1] == 0.05
        passed = -np.diff(way(levels, spread))
        assert np.max(np.abs(passed / passed.mean() - 1.0)) < 0.08
