"""The cycle: separate randomness, fair access, and honest failure."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions
from ccdm_engine.analysis import Analysis
from ccdm_engine.baselines import enkf, letkf, sir
from ccdm_engine.errors import NumericalError, OptionsError
from ccdm_engine.twin.cycle import Method, run, steps, weather
from ccdm_engine.twin.experiments import EXPERIMENTS, find, names
from ccdm_engine.twin.reference import particles, toy_posterior

ENKF = Method("enkf", enkf)


def test_weather_depends_on_the_seed_alone():
    setting = find("L63_02")
    runs = [
        run(setting, method, members, 3, cycles=6)
        for method in (ENKF, Method("sir", sir, knows_error=True))
        for members in (10, 20)
    ]
    truth, observations = weather(setting, 3, cycles=6)
    for one in runs:
        np.testing.assert_array_equal(one.truth, truth)
        np.testing.assert_array_equal(one.observations, observations)
    other, _ = weather(setting, 4, cycles=6)
    assert not np.allclose(other, truth)


def test_weather_does_not_depend_on_how_far_it_is_followed():
    setting = find("L63_arctan")
    short, long = weather(setting, 1, cycles=5), weather(setting, 1, cycles=9)
    np.testing.assert_array_equal(short[0], long[0][:5])
    np.testing.assert_array_equal(short[1], long[1][:5])


def test_two_methods_meet_the_same_first_forecast():
    setting = find("L63_03")
    letkf_step = next(steps(setting, Method("l", letkf, knows_error=True), 12, 0))
    enkf_step = next(steps(setting, ENKF, 12, 0))
    np.testing.assert_array_equal(letkf_step.forecast, enkf_step.forecast)


def test_streams_of_randomness_are_apart():
    # Correlations of draws that must be independent: five standard errors.
    resting = replace(
        find("L63_02"), model=np.copy, error=1.0, process_noise=1.0, truth_noise=1.0
    )
    truth, observations = weather(resting, 7, cycles=4000)
    steps_taken, errors = np.diff(truth, axis=0), observations - truth
    for lag in range(4):
        # A shared stream would show at the lag by which the truth is ahead in it.
        here, there = steps_taken[: 3000 - lag], errors[lag:3000]
        found = np.corrcoef(here.ravel(), there.ravel())[0, 1]
        assert abs(found) < 5 / math.sqrt(here.size)

    seen = []

    def spy(states, simulated, observation, *, options, seed) -> Analysis:
        seen.append((states, simulated - states))
        return enkf(states, simulated[:, :0], np.empty(0))

    run(resting, Method("spy", spy), 4000, 7, cycles=2)
    (first, errors), (second, _) = seen
    for one, other in [(first, errors), (second - first, errors), (first, second)]:
        found = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        # The second forecast is the first (variance 2) plus noise (variance 1).
        expected = math.sqrt(2 / 3) if other is second else 0.0
        assert abs(found - expected) < 5 / math.sqrt(12_000)


@pytest.mark.parametrize("knows", [True, False])
def test_only_who_knows_r_sees_measurements_without_noise(knows):
    setting, seen = find("L63_02"), []

    def spy(states, simulated, observation, *, options, seed) -> Analysis:
        seen.append((states, simulated, options.measurement_error))
        return enkf(states, simulated, observation)

    run(setting, Method("spy", spy, knows_error=knows), 4000, 0, cycles=1)
    states, simulated, declared = seen[0]
    noise = simulated - setting.observe(states)
    if knows:
        assert not noise.any()
        assert declared == setting.error
    else:
        # Five standard errors of a standard deviation over 12000 draws.
        assert declared is None
        assert noise.std() == pytest.approx(setting.error, rel=5 / math.sqrt(24_000))


def test_a_run_is_reproducible_and_scores_every_cycle():
    ticks = itertools.count()
    setting = find("L63_02")
    one, two = (
        run(
            setting,
            ENKF,
            30,
            5,
            cycles=40,
            keep_ensembles=True,
            clock=lambda: float(next(ticks)),
        )
        for _ in range(2)
    )
    for name in ("rmse", "spread", "crps", "energy"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert np.isfinite(getattr(one, name)).all()
    np.testing.assert_array_equal(one.seconds, 1.0)
    assert one.ensembles is not None
    assert one.ensembles.shape == (40, 30, 3)
    assert one.ranks.min() >= 0
    assert one.ranks.max() <= 30
    assert one.burn_in == 20
    assert one.mean("crps") == pytest.approx(one.crps[20:].mean())
    error = one.ensembles.mean(axis=1) - one.truth
    np.testing.assert_allclose(one.rmse, np.sqrt(np.mean(error**2, axis=1)))


def test_a_breakdown_ends_the_run_and_says_so():
    calls = itertools.count()

    def fragile(states, simulated, observation, *, options, seed) -> Analysis:
        if next(calls) == 3:
            raise NumericalError("states", got="trouble", wanted="none")
        return enkf(states, simulated, observation)

    result = run(find("L63_02"), Method("fragile", fragile), 10, 0, cycles=8)
    assert result.failure is not None
    assert result.failure.startswith("NumericalError: states: got trouble")
    assert result.lost
    assert result.mean("rmse") == math.inf
    assert np.isfinite(result.rmse[:3]).all()
    assert np.isnan(result.rmse[3:]).all()
    assert np.all(result.ranks[3:] == -1)


@pytest.mark.parametrize("policy", ["error", "refill", "drop"])
def test_a_member_that_runs_away_counts_as_crashed(policy):
    setting = find("L63_02")

    def explosive(states: np.ndarray) -> np.ndarray:
        moved = setting.model(states)
        if states.shape[0] > 1:
            moved[0] = 1e200
        return moved

    method = Method("enkf", enkf, options=AnalysisOptions(failed_members=policy))
    result = run(
        replace(setting, model=explosive), method, 8, 0, cycles=3, keep_ensembles=True
    )
    if policy == "error":
        assert result.failure is not None
        assert "NonFiniteError" in result.failure
        return
    assert result.failure is None
    assert result.ensembles is not None
    used = np.isfinite(result.ensembles[:, :, 0]).sum(axis=1)
    assert used.tolist() == ([8, 8, 8] if policy == "refill" else [7, 6, 5])


def test_a_lost_run_is_told_from_a_good_one():
    setting = find("L63_02")

    def blind(states, simulated, observation, *, options, seed) -> Analysis:
        return enkf(states, simulated[:, :0], np.empty(0))

    free = run(setting, Method("free", blind), 20, 1)
    good = run(setting, Method("etkf", letkf, knows_error=True), 50, 1)
    assert free.lost
    assert not good.lost
    assert good.mean("crps") < 0.3 * free.mean("crps")


def test_localization_reaches_the_method_with_the_places_of_the_setting():
    setting = find("L96_01")
    places = Method("l", letkf, radius=3.0).options_for(setting).localization
    assert places is not None
    assert places.radius == 3.0
    taper = places.taper_xy()
    assert taper.shape == (40, 20)
    np.testing.assert_array_equal(taper[::2].diagonal(), 1.0)
    # A ring: the last variable is a neighbour of the first measurement.
    assert taper[39, 0] == pytest.approx(taper[1, 0])
    nowhere = Method("l", letkf, radius=3.0).options_for(find("L63_02"))
    assert nowhere.localization is None


@pytest.mark.parametrize("name", names())
def test_every_setting_is_whole_and_runs(name):
    setting = EXPERIMENTS[name]
    truth, observations = weather(setting, 0, cycles=4)
    assert truth.shape == (4, setting.state_dim)
    assert observations.shape == (4, setting.measurement_dim)
    assert setting.burn_in < setting.cycles
    assert min(setting.error, setting.interval, setting.lost_above) > 0
    if setting.period is not None:
        assert setting.measured_at is not None
        assert len(setting.measured_at) == setting.measurement_dim
    for expected in setting.expected:
        assert expected.value > 0
        assert expected.source
    result = run(setting, Method("etkf", letkf, knows_error=True), 25, 0, cycles=4)
    assert result.failure is None


def test_all_published_settings_are_there():
    published = {"TOY_01", "L63_01", "L63_02", "L63_03", "L96_01"}
    others = {"ramgraber2022", "sakov2012", "sakov2008", "spantini2019", "L63_abs"}
    assert published | others | {"L63_arctan", "L96_abs"} <= set(names())
    assert find("l63_03") is EXPERIMENTS["L63_03"]
    with pytest.raises(OptionsError, match="L63_03"):
        find("nonsense")


def test_toy_posterior_agrees_with_many_particles():
    # Shares of the two modes random-walk among particles, so compare within a mode:
    # |x| has a unimodal posterior. Five standard errors at the effective size of
    # the draws kept.
    setting = find("TOY_01")
    exact = toy_posterior(setting, 2, keep=2000, cycles=8)
    drawn = particles(setting, 2, size=40_000, keep=20_000, cycles=8)
    assert np.all(drawn.effective_sample_size > 5000)
    for k in range(8):
        grid, cloud = np.abs(exact.samples[k, :, 0]), np.abs(drawn.samples[k, :, 0])
        assert abs(grid.mean() - cloud.mean()) < 5 * grid.std() / math.sqrt(5000)
        assert grid.std() == pytest.approx(cloud.std(), rel=5 / math.sqrt(2 * 5000))
        assert abs(np.mean(exact.samples[k] > 0) - 0.5) < 1e-3


def test_a_particle_reference_needs_process_noise():
    with pytest.raises(OptionsError, match="process noise"):
        particles(find("ramgraber2022"), 0)
