"""Regressions: right where theory says so, better where they claim to be better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, assimilate, preconditioning
from ccdm_engine.noise import Noise
from ccdm_engine.preconditioning import RULES
from ccdm_engine.regression import Regression
from tests.engine.ensembles import Triple, gaussian, squared

Array = npt.NDArray[np.float64]

NAMES = sorted(RULES)


def normalized(triple: Triple) -> Triple:
    """As the engine hands them over: at least one measurement, all with spread."""
    return Triple(*(np.ascontiguousarray(array) for array in triple))


@pytest.mark.parametrize("name", NAMES)
def test_members_move_by_the_change_of_the_prediction(name: str) -> None:
    """``x_i + m(y*) - m(y_i)`` with y* a member's own measurement moves it nowhere."""
    states, simulated, _ = squared(60)
    for member in (0, 17, 59):
        regression = RULES[name](states, simulated, simulated[member])
        if name == "none":
            assert np.array_equal(regression.shifted, states)
        else:
            gap = regression.shifted[member] - states[member]
            assert np.max(np.abs(gap)) < 1e-10


def test_linear_residuals_are_orthogonal_to_the_measurements() -> None:
    states, simulated, observation = normalized(gaussian())
    regression = preconditioning.linear(states, simulated, observation)
    centred = simulated - simulated.mean(axis=0)
    residuals = regression.residuals - regression.residuals.mean(axis=0)
    assert np.max(np.abs(centred.T @ residuals)) < 1e-10
    assert np.allclose(regression.residuals.mean(axis=0), states.mean(axis=0))


def refitted(rule: Any, triple: Triple, member: int) -> Array:
    """Residual of a member under the regression fitted without it, by brute force."""
    states, simulated, _ = triple
    left = np.delete(np.arange(len(states)), member)
    fit: Regression = rule(states[left], simulated[left], simulated[member])
    prediction = states[left].mean(axis=0) + fit.target
    return states[member] - prediction


def test_leverage_is_what_refitting_without_a_member_shows() -> None:
    """``e_i = (1 - leverage_i - 1/N) e_-i``, 1/N being the mean's own share."""
    triple = gaussian(30, dx=4, dy=3)
    fit = preconditioning.linear(*triple)
    own = fit.residuals - triple.states.mean(axis=0)
    for member in range(30):
        expected = refitted(preconditioning.linear, triple, member)
        share = 1 - fit.leverage[member] - 1 / 30
        assert np.max(np.abs(own[member] - share * expected)) < 1e-10
    held_out = fit.held_out_residuals - triple.states.mean(axis=0)
    assert np.allclose(held_out * (1 - fit.leverage), own)


@pytest.mark.parametrize("name", ["linear", "shrunk", "kernel"])
def test_held_out_residuals_are_honest_where_fitted_ones_flatter(name: str) -> None:
    """Thirty members, twelve measurements of noise: fitting explains what is not."""
    rng = np.random.default_rng(3)
    fitted, held_out, fresh = [], [], []
    for _ in range(20):
        states, noise = rng.standard_normal((30, 2)), rng.standard_normal((30, 12))
        regression = RULES[name](states, noise, noise[0])
        fitted.append(np.mean((regression.residuals - states.mean(axis=0)) ** 2))
        gap = regression.held_out_residuals - states.mean(axis=0)
        held_out.append(np.mean(gap**2))
        new = RULES[name](states, noise, rng.standard_normal(12)).target
        fresh.append(np.mean((rng.standard_normal(2) - states.mean(axis=0) - new) ** 2))
    assert np.mean(fitted) < 1.0
    # The held-out error predicts the error on fresh pairs, within its own scatter.
    error = np.std(np.array(fresh) - held_out, ddof=1) / np.sqrt(20)
    assert abs(np.mean(fresh) - np.mean(held_out)) < 4 * error
    assert np.mean(held_out) > np.mean(fitted)


