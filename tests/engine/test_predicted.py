"""What was predicted of the measurements is recomputed from what the caller has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, Predicted, assimilate
from ccdm_engine.predicted import LEVELS, MOST_DESCRIBED
from ccdm_engine.scores import rank_histogram
from tests.engine.ensembles import Triple, gaussian

# Bandwidths that are given need no search.
QUICK: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 0.5,
    "sampler": "exact",
}


def predicted(triple: Triple, seed: int = 3, **fields: Any) -> Predicted:
    facts = assimilate(*triple, options=AnalysisOptions(**fields), seed=seed)
    assert facts.diagnostics.predicted is not None
    return facts.diagnostics.predicted


def test_quantiles_moments_and_ranks_are_recomputed() -> None:
    _, simulated, observation = triple = gaussian(60, 3, 2)
    found = predicted(triple)
    assert found.index == (0, 1) and found.quantile_levels == LEVELS
    assert found.observation == tuple(observation)
    expected = np.quantile(simulated, LEVELS, axis=0).T
    assert np.allclose(found.quantiles, expected, rtol=1e-12)
    assert np.allclose(found.mean, simulated.mean(axis=0), rtol=1e-12)
    assert np.allclose(found.std, simulated.std(axis=0, ddof=1), rtol=1e-12)
    assert found.rank == tuple(np.sum(simulated < observation, axis=0))


def test_missing_measurements_and_failed_members_are_left_out() -> None:
    states, simulated, observation = gaussian(60, 3, 3)
    observation[1] = np.nan
    states[7] = np.nan
    found = predicted(Triple(states, simulated, observation), failed_members="drop")
    used = np.delete(np.arange(60), 7)
    assert found.index == (0, 2)
    middle = np.quantile(simulated[used][:, [0, 2]], 0.5, axis=0)
    assert np.allclose([row[2] for row in found.quantiles], middle, rtol=1e-12)
    assert max(found.rank) <= used.size


def test_of_many_measurements_a_hundred_are_described() -> None:
    rng = np.random.default_rng(5)
    states = rng.standard_normal((20, 2))
    simulated = rng.standard_normal((20, 1234))
    triple = Triple(states, simulated, rng.standard_normal(1234))
    found = predicted(triple, preconditioner="none")
    assert len(found.index) == len(found.rank) == len(found.quantiles) == MOST_DESCRIBED
    assert found.index[0] == 0 and found.index[-1] == 1233
    gaps = np.diff(found.index)
    assert gaps.min() >= 12 and gaps.max() <= 13
    assert found.rank[50] == np.sum(
        simulated[:, found.index[50]] < found.observation[50]
    )


def test_noise_that_the_engine_adds_belongs_to_the_prediction() -> None:
    states = np.random.default_rng(6).standard_normal((4000, 1))
    found = predicted(Triple(states, states, np.zeros(1)), measurement_error=2.0)
    # A standard deviation has a standard error of std / sqrt(2 N).
    assert found.std[0] == pytest.approx(np.sqrt(5), abs=5 * np.sqrt(5 / 8000))


def test_ties_are_broken_evenly_and_reproducibly() -> None:
    states = np.random.default_rng(7).standard_normal((9, 1))
    simulated = np.repeat([[0.0], [1.0], [2.0]], 3, axis=0)
    triple = Triple(states, simulated, np.array([1.0]))
    found = [predicted(triple, seed, **QUICK).rank[0] for seed in range(400)]
    assert found == [predicted(triple, seed, **QUICK).rank[0] for seed in range(400)]
    counts = np.bincount(found, minlength=10)
    assert counts[3:7].sum() == 400
    # Chi-square with 3 degrees of freedom exceeds 21.1 once in 10 000 times.
    assert np.sum((counts[3:7] - 100) ** 2 / 100) < 21.1


def test_ranks_of_a_calibrated_ensemble_are_flat_and_of_a_narrow_one_are_not() -> None:
    """False alarms: once in 1000 runs, and the seeds are fixed."""
    rng = np.random.default_rng(8)
    draws = rng.standard_normal((400, 10))
    p_values = []
    for width in (1.0, 0.5):
        found = []
        for row in draws:
            simulated = width * row[:9, None]
            triple = Triple(row[:9, None] + 0.0, simulated, row[9:])
            found += predicted(triple, **QUICK).rank
        p_values.append(rank_histogram(found, 9).p_value)
    assert p_values[0] > 1e-3 > p_values[1]


def test_extreme_units_neither_overflow_nor_vanish() -> None:
    states, simulated, observation = gaussian(30, 2, 2)
    for unit in (1e-290, 1e290):
        found = predicted(Triple(states, simulated * unit, observation * unit))
        assert np.allclose(
            np.array(found.std) / unit, simulated.std(axis=0, ddof=1), rtol=1e-9
        )
        assert np.isfinite(found.quantiles).all()


def test_nothing_is_predicted_of_what_was_not_observed() -> None:
    states, simulated, observation = gaussian(30, 2, 2)
    triple = Triple(states, simulated, np.full_like(observation, np.nan))
    assert assimilate(*triple, seed=1).diagnostics.predicted is None
