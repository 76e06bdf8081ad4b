"""What breaks methods in practice: constants, copies, few members, wild bandwidths.

Everything runs with overflow, division by zero and invalid operations raised, and must
come back finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ccdm_engine import Analysis, AnalysisOptions, assimilate
from tests.engine.ensembles import Triple, gaussian, two_lobes

SCALINGS = ["auto", "none", "standardize", "whiten"]
PRECONDITIONERS = ["auto", "none", "linear", "shrunk", "kernel"]
FIXED: dict[str, Any] = {"state_bandwidth": 0.3, "measurement_bandwidth": 0.5}


@pytest.fixture(autouse=True)
def floating_point_errors_are_raised() -> Iterator[None]:
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


def finite(triple: Triple, **options: Any) -> Analysis:
    analysis = assimilate(*triple, options=AnalysisOptions(**options), seed=3)
    assert np.isfinite(analysis.samples).all()
    assert analysis.samples.shape[1] == triple.states.shape[1]
    return analysis


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
@pytest.mark.parametrize("scaling", ["auto", "standardize", "whiten"])
@pytest.mark.parametrize("value", [0.0, -7.25, 0.1, 1e150, 1e-300])
def test_constant_states_stay_exactly_constant(
    preconditioner: str, scaling: str, value: float
) -> None:
    states, simulated, observation = gaussian()
    states = np.insert(states, 1, value, axis=1)
    analysis = finite(
        Triple(states, simulated, observation),
        preconditioner=preconditioner,
        scaling=scaling,
        inflation=1.1,
        n_samples=90,
    )
    assert np.all(analysis.samples[:, 1] == value)
    assert np.all(np.std(analysis.samples[:, [0, 2, 3]], axis=0) > 0)


def test_a_constant_column_does_not_change_the_others() -> None:
    states, simulated, observation = two_lobes()
    latents = np.random.default_rng(1).standard_normal((100, 4))
    with_it = assimilate(
        np.insert(states, 2, 5.0, axis=1), simulated, observation, latents=latents
    )
    without = assimilate(
        states, simulated, observation, latents=np.delete(latents, 2, axis=1)
    )
    assert np.array_equal(np.delete(with_it.samples, 2, axis=1), without.samples)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
@pytest.mark.parametrize("members", [2, 3, 4])
def test_few_members(members: int, preconditioner: str, scaling: str) -> None:
    for fixed in ({}, FIXED):
        analysis = finite(
            gaussian(members),
            preconditioner=preconditioner,
            scaling=scaling,
            n_samples=7,
            **fixed,
        )
        assert analysis.diagnostics.n_samples == 7


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_duplicated_members(preconditioner: str, scaling: str) -> None:
    """Resampled ensembles hold copies; not even many of them are degenerate."""
    states, simulated, observation = gaussian(40)
    few = np.arange(40) % 5
    for copies in (few, np.repeat(np.arange(20), 2), np.minimum(np.arange(40), 1)):
        finite(
            Triple(states[copies], simulated[copies], observation),
            preconditioner=preconditioner,
            scaling=scaling,
        )


def test_copies_do_not_choose_the_narrowest_kernel() -> None:
    """A held-out member whose copy stays in would ask for no kernel at all."""
    states, simulated, observation = two_lobes(60)
    rng = np.random.default_rng(2)
    noisy = np.concatenate([simulated, simulated + rng.standard_normal((60, 1))])
    once = finite(two_lobes(60)).diagnostics.model
    twice = finite(Triple(np.tile(states, (2, 1)), noisy, observation))
    assert once is not None and twice.diagnostics.model is not None
    assert twice.diagnostics.model.state_bandwidth >= 0.5 * once.state_bandwidth


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_duplicated_columns(preconditioner: str, scaling: str) -> None:
    states, simulated, observation = gaussian()
    for fixed in ({}, FIXED):
        analysis = finite(
            Triple(
                np.column_stack([states, states[:, 0], 3 * states[:, 1] - 2]),
                np.column_stack([simulated, simulated[:, 0]]),
                np.append(observation, observation[0]),
            ),
            preconditioner=preconditioner,
            scaling=scaling,
            **fixed,
        )
        if scaling == "whiten" or analysis.diagnostics.sampler == "shift":
            # Exact linear relations among variables are kept to the eigenvalue floor.
            spread = states[:, 0].std()
            gap = analysis.samples[:, 3] - analysis.samples[:, 0]
            assert np.max(np.abs(gap)) < 1e-3 * spread


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_many_more_variables_than_members(preconditioner: str, scaling: str) -> None:
    rng = np.random.default_rng(4)
    states = rng.standard_normal((20, 1000))
    simulated = states[:, :50] + 0.5 * rng.standard_normal((20, 50))
    triple = Triple(states, simulated, np.zeros(50))
    finite(triple, preconditioner=preconditioner, scaling=scaling)
    finite(
        triple,
        preconditioner=preconditioner,
        scaling=scaling,
        state_bandwidth=0.5,
        measurement_bandwidth=8.0,
    )


@pytest.mark.parametrize("h_y", [1e-100, 1e-12, 1.0, 1e12, 1e100, math.inf])
@pytest.mark.parametrize("h_x", [1e-100, 1e-12, 1e12, 1e100])
@pytest.mark.parametrize("sampler", ["ode", "sde", "exact"])
def test_huge_and_tiny_bandwidths(sampler: str, h_x: float, h_y: float) -> None:
    analysis = finite(
        gaussian(),
        sampler=sampler,
        preconditioner="none",
        shrink=False,
        state_bandwidth=h_x,
        measurement_bandwidth=h_y,
    )
    states = gaussian().states
    spread = states.std(axis=0)
    if h_x < 1e-6:
        # Samples are members, to rounding.
        gaps = (analysis.samples[:, None] - states) / spread
        assert np.max(np.min(np.abs(gaps).max(axis=2), axis=1)) < 1e-5
    else:
        ratio = analysis.samples.std(axis=0) / (h_x * spread)
        assert np.all((0.5 < ratio) & (ratio < 2))


@pytest.mark.parametrize("preconditioner", ["none", "linear"])
def test_a_tiny_measurement_bandwidth_picks_the_nearest_member(
    preconditioner: str,
) -> None:
    states, simulated, observation = two_lobes()
    nearest = int(np.argmin(np.abs(simulated - observation)))
    analysis = finite(
        two_lobes(),
        preconditioner=preconditioner,
        measurement_bandwidth=1e-9,
        state_bandwidth=1e-6,
        shrink=False,
    )
    assert analysis.diagnostics.effective_sample_size == pytest.approx(1.0)
    if preconditioner == "none":
        gap = np.abs(analysis.samples - states[nearest]) / states.std(axis=0)
        assert np.max(gap) < 1e-4


@pytest.mark.parametrize("distance", [10.0, 1e3, 1e6, 1e100])
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_an_observation_far_outside(preconditioner: str, distance: float) -> None:
    states, simulated, observation = gaussian()
    far = observation + distance * simulated.std(axis=0)
    for fixed in ({}, FIXED):
        analysis = finite(
            Triple(states, simulated, far), preconditioner=preconditioner, **fixed
        )
        codes = [advice.code for advice in analysis.diagnostics.warnings]
        assert "observation-outside-ensemble" in codes
        if preconditioner == "none":
            # Kernels do not extrapolate: the answer stays among the members.
            reach = np.abs(analysis.samples - states.mean(axis=0)) / states.std(axis=0)
            assert np.max(reach) < 10


def test_a_minimal_problem() -> None:
    analysis = finite(Triple(np.array([[0.0], [1.0]]), np.array([[0], [1]]), [1]))
    assert analysis.samples.shape == (2, 1)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_very_few_steps(sampler: str, steps: int) -> None:
    analysis = finite(
        two_lobes(), sampler=sampler, steps=steps, preconditioner="none", **FIXED
    )
    assert analysis.diagnostics.score_evaluations == steps


@pytest.mark.parametrize("sampler", ["ode", "sde", "rk45", "exact"])
@pytest.mark.parametrize("members", [12, 40])
def test_all_weight_on_one_member(sampler: str, members: int) -> None:
    """One kernel is left, in no dimensions: it is drawn as such by every sampler."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((members, 3))
    simulated = states[:, :1] + 0.3 * rng.standard_normal((members, 1))
    analysis = finite(
        Triple(states, simulated, np.array([50.0])),
        sampler=sampler,
        preconditioner="none",
        measurement_bandwidth=1e-3,
        state_bandwidth=0.1,
    )
    nearest = states[np.argmax(simulated[:, 0])]
    gaps = np.abs(analysis.samples - nearest) / states.std(axis=0)
    assert np.max(gaps) < 1.0