def test_shrunk_becomes_linear_as_members_grow() -> None:
    """Where no correlation is, N^-1/2 of chance is taken away; elsewhere 1 / N."""
    sizes = np.array([100, 1000, 10_000])
    gaps = []
    for members in sizes:
        found = []
        for seed in range(8):
            triple = gaussian(int(members), dx=4, dy=3, seed=seed)
            linear, shrunk = (RULES[name](*triple) for name in ("linear", "shrunk"))
            gap = (linear.target - shrunk.target) / triple.states.std(axis=0)
            found.append(np.mean(gap**2))
        gaps.append(np.sqrt(np.mean(found)))
    assert gaps[0] > gaps[1] > gaps[2]
    slope = np.polyfit(np.log(sizes), np.log(gaps), 1)[0]
    assert -1.3 < slope < -0.35


def test_shrinkage_takes_away_what_chance_alone_explains() -> None:
    """Independent states and measurements: most of the spurious gain is gone."""
    rng = np.random.default_rng(4)
    sizes = {"linear": [], "shrunk": []}
    for _ in range(30):
        states, simulated = rng.standard_normal((25, 40)), rng.standard_normal((25, 3))
        for name, found in sizes.items():
            target = RULES[name](states, simulated, np.full(3, 2.0)).target
            found.append(float(np.mean(target**2)))
    assert np.mean(sizes["shrunk"]) < 0.5 * np.mean(sizes["linear"])


def test_kernel_equals_linear_on_a_linear_relation() -> None:
    """Nothing is left to learn: the leave-one-out error keeps the kernel part out."""
    rng = np.random.default_rng(5)
    kept = 0
    for seed in range(20):
        states = rng.standard_normal((150, 2))
        simulated = states + 0.5 * rng.standard_normal((150, 2))
        linear, kernel = (
            RULES[name](states, simulated, np.array([1.0, -0.5]))
            for name in ("linear", "kernel")
        )
        kept += np.array_equal(linear.target, kernel.target)
        gap = np.max(np.abs(linear.target - kernel.target))
        assert gap < 0.25, seed
    assert kept >= 10


def test_kernel_beats_linear_on_a_curved_relation() -> None:
    """Error of the predicted state where the relation is ``(y^2, sin 2 y)``."""
    errors = {"linear": [], "kernel": []}
    for seed in range(10):
        states, simulated, _ = squared(200, seed)
        for place in np.linspace(-1.5, 1.5, 7):
            truth = np.array([place**2, np.sin(2 * place)])
            for name, found in errors.items():
                fit = RULES[name](states, simulated, np.array([place]))
                gap = states.mean(axis=0) + fit.target - truth
                found.append(float(np.mean(gap**2)))
    assert np.mean(errors["kernel"]) < 0.05 * np.mean(errors["linear"])


def test_kernel_helps_the_whole_analysis_on_a_curved_relation() -> None:
    errors = {"linear": [], "kernel": []}
    for seed in range(5):
        for name, found in errors.items():
            options = AnalysisOptions(
                preconditioner=name,
                measurement_bandwidth=np.inf,  # type: ignore[arg-type]
            )
            samples = assimilate(*squared(200, seed), options=options, seed=1).samples
            truth = np.array([1.2**2, np.sin(2.4)])
            found.append(float(np.linalg.norm(samples.mean(axis=0) - truth)))
    assert np.mean(errors["kernel"]) < 0.3 * np.mean(errors["linear"])


@pytest.mark.parametrize("name", ["linear", "shrunk", "kernel"])
def test_leverages_are_shares(name: str) -> None:
    for triple in (gaussian(), gaussian(10, 3, 2), gaussian(5, 3, 3), squared(50)):
        leverage = RULES[name](*triple).leverage
        assert np.all((leverage >= -1e-12) & (leverage <= 1 + 1e-12))
    # Least squares: they add up to the number of fitted slopes.
    assert RULES["linear"](*gaussian(dy=2)).leverage.sum() == pytest.approx(2)


