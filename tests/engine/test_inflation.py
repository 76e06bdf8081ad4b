"""Inflation and relaxation: exact at their neutral values, right at the others."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate, inflation, noise
from ccdm_engine.pairs import screen
from ccdm_engine.twin import cycle, experiments
from tests.engine.ensembles import gaussian

SHIFT: dict[str, Any] = {"preconditioner": "linear", "measurement_bandwidth": "inf"}


def test_neutral_values_are_identities() -> None:
    triple = gaussian()
    samples = triple.states + 1.0
    places = np.arange(samples.shape[0])
    assert inflation.multiplicative(samples, 1.0) is samples
    assert inflation.to_spread(samples, triple.states, 0.0) is samples
    assert inflation.to_perturbations(samples, triple.states, places, 0.0) is samples
    pairs, parts = apart(1.0, 0)
    assert inflation.widened(pairs, parts, 1.0) is pairs


@pytest.mark.parametrize("fields", [SHIFT, {"preconditioner": "none"}])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_spread_is_relaxed_variable_by_variable(fields: Any, share: float) -> None:
    triple = gaussian()
    plain = assimilate(*triple, options=fields, seed=1).samples
    options = fields | {"relaxation_to_spread": share}
    relaxed = assimilate(*triple, options=options, seed=1).samples
    before, after = triple.states.std(axis=0, ddof=1), plain.std(axis=0, ddof=1)
    expected = (1 - share) * after + share * before
    assert relaxed.std(axis=0, ddof=1) == pytest.approx(expected)
    assert relaxed.mean(axis=0) == pytest.approx(plain.mean(axis=0))


def test_deviations_are_relaxed_member_by_member() -> None:
    triple = gaussian()
    plain = assimilate(*triple, options=SHIFT, seed=1).samples
    options = SHIFT | {"relaxation_to_perturbations": 0.4}
    relaxed = assimilate(*triple, options=options, seed=1).samples
    before = triple.states - triple.states.mean(axis=0)
    mean = plain.mean(axis=0)
    assert np.allclose(relaxed, mean + 0.6 * (plain - mean) + 0.4 * before)


def test_a_row_that_is_no_member_does_not_change_the_members() -> None:
    """The last of N + 1 samples is drawn around the others: its spread is relaxed."""
    triple = gaussian()
    options = SHIFT | {"relaxation_to_perturbations": 0.4}
    members = assimilate(*triple, options=options, seed=1).samples
    more = options | {"n_samples": members.shape[0] + 1}
    extended = assimilate(*triple, options=more, seed=1).samples
    assert np.allclose(extended[:-1], members, rtol=1e-12)


def test_sampled_anew_there_is_a_spread_to_go_back_to_but_no_member() -> None:
    triple = gaussian()
    one, other = (
        assimilate(*triple, options={"preconditioner": "none", name: 0.4}, seed=1)
        for name in ("relaxation_to_perturbations", "relaxation_to_spread")
    )
    assert one.samples.tobytes() == other.samples.tobytes()


def apart(lambda_: float, seed: int) -> tuple[Any, Any]:
    """An ensemble ``lambda_`` times too narrow for 400 measurements with noise 0.5."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((50, 400)) / lambda_
    simulated = states + 0.5 * rng.standard_normal(states.shape)
    observed = rng.standard_normal(400) + 0.5 * rng.standard_normal(400)
    fitted = noise.Noise(states, 0.25 * np.eye(400))
    return screen(states, simulated, observed), fitted


@pytest.mark.parametrize("lambda_", [1.5, 3.0])
def test_the_factor_is_learned_from_the_innovations(lambda_: float) -> None:
    """The average over ensembles reaches the ratio of true to sample spread."""
    factor = 1.0
    for seed in range(60):
        factor = inflation.adapt(*apart(lambda_, seed), factor).learned
    # 50 members estimate their own spread to 10 %, 400 measurements d^2 to 7 %.
    assert factor == pytest.approx(lambda_, rel=0.1)


