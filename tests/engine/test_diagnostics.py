"""Diagnostics state facts: each is recomputed here from what the caller has."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import Analysis, AnalysisOptions, __version__, assimilate
from tests.engine.ensembles import Triple, folded, gaussian, two_lobes

Array = npt.NDArray[np.float64]

FIXED: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 0.5,
    "shrink": False,
}


def analysed(triple: Triple, **fields: Any) -> Analysis:
    return assimilate(*triple, options=AnalysisOptions(**fields), seed=3)


def codes(analysis: Analysis) -> set[str]:
    return {advice.code for advice in analysis.diagnostics.warnings}


@pytest.mark.parametrize("h_y", [0.05, 0.3, 2.0, np.inf])
def test_effective_sample_size_is_that_of_the_weights(h_y: float) -> None:
    _, simulated, observation = two_lobes()
    unit = (simulated - observation) / simulated.std(ddof=1)
    square = np.sum(unit**2, axis=1)
    weights = np.exp(-(square - square.min()) / (2 * h_y**2))
    weights /= weights.sum()
    found = analysed(two_lobes(), **FIXED | {"measurement_bandwidth": h_y})
    expected = 1 / np.sum(weights**2)
    assert found.diagnostics.effective_sample_size == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("fields", [{}, FIXED, {"inflation": 1.3}])
def test_spreads_and_innovations_are_recomputed(fields: dict[str, Any]) -> None:
    states, simulated, observation = gaussian()
    found = analysed(gaussian(), **fields)
    facts = found.diagnostics
    for spread, ensemble in (
        (facts.prior_spread, states),
        (facts.posterior_spread, found.samples),
    ):
        expected = np.sqrt(np.mean(np.var(ensemble, axis=0, ddof=1)))
        assert spread == pytest.approx(expected, rel=1e-12)
    innovation = (observation - simulated.mean(axis=0)) / simulated.std(axis=0, ddof=1)
    assert facts.innovation == pytest.approx(tuple(innovation), rel=1e-12)


def test_sizes_members_and_versions() -> None:
    facts = analysed(gaussian(60, 3, 2), n_samples=25, **FIXED).diagnostics
    assert (facts.n_members, facts.n_samples) == (60, 25)
    assert (facts.state_dim, facts.measurement_dim) == (3, 2)
    assert facts.members_used == tuple(range(60)) and facts.members_failed == ()
    assert facts.observation_status == ("assimilated", "assimilated")
    assert (facts.status, facts.reason) == ("analysed", None)
    assert (facts.seed, facts.version) == (3, __version__)


@pytest.mark.parametrize("sampler", ["ode", "sde", "rk45", "exact"])
@pytest.mark.parametrize("schedule", ["ve", "vp"])
def test_the_model_is_reported_as_it_was_used(sampler: Any, schedule: Any) -> None:
    fields = FIXED | {"sampler": sampler, "schedule": schedule, "max_bandwidth": 9.0}
    facts = analysed(two_lobes(), scaling="standardize", **fields).diagnostics
    assert (facts.sampler, facts.schedule) == (sampler, schedule)
    model = facts.model
    assert model is not None
    assert (model.preconditioner, model.scaling, model.shrink) == (
        "none",
        "standardize",
        False,
    )
    assert model.state_bandwidth == 0.4 and model.measurement_bandwidth == 0.5
    assert model.max_bandwidth == pytest.approx(9.0)
    assert (facts.score_evaluations == 0) == (sampler == "exact")
    fixed = analysed(two_lobes(), **fields | {"steps": 17}).diagnostics
    if sampler in ("ode", "sde"):
        assert fixed.score_evaluations == 17


def test_the_reported_model_reproduces_the_analysis() -> None:
    """What `auto` chose, given as options, is the same analysis."""
    for triple in (two_lobes(), gaussian(), folded()):
        automatic = assimilate(*triple, seed=4)
        model = automatic.diagnostics.model
        assert model is not None
        if np.isinf(model.measurement_bandwidth):
            again = assimilate(
                *triple,
                options=AnalysisOptions(
                    preconditioner=model.preconditioner,  # type: ignore[arg-type]
                    measurement_bandwidth=model.measurement_bandwidth,
                    unbiased=model.unbiased,
                ),
                seed=4,
            )
            assert again.samples.tobytes() == automatic.samples.tobytes()


def test_observation_distance_is_in_typical_neighbour_distances() -> None:
    """About 1 inside the cloud, and proportional to the distance outside."""
    states, simulated, _ = two_lobes(200)
    inside = []
    for seed in range(20):
        rng = np.random.default_rng([13, seed])
        place = simulated[rng.integers(200)] + 0.01 * rng.standard_normal(1)
        facts = analysed(Triple(states, simulated, place)).diagnostics
        assert facts.observation_distance is not None
        inside.append(facts.observation_distance)
    assert np.median(inside) < 3
    edge, spread = simulated.max(), simulated.std()
    far = [
        analysed(
            Triple(states, simulated, np.array([edge + k * spread]))
        ).diagnostics.observation_distance
        for k in (10, 20)
    ]
    assert far[0] is not None and far[1] is not None
    assert far[1] / far[0] == pytest.approx(2.0, rel=1e-6)


def far_away() -> Triple:
    states, simulated, observation = gaussian()
    return Triple(states, simulated, observation + 50 * simulated.std(axis=0))


def exact_measurement() -> Triple:
    states, _, _ = gaussian(60)
    simulated = states @ np.array([[1.0], [2.0], [0.0]])
    return Triple(states, simulated, simulated.mean(axis=0))


def constant_measurement() -> Triple:
    states, simulated, observation = gaussian()
    simulated[:, 0] = 3.0
    return Triple(states, simulated, observation)


def failed_member() -> Triple:
    states, simulated, observation = gaussian()
    states[4] = np.nan
    return Triple(states, simulated, observation)


TRIGGERS: dict[str, tuple[Triple, dict[str, Any]]] = {
    "observation-outside-ensemble": (far_away(), {}),
    "weights-collapsed": (two_lobes(), FIXED | {"measurement_bandwidth": 1e-3}),
    "measurements-look-noise-free": (exact_measurement(), {}),
    "measurement-constant": (constant_measurement(), {}),
    "members-failed": (failed_member(), {"failed_members": "drop"}),
    "max-bandwidth-small": (two_lobes(), FIXED | {"max_bandwidth": 0.6}),
}


@pytest.mark.parametrize("code", TRIGGERS)
def test_a_warning_is_raised_where_there_is_cause(code: str) -> None:
    triple, fields = TRIGGERS[code]
    analysis = analysed(triple, **fields)
    assert code in codes(analysis)
    for advice in analysis.diagnostics.warnings:
        assert advice.message.endswith(".") and advice.advice.endswith(".")


@pytest.mark.parametrize("make", [gaussian, two_lobes, folded])
@pytest.mark.parametrize("fields", [{}, FIXED, {"sampler": "exact"} | FIXED])
def test_no_warning_is_raised_where_there_is_none(
    make: Any, fields: dict[str, Any]
) -> None:
    assert codes(analysed(make(), **fields)) == set()


def test_measurements_with_a_declared_error_do_not_look_noise_free() -> None:
    assert "measurements-look-noise-free" in codes(analysed(exact_measurement()))
    declared = analysed(exact_measurement(), measurement_error=0.3)
    assert codes(declared) == set()


def test_noise_free_is_noticed_in_many_dimensions_too() -> None:
    """Too many variables for a regression: one that is a state itself is seen."""
    states = np.random.default_rng(14).standard_normal((20, 100))
    triple = Triple(states, states[:, [3, 50]] * 1.0, np.zeros(2))
    assert "measurements-look-noise-free" in codes(analysed(triple))
    noisy = states[:, [3, 50]] + 0.1 * np.random.default_rng(15).standard_normal(
        (20, 2)
    )
    assert codes(analysed(Triple(states, noisy, np.zeros(2)))) == set()


def test_discrete_measurements_are_not_taken_for_far_away() -> None:
    states, simulated, _ = gaussian(60, 3, 1)
    rounded = np.round(simulated)
    place = np.array([np.median(rounded) + 0.5])
    assert "observation-outside-ensemble" not in codes(
        analysed(Triple(states, rounded, place))
    )


EVERY_KIND: list[tuple[Triple, dict[str, Any]]] = [
    *TRIGGERS.values(),
    (gaussian(), {}),
    (two_lobes(), {}),
    (Triple(gaussian().states, np.zeros((60, 2)), np.full(2, np.nan)), {}),
    (gaussian(), {"preconditioner": "linear", "measurement_bandwidth": np.inf}),
]


@pytest.mark.parametrize("case", range(len(EVERY_KIND)))
def test_diagnostics_are_json(case: int) -> None:
    triple, fields = EVERY_KIND[case]
    facts = analysed(triple, **fields).diagnostics
    plain = facts.to_dict()
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(facts)}
    for value, kept in zip(plain["innovation"], facts.innovation, strict=True):
        assert (value is None and np.isnan(kept)) or value == kept
    if facts.model is not None and np.isinf(facts.model.measurement_bandwidth):
        assert plain["model"]["measurement_bandwidth"] == "inf"


def test_analyses_cannot_be_changed_in_place() -> None:
    analysis = analysed(gaussian())
    with pytest.raises(dataclasses.FrozenInstanceError):
        analysis.diagnostics.seed = 4  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        analysis.samples = np.zeros((1, 1))  # type: ignore[misc]