def test_unbiased_residuals_have_the_variance_of_the_noise() -> None:
    """Twenty members, eight measurements: fitted residuals lose 8 of 19.

    600 ensembles, 2 states: the mean variance errs by 1 % (relative standard error
    sqrt(2 / (1200 * 11))); 5 % is allowed.
    """
    fitted, unbiased, held_out = [], [], []
    for seed in range(600):
        rng = np.random.default_rng([11, seed])
        measured = rng.standard_normal((20, 8))
        states = measured[:, :2] + rng.standard_normal((20, 2))
        plain = preconditioning.linear(states, measured, measured[0])
        fitted.append(np.var(plain.residuals, axis=0, ddof=1))
        unbiased.append(np.var(plain.unbiased().residuals, axis=0, ddof=1))
        held_out.append(np.var(plain.held_out_residuals, axis=0, ddof=1))
    assert np.mean(fitted) == pytest.approx(11 / 19, rel=0.05)
    assert np.mean(unbiased) == pytest.approx(1.0, rel=0.05)
    assert np.mean(held_out) > 1.4


def test_unbiased_residuals_keep_their_mean_and_the_held_out_ones() -> None:
    triple = gaussian(30, dx=4, dy=3)
    plain = preconditioning.linear(*triple)
    wider = plain.unbiased()
    assert wider.is_unbiased and not plain.is_unbiased
    assert np.allclose(wider.residuals.mean(axis=0), plain.residuals.mean(axis=0))
    assert np.array_equal(wider.held_out_residuals, plain.held_out_residuals)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"unbiased": False}, False),
        ({"preconditioner": "shrunk"}, False),
        ({"preconditioner": "shrunk", "unbiased": True}, True),
    ],
)
def test_residuals_are_unbiased_where_the_engine_chooses(
    fields: dict[str, Any], expected: bool
) -> None:
    """Twelve members of twenty variables are moved; the wider are by sqrt(1 - l)."""
    triple = gaussian(12, dx=20, dy=4)
    options = {"measurement_bandwidth": "inf", "rescue": False} | fields
    analysis = assimilate(*triple, options=options, seed=1)
    assert analysis.diagnostics.model is not None
    assert analysis.diagnostics.model.unbiased == expected
    narrow = assimilate(*triple, options=options | {"unbiased": False}, seed=1)
    ratio = analysis.samples.std(axis=0) / narrow.samples.std(axis=0)
    assert np.mean(ratio) > 1.02 if expected else np.all(ratio == 1.0)


def test_known_noise_makes_a_better_gain() -> None:
    """Error of the shift towards an observation, against the exact gain 1 / 1.25.

    With R known only the covariance of the states is estimated. 200 ensembles of 15.
    """
    errors = {"plain": [], "known": []}
    for seed in range(200):
        rng = np.random.default_rng([12, seed])
        states = rng.standard_normal((15, 1))
        simulated = states + 0.5 * rng.standard_normal((15, 1))
        noise = Noise(states, np.array([[0.25]]))
        target = np.array([2.0])
        found = {
            "plain": preconditioning.linear(states, simulated, target),
            "known": preconditioning.filtered(states, simulated, target, noise),
        }
        for name, fit in found.items():
            mean = states.mean(axis=0) + fit.target
            errors[name].append(float(mean[0] - 1.6) ** 2)
    assert np.mean(errors["known"]) < 0.8 * np.mean(errors["plain"])