def test_an_ensemble_that_is_wide_enough_is_left_alone() -> None:
    applied, factor = [], 1.0
    for seed in range(40):
        factor, used = inflation.adapt(*apart(0.5, seed), factor)
        applied.append(used)
    assert applied == [1.0] * 40
    assert factor == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("copies", [1, 20, 100])
@pytest.mark.parametrize("states", [1, 3])
def test_a_calibrated_ensemble_is_seldom_widened(states: int, copies: int) -> None:
    """Measured many times, each state is still one: chance widens once in 1000.

    Of 600 cycles 0.6 are expected, with the spread of 50 members in doubt a few more;
    8 would be more than one in a hundred. What is learned stays near 1.
    """
    widened, factor, learned = 0, 1.0, []
    for seed in range(600):
        rng = np.random.default_rng([seed, states, copies])
        truth, members = rng.standard_normal(states), rng.standard_normal((50, states))
        exact = np.repeat(members, copies, axis=1)
        simulated = exact + 0.3 * rng.standard_normal(exact.shape)
        observed = np.repeat(truth, copies) + 0.3 * rng.standard_normal(exact.shape[1])
        parts = noise.Noise(exact, 0.09 * np.eye(exact.shape[1]))
        factor, applied = inflation.adapt(
            screen(members, simulated, observed), parts, factor
        )
        widened += applied > max(factor, 1.0)
        learned.append(factor)
    assert widened < 8
    assert np.mean(learned[200:]) == pytest.approx(1.0, abs=0.1)


def test_a_collapsed_ensemble_far_away_comes_back_step_by_step() -> None:
    """A thousandth as wide as it is away, and by no more than threefold at once."""
    rng = np.random.default_rng(1)
    ends = {}
    for rescue in ("auto", False):
        states = 5e-3 * rng.standard_normal((40, 3))
        for step in range(12):
            simulated = states + 0.1 * rng.standard_normal((40, 3))
            observed = 5.0 + 0.1 * rng.standard_normal(3)
            options = AnalysisOptions(rescue=rescue)  # type: ignore[arg-type]
            analysis = assimilate(
                states, simulated, observed, options=options, seed=step
            )
            codes = [advice.code for advice in analysis.diagnostics.warnings]
            assert step or ("ensemble-widened" in codes) is (rescue == "auto")
            assert analysis.diagnostics.forecast_inflation == 1.0
            before, states = states, analysis.samples
            # The spread bounds what a cycle may move the members by.
            assert np.ptp(states) < 40 * max(np.ptp(before), 1e-2)
        ends[rescue] = states.mean(axis=0)
    assert ends["auto"] == pytest.approx(np.full(3, 5.0), abs=0.3)
    assert np.all(ends[False] < 4.0)


def test_one_wild_reading_moves_members_by_what_is_credible() -> None:
    """As far as the limit, however far off it lies; with Bayes' rule, all the way."""
    rng = np.random.default_rng(3)
    states = rng.standard_normal((60, 2))
    simulated = states + 0.5 * rng.standard_normal((60, 2))
    moved = [
        float(np.abs(assimilate(states, simulated, [far, far], seed=1).samples).max())
        for far in (50.0, 1e6)
    ]
    assert moved[1] < 40
    assert moved[0] == pytest.approx(moved[1], rel=0.2)
    plain = assimilate(states, simulated, [1e6, 1e6], options={"rescue": False}, seed=1)
    assert np.abs(plain.samples).max() > 1e5


