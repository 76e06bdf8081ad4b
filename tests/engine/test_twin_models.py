"""Models, operators and integrators against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ccdm_engine.twin import lorenz63, lorenz96, operators, toy
from ccdm_engine.twin.integrators import advance, euler, rk4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12)


def test_lorenz63_rests_at_its_three_equilibria():
    side = math.sqrt(lorenz63.BETA * (lorenz63.RHO - 1))
    points = np.array(
        [[0.0, 0.0, 0.0], [side, side, 27.0], [-side, -side, 27.0]], dtype=float
    )
    np.testing.assert_allclose(lorenz63.tendency(points), 0.0, atol=1e-12)
    nearby = lorenz63.tendency(points + 0.1)
    assert np.linalg.norm(nearby, axis=1).min() > 1.0


def test_lorenz63_does_not_know_the_sign_of_x_and_y(rng):
    states, mirror = rng.standard_normal((5, 3)), np.array([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(
        lorenz63.tendency(states * mirror), lorenz63.tendency(states) * mirror
    )


def test_lorenz96_rests_at_the_forcing_and_turns_with_the_ring(rng):
    np.testing.assert_allclose(lorenz96.tendency(np.full((1, 40), 8.0)), 0.0)
    states = rng.standard_normal((3, 40))
    np.testing.assert_allclose(
        lorenz96.tendency(np.roll(states, 7, axis=1)),
        np.roll(lorenz96.tendency(states), 7, axis=1),
    )


def test_lorenz96_advection_conserves_energy(rng):
    states = rng.standard_normal((4, 40))
    advection = lorenz96.tendency(states) + states - lorenz96.FORCING
    np.testing.assert_allclose(np.sum(states * advection, axis=1), 0.0, atol=1e-12)
    assert np.abs(advection).max() > 0.1


@pytest.mark.parametrize(("scheme", "order"), [(euler, 1), (rk4, 4)])
def test_integrators_have_their_order(scheme, order):
    start = np.array([[1.0, 2.0, 20.0]])

    def end(steps: int) -> np.ndarray:
        return advance(
            start,
            tendency=lorenz63.tendency,
            scheme=scheme,
            step=0.2 / steps,
            steps=steps,
        )

    exact = advance(
        start, tendency=lorenz63.tendency, scheme=rk4, step=0.2 / 4096, steps=4096
    )
    coarse, fine = (np.linalg.norm(end(steps) - exact) for steps in (64, 128))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(
    ("model", "dimension"), [(lorenz63, 3), (lorenz96, 40)], ids=["l63", "l96"]
)
def test_an_ensemble_moves_as_its_members_do(rng, model, dimension):
    states = rng.standard_normal((6, dimension))
    keywords = {
        "tendency": model.tendency,
        "scheme": rk4,
        "step": 0.01,
        "steps": 5,
    }
    together = advance(states, **keywords)
    alone = np.stack([advance(state, **keywords) for state in states])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("model", "dimension", "step"),
    [(lorenz63, 3, 0.02), (lorenz96, 40, 0.05)],
    ids=["l63", "l96"],
)
def test_the_stated_climate_crps_is_that_of_a_free_run(rng, model, dimension, step):
    # E|X - X'| / 2 over independent trajectories; stated to two digits, and Euler
    # and RK4 climates differ by a few per cent.
    states = advance(
        rng.standard_normal((400, dimension)),
        tendency=model.tendency,
        scheme=rk4,
        step=step,
        steps=round(15 / step),
    )
    half = 0.5 * np.abs(states[:200] - states[200:]).mean()
    assert half == pytest.approx(model.CLIMATE_CRPS, rel=0.1)


def test_toy_stays_and_starts_on_both_sides(rng):
    draws = toy.two_modes(rng, 4000)
    assert toy.stay(draws) is not draws
    np.testing.assert_array_equal(toy.stay(draws), draws)
    right = draws[draws > 0]
    # Five standard errors of a share of one half and of a mean.
    assert abs(right.size / 4000 - 0.5) < 5 * 0.5 / math.sqrt(4000)
    assert abs(right.mean() - 1.0) < 5 * toy.STD / math.sqrt(right.size)
    assert right.std() == pytest.approx(toy.STD, rel=0.1)


def test_operators_measure_what_they_say():
    states = np.array([[-1.0, 2.0, -3.0, 4.0]])
    np.testing.assert_array_equal(operators.identity(states), states)
    np.testing.assert_array_equal(operators.every_second(states), [[-1.0, -3.0]])
    np.testing.assert_array_equal(operators.every_second_absolute(states), [[1.0, 3.0]])
    np.testing.assert_array_equal(operators.component(states, index=-1), [[4.0]])
    np.testing.assert_array_equal(operators.absolute(states), [[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(operators.square(states), [[1.0, 4.0, 9.0, 16.0]])
    curved = operators.arctangent(states, scale=2.0, factor=10.0)
    assert curved[0, 1] == pytest.approx(10 * math.pi / 4)


def test_operators_never_hand_out_the_states_themselves():
    states = np.ones((2, 4))
    for operator in (operators.identity, operators.every_second):
        operator(states)[...] = 7.0
    assert np.all(states == 1.0)
