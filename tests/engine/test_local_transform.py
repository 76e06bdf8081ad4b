"""The local transform: exact where it should be, seamless, and blind to order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import inv, sqrtm

from ccdm_engine import AnalysisOptions, Localization, assimilate, local_transform
from ccdm_engine.noise import Noise
from ccdm_engine.pairs import screen

Array = npt.NDArray[np.float64]


def chain(members: int, dx: int, dy: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """States on a line, neighbours correlated; the first dy measured."""
    rng = np.random.default_rng([11, seed])
    white = rng.standard_normal((members, dx))
    states = white + 0.8 * np.roll(white, 1, axis=1)
    simulated = states[:, :dy] + 0.5 * rng.standard_normal((members, dy))
    return states, simulated, simulated[0] + 0.5


def places(dx: int, dy: int, radius: float) -> Localization:
    return Localization(np.arange(dx), np.arange(dy), radius)


def known(simulated: Array, states: Array, correlation: float) -> Noise:
    """Parts that are given: f is the state, R with one correlation throughout."""
    count = simulated.shape[1]
    shape = np.full((count, count), correlation) + (1 - correlation) * np.eye(count)
    deviations = np.linspace(0.4, 0.9, count)
    return Noise(states[:, :count], shape * np.outer(deviations, deviations))


@pytest.mark.parametrize("dy", [4, 12])
@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_without_a_taper_it_is_the_global_transform(
    dy: int, correlation: float
) -> None:
    """Against dense formulas, for fewer and for more measurements than members."""
    states, simulated, observation = chain(9, 15, dy)
    noise = known(simulated, states, correlation)
    found = local_transform.transformed(
        screen(states, simulated, observation),
        places(15, dy, 1e9),
        noise,
        kernels=False,
    )
    gaps = states - states.mean(axis=0)
    fitted = noise.fitted - noise.fitted.mean(axis=0)
    precision = inv(noise.covariance)
    inner = np.eye(9) + fitted @ precision @ fitted.T / 8
    innovation = observation - noise.fitted.mean(axis=0)
    weights = inv(inner) @ (fitted @ precision @ innovation) / 8
    expected = states.mean(axis=0) + gaps.T @ weights
    expected = expected + np.real(sqrtm(inv(inner))) @ gaps
    assert np.max(np.abs(found.shifted - expected)) < 1e-10
    spent = np.trace(np.eye(9) - inv(inner)) / 9
    assert np.allclose(found.leverage, spent, atol=1e-12)


def test_many_pairs_reach_the_kalman_answer() -> None:
    """Nothing is told but pairs: sampling errors of N = 4000, times four.

    A regression errs by ``sqrt((1 + d^T S^-1 d) / N)`` at an innovation d.
    """
    members, dx, dy = 4000, 8, 4
    states, simulated, observation = chain(members, dx, dy)
    options = AnalysisOptions(localization=places(dx, dy, 1e9))
    samples = assimilate(
        states, simulated, observation, options=options, seed=1
    ).samples
    shift = np.roll(np.eye(dx), 1, axis=0)
    root = np.eye(dx) + 0.8 * shift.T
    prior = root.T @ root
    gain = prior[:, :dy] @ inv(prior[:dy, :dy] + 0.25 * np.eye(dy))
    after = prior - gain @ prior[:dy]
    mean = gain @ observation
    distance = observation @ inv(prior[:dy, :dy] + 0.25 * np.eye(dy)) @ observation
    error, spread = 4 / np.sqrt(members), np.sqrt(np.diag(prior))
    allowed = error * np.sqrt(1 + distance) * spread
    assert np.all(np.abs(samples.mean(axis=0) - mean) < allowed)
    gap = np.cov(samples.T) - after
    assert np.max(np.abs(gap)) < error * np.sqrt(2) * np.max(spread**2)


def analysed(
    states: Array, simulated: Array, observation: Array, where: Localization
) -> Array:
    options = AnalysisOptions(localization=where)
    return assimilate(states, simulated, observation, options=options, seed=3).samples


def test_the_order_of_variables_and_measurements_does_not_matter() -> None:
    states, simulated, observation = chain(20, 30, 12)
    where = places(30, 12, 3.0)
    expected = analysed(states, simulated, observation, where)
    rng = np.random.default_rng(0)
    state, measurement = rng.permutation(30), rng.permutation(12)
    shuffled = Localization(np.arange(30)[state], np.arange(12)[measurement], 3.0)
    found = analysed(
        states[:, state], simulated[:, measurement], observation[measurement], shuffled
    )
    assert np.max(np.abs(found - expected[:, state])) < 1e-9


def test_blocks_have_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    states, simulated, observation = chain(20, 60, 40)
    where = places(60, 40, 3.0)
    whole = analysed(states, simulated, observation, where)
    monkeypatch.setattr(local_transform, "WIDEST_BLOCK", 7)
    blocked = analysed(states, simulated, observation, where)
    assert np.max(np.abs(blocked - whole)) < 1e-12


def test_the_analysis_is_smooth_in_the_place_of_a_state() -> None:
    """One variable at many places: steps of the analysis shrink with the spacing.

    Across the edges of the reach of single measurements too, where a taper that was
    cut off would make it jump.
    """
    states, simulated, observation = chain(15, 10, 10)
    steps = {}
    for count in (100, 1000):
        at = np.linspace(0.0, 14.0, count)
        many = np.repeat(states[:, :1], count, axis=1)
        where = Localization(at, np.arange(10), 2.5)
        result = local_transform.transformed(
            screen(many, simulated, observation),
            where,
            known(simulated, states, 0.0),
        ).shifted
        steps[count] = np.max(np.abs(np.diff(result, axis=1)))
    assert steps[1000] < 0.15 * steps[100]


def test_turning_keeps_mean_and_covariance_and_leaves_the_rest_alone() -> None:
    rng = np.random.default_rng(3)
    before = rng.standard_normal((21, 6))
    after = before * np.array([0.5, 0.5, 0.5, 1.0, 1.0, 1.0])
    found = local_transform.turned(after, before, np.random.default_rng(1))
    assert np.array_equal(found[:, 3:], after[:, 3:])
    assert np.max(np.abs(found[:, :3] - after[:, :3])) > 0.1
    assert np.allclose(found.mean(axis=0), after.mean(axis=0), atol=1e-12)
    assert np.allclose(np.cov(found[:, :3].T), np.cov(after[:, :3].T), atol=1e-12)


def test_turning_is_by_the_angle_that_noise_would_turn() -> None:
    """A variance cut to a quarter: arccos 1/2, met to the fourth order."""
    rng = np.random.default_rng(4)
    before = rng.standard_normal((2000, 40))
    found = local_transform.turned(0.5 * before, before, rng)
    left = before - before.mean(axis=0)
    moved = found - found.mean(axis=0)
    cosine = np.sum(left * moved, axis=0) / np.sqrt(
        np.sum(left**2, axis=0) * np.sum(moved**2, axis=0)
    )
    assert np.mean(cosine) == pytest.approx(np.cos(np.pi / 6) ** 4, abs=0.02)


def test_a_measurement_that_cannot_be_taken_apart_makes_the_update_stochastic() -> None:
    """With its noise in the members, they move as an EnKF's do: x_i + K (y* - y_i)."""
    states, simulated, observation = chain(400, 6, 1)
    found = local_transform.transformed(
        screen(states, simulated, observation),
        places(6, 1, 1e9),
        Noise.none(simulated),
        kernels=False,
    )
    gaps = simulated - simulated.mean(axis=0)
    gain = gaps.T @ (states - states.mean(axis=0)) / np.sum(gaps**2)
    expected = states + (observation - simulated) @ gain
    assert np.max(np.abs(found.shifted - expected)) < 0.01
