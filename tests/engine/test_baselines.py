"""What every baseline promises, whatever its method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ccdm_engine import Analysis, AnalysisOptions
from ccdm_engine.baselines import enkf, enkf_r, letkf, sir, sir_plain
from ccdm_engine.errors import NonFiniteError, OptionsError, TooFewMembersError

METHODS = [enkf, enkf_r, letkf, sir, sir_plain]
MOVES_MEMBERS = [enkf, enkf_r, letkf]
KNOWS_ERROR = [enkf_r, letkf, sir, sir_plain]
OPTIONS = AnalysisOptions(measurement_error=(0.5, 2.0, 1.0))

Method = Callable[..., Analysis]


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    states = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 4))
    return states, states[:, :3] * [1.0, 2.0, -1.0], np.array([0.3, -0.2, 0.6])


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bytes(method, pairs):
    one, two = (method(*pairs, options=OPTIONS, seed=5) for _ in range(2))
    assert one.samples.tobytes() == two.samples.tobytes()
    assert one.samples.shape == (30, 4)
    assert one.samples.flags.c_contiguous
    assert one.diagnostics == two.diagnostics


@pytest.mark.parametrize("method", METHODS)
def test_a_drawn_seed_reproduces_the_analysis(method, pairs):
    first = method(*pairs, options=OPTIONS)
    again = method(*pairs, options=OPTIONS, seed=first.diagnostics.seed)
    assert first.samples.tobytes() == again.samples.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_measurement_is_left_out(method, pairs):
    states, simulated, observed = pairs
    gap = np.array([observed[0], np.nan, observed[2]])
    found = method(states, simulated, gap, options=OPTIONS, seed=1)
    assert found.diagnostics.observation_status == (
        "assimilated",
        "missing",
        "assimilated",
    )
    # What stands in the column must not matter, not even NaN.
    other = simulated.copy()
    other[:, 1] = np.nan
    same = method(states, other, gap, options=OPTIONS, seed=1)
    assert found.samples.tobytes() == same.samples.tobytes()
    seen = method(states, simulated, observed, options=OPTIONS, seed=1)
    assert not np.allclose(seen.samples, found.samples)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("empty", ["all missing", "no column"])
def test_nothing_observed_returns_the_forecast(method, pairs, empty):
    states, simulated, observed = pairs
    observed = np.full(3, np.nan) if empty == "all missing" else observed[:0]
    simulated = simulated if empty == "all missing" else simulated[:, :0]
    options = AnalysisOptions(measurement_error=1.0, inflation=1.5)
    found = method(states, simulated, observed, options=options, seed=1)
    np.testing.assert_array_equal(found.samples, states)
    assert found.diagnostics.status == "unchanged"
    assert found.diagnostics.reason == "nothing was observed"


@pytest.mark.parametrize("method", METHODS)
def test_failed_members_follow_the_policy(method, pairs):
    states, simulated, observed = pairs
    broken = states.copy()
    broken[[4, 9], 1] = np.nan
    with pytest.raises(NonFiniteError):
        method(broken, simulated, observed, options=OPTIONS, seed=1)
    drop = replace(OPTIONS, failed_members="drop")
    dropped = method(broken, simulated, observed, options=drop, seed=1)
    assert dropped.samples.shape == (28, 4)
    assert [f["member"] for f in dropped.diagnostics.members_failed] == [4, 9]
    refill = replace(OPTIONS, failed_members="refill")
    filled = method(broken, simulated, observed, options=refill, seed=1)
    assert filled.samples.shape == (30, 4)
    assert np.isfinite(filled.samples).all()


@pytest.mark.parametrize("method", MOVES_MEMBERS)
def test_refilling_leaves_the_working_members_where_they_were(method, pairs):
    states, simulated, observed = pairs
    broken = states.copy()
    broken[[0, 9], 1] = np.inf
    drop = replace(OPTIONS, failed_members="drop")
    refill = replace(OPTIONS, failed_members="refill")
    dropped = method(broken, simulated, observed, options=drop, seed=1)
    filled = method(broken, simulated, observed, options=refill, seed=1)
    used = list(filled.diagnostics.members_used)
    np.testing.assert_array_equal(filled.samples[used], dropped.samples)


@pytest.mark.parametrize("method", METHODS)
def test_inflation_of_one_is_the_identity(method, pairs):
    plain = method(*pairs, options=OPTIONS, seed=2).samples
    one = method(*pairs, options=replace(OPTIONS, inflation=1.0), seed=2).samples
    wide = method(*pairs, options=replace(OPTIONS, inflation=1.5), seed=2).samples
    assert plain.tobytes() == one.tobytes()
    np.testing.assert_allclose(wide.mean(axis=0), plain.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(
        wide - wide.mean(axis=0), 1.5 * (plain - plain.mean(axis=0)), atol=1e-12
    )


@pytest.mark.parametrize("method", METHODS)
def test_units_do_not_matter(method, pairs):
    states, simulated, observed = pairs
    x_units, y_units = np.array([1e-6, 1.0, 1e4, 1e9]), np.array([1e-8, 1e5, 1.0])
    shift = np.array([3.0, -7.0, 11.0])
    options = replace(OPTIONS, measurement_error=tuple(y_units * [0.5, 2.0, 1.0]))
    plain = method(states, simulated, observed, options=OPTIONS, seed=2).samples
    scaled = method(
        states * x_units,
        (simulated + shift) * y_units,
        (observed + shift) * y_units,
        options=options,
        seed=2,
    ).samples
    np.testing.assert_allclose(scaled / x_units, plain, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", KNOWS_ERROR)
@pytest.mark.parametrize("error", [None, 0.0, (1.0, 0.0, 1.0)])
def test_methods_that_know_r_insist_on_it(method, pairs, error):
    with pytest.raises(OptionsError, match="measurement_error"):
        method(*pairs, options=AnalysisOptions(measurement_error=error))


@pytest.mark.parametrize("method", METHODS)
def test_bad_calls_are_refused(method, pairs):
    states, simulated, observed = pairs
    with pytest.raises(TooFewMembersError):
        method(states[:1], simulated[:1], observed, options=OPTIONS)
    for seed in (-1, 2**63, 1.5, True):
        with pytest.raises(OptionsError, match="seed"):
            method(*pairs, options=OPTIONS, seed=seed)


@pytest.mark.parametrize("method", MOVES_MEMBERS)
def test_a_method_that_moves_members_makes_no_new_ones(method, pairs):
    with pytest.raises(OptionsError, match="n_samples"):
        method(*pairs, options=replace(OPTIONS, n_samples=7))
    kept = method(*pairs, options=replace(OPTIONS, n_samples=30), seed=0)
    assert kept.samples.shape == (30, 4)


@pytest.mark.parametrize("method", METHODS)
def test_two_members_and_a_far_observation_stay_finite(method):
    states = np.array([[0.0, 1.0], [1.0, 1.0]])
    options = AnalysisOptions(measurement_error=1e-3)
    found = method(states, states[:, :1], [1e6], options=options, seed=0)
    assert np.isfinite(found.samples).all()
    # The second variable is constant: no update may touch it.
    np.testing.assert_allclose(found.samples[:, 1], 1.0)