def test_a_rescue_is_only_for_the_incredible() -> None:
    """Near the ensemble nothing happens, nor where the caller chose the update."""
    triple = gaussian()
    spread = triple.simulated.std(axis=0)
    near = triple.simulated.mean(axis=0) + spread
    plain, on = (
        assimilate(
            triple.states, triple.simulated, near, options={"rescue": rescue}, seed=1
        ).samples
        for rescue in (False, "auto")
    )
    assert plain.tobytes() == on.tobytes()
    far = triple.simulated.mean(axis=0) + 8 * spread
    arrays = (triple.states, triple.simulated, far)
    chosen = assimilate(*arrays, options=SHIFT, seed=1)
    asked = assimilate(*arrays, options=SHIFT | {"rescue": True}, seed=1)
    codes = [
        {advice.code for advice in analysis.diagnostics.warnings}
        for analysis in (chosen, asked)
    ]
    assert ["ensemble-widened" in found for found in codes] == [False, True]
    assert np.linalg.norm(asked.samples.std(axis=0)) > np.linalg.norm(
        chosen.samples.std(axis=0)
    )


def test_the_factor_is_handed_on() -> None:
    triple = gaussian()
    options = AnalysisOptions(inflation="adaptive")
    away = triple.observation + 2.0 * triple.simulated.std(axis=0)
    arrays = (triple.states, triple.simulated, away)
    first = assimilate(*arrays, options=options, seed=1).diagnostics.forecast_inflation
    assert first > 1.0
    on = dataclasses.replace(options, learned_inflation=1.5)
    second = assimilate(*arrays, options=on, seed=1)
    assert second.diagnostics.forecast_inflation > first
    unseen = np.full_like(triple.observation, np.nan)
    kept = assimilate(triple.states, triple.simulated, unseen, options=on)
    assert kept.diagnostics.forecast_inflation == 1.5
    fixed = dataclasses.replace(on, inflation=1.0)
    plain = assimilate(*arrays, options=fixed, seed=1)
    assert plain.diagnostics.forecast_inflation == 1.0
    assert plain.samples.tobytes() == assimilate(*arrays, seed=1).samples.tobytes()


@pytest.mark.slow
def test_adaptive_inflation_recovers_a_lost_ensemble() -> None:
    """Lorenz-96 from a start far off and a hundred times too sure of itself.

    RMSE of the last 20 of 60 cycles; the climate has 3.6, an ensemble on track 0.4.
    Without inflation some runs end with a simulator that blows up.
    """
    setting = experiments.find("L96_01")
    errors = {}
    for name in (1.0, "adaptive"):
        options = AnalysisOptions(
            inflation=name,  # type: ignore[arg-type]
            rescue=name == "adaptive",
        )
        found = []
        for seed in range(3):
            method = cycle.Method("ccdm", collapsed(), options=options)
            run = cycle.run(setting, method, 60, seed, cycles=60)
            found.append(float(np.mean(np.nan_to_num(run.rmse[40:], nan=np.inf))))
        errors[name] = np.max(found)
    assert errors["adaptive"] < 1.2
    assert errors[1.0] > 2.4


def collapsed() -> Any:
    """``assimilate``, but the first analysis comes out collapsed somewhere else."""
    state = {"first": True}

    def analyse(*args: Any, **fields: Any) -> Any:
        analysis = assimilate(*args, **fields)
        if state.pop("first", False):
            analysis.samples[:] = 5.0 + 0.01 * analysis.samples
        return analysis

    return analyse


def test_the_ensemble_is_widened_along_the_slopes_of_least_squares() -> None:
    """Narrow beside the noise: with the smaller slopes that chance does not reach, the
    gain of the widened ensemble would overshoot the observation by as much."""
    rng = np.random.default_rng(12)
    states = 0.4 * rng.standard_normal((100, 1))
    simulated = states + rng.standard_normal((100, 1))
    pairs = screen(states, simulated, [0.0])
    slope = np.polyfit(states[:, 0], simulated[:, 0], 1)[0]
    found = np.polyfit(states[:, 0], noise.apart(pairs).fitted[:, 0], 1)[0]
    assert found == pytest.approx(slope, rel=1e-9)
    cautious = noise.regressed(pairs)
    assert cautious is not None
    assert np.polyfit(states[:, 0], cautious.fitted[:, 0], 1)[0] < 0.95 * slope