def smooth(
    members: int, seed: int, *, noise: float = 0.3, every: int = 1
) -> tuple[Array, Array, Array, Array]:
    """A ring of 200 variables with smooth states, and the truth behind ``y*``."""
    rng = np.random.default_rng([members, seed])
    waves = np.arange(9)
    shares = np.exp(-0.05 * waves**2) / (1 + (waves > 0))
    turns = np.exp(2j * np.pi * np.outer(waves, np.arange(200)) / 200)
    loads = rng.standard_normal((members + 1, 9)) + 1j * rng.standard_normal(
        (members + 1, 9)
    )
    field = ((loads * shares) @ turns).real
    field /= field.std()
    measured = field[:, ::every] + noise * rng.standard_normal(
        (members + 1, 200 // every)
    )
    return field[1:], measured[1:], measured[0], field[0]


@pytest.mark.parametrize(("members", "every"), [(20, 1), (60, 1), (20, 4)])
def test_many_measurements_of_a_smooth_field_are_worth_something(
    members: int, every: int
) -> None:
    """More measurements than members, no coordinates: chance is not blown up.

    The error of the mean is far below the forecast's, and the spread tells it within a
    factor of two, over five fields. Correlations shrunk one by one beside a matrix that
    is not gave errors of 2 to 4 forecast spreads.
    """
    before, after, spread = [], [], []
    for seed in range(5):
        states, simulated, observation, truth = smooth(members, seed, every=every)
        found = assimilate(states, simulated, observation, seed=1).samples
        before.append(np.mean((states.mean(axis=0) - truth) ** 2))
        after.append(np.mean((found.mean(axis=0) - truth) ** 2))
        spread.append(np.mean(found.var(axis=0, ddof=1)))
    assert np.mean(after) < 0.3 * np.mean(before)
    assert 0.25 < np.mean(spread) / np.mean(after) < 4.0


@pytest.mark.parametrize(
    ("members", "measurements", "least"),
    [(20, 100, 0.95), (60, 20, 0.84), (100, 20, 0.9)],
)
def test_residuals_of_shrunk_gains_are_about_as_wide_as_the_noise(
    members: int, measurements: int, least: float
) -> None:
    """States that have nothing to do with the measurements keep most of their variance.

    40 states over 30 ensembles: the mean variance errs by 1 %. None becomes wider. What
    is lost is what linear theory does not count: correlations shrunk one by one depend
    on the states twice. With plain leverages it was 0.82, 0.86 and 0.91, and with many
    measurements of few members up to ten times too much.
    """
    ratios, plain = [], []
    for seed in range(30):
        rng = np.random.default_rng([members, seed])
        states = rng.standard_normal((members, 40))
        simulated = rng.standard_normal((members, measurements))
        found = preconditioning.shrunk(states, simulated, np.zeros(measurements))
        whole = states.var(axis=0, ddof=1)
        ratios.append(found.unbiased().residuals.var(axis=0, ddof=1) / whole)
        usual = replace(found, overlap=None, widest=None).unbiased()
        plain.append(usual.residuals.var(axis=0, ddof=1) / whole)
    assert np.max(ratios) <= 1 + 1e-12
    assert least < np.mean(ratios) < 1.02
    assert np.mean(ratios) > np.mean(plain)


def test_the_overlap_is_that_of_the_matrix_that_predicts() -> None:
    """By the matrix itself, column by column; of a projection it is 1."""
    states, simulated, observation = gaussian(20, 3, 2)
    apart = Noise(0.8 * simulated, np.full(2, 0.3))
    gain = preconditioning.fit_gain(
        simulated, observation, apart, lambda r, n: np.ones_like(r)
    )
    ones = lambda r, n, block: np.ones_like(r)  # noqa: E731
    found = gain.on(states, ones, slice(None))
    centred = np.eye(20) - 1 / 20
    predicts = centred - gain.on(centred, ones, slice(None)).residuals
    wanted = np.sum(predicts**2) / np.trace(predicts)
    assert found.overlap == pytest.approx(wanted)
    assert np.diag(predicts) == pytest.approx(found.leverage[:, 0], abs=1e-12)
    plain = Noise.none(simulated)
    projection = preconditioning.filtered(states, simulated, observation, plain)
    assert projection.overlap == pytest.approx(1.0)
    fitted = RULES["linear"](states, simulated, observation)
    assert np.allclose(projection.residuals, fitted.residuals)
    assert projection.leverage[:, :1] == pytest.approx(fitted.leverage)
