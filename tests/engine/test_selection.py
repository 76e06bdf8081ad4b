"""Choosing without a truth: scores are what they say, and the choice is sensible."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logsumexp

from ccdm_engine import (
    AnalysisOptions,
    ChosenModel,
    assimilate,
    family,
    search,
    selection,
)
from ccdm_engine.bandwidth import held_out_scores, silverman
from ccdm_engine.candidate import JOINT
from ccdm_engine.family import Footing
from ccdm_engine.normalization import normalize
from ccdm_engine.pairs import screen
from ccdm_engine.selection import choose
from tests.engine.ensembles import Triple, folded, gaussian, squared, two_lobes

Array = npt.NDArray[np.float64]


def chosen(triple: Triple, **fields: Any) -> ChosenModel:
    options = AnalysisOptions(**fields)
    model = assimilate(*triple, options=options, seed=1).diagnostics.model
    assert model is not None
    return model


def slow_scores(
    points: Array, centres: Array, log_weights: Array, h: float, *, shrink: bool
) -> Array:
    """``log p_-j(x_j)``, one point, one centre at a time, as it is written."""
    out = np.empty(len(points))
    h = min(h, 1.0) if shrink else h
    for j, point in enumerate(points):
        mean = sum(np.exp(w) * c for w, c in zip(log_weights[j], centres, strict=True))
        terms = []
        for weight, centre in zip(log_weights[j], centres, strict=True):
            if shrink:
                centre = mean + np.sqrt(1 - h**2) * (centre - mean)
            square = np.sum((point - centre) ** 2)
            norm = 0.5 * point.size * np.log(2 * np.pi * h**2)
            terms.append(weight - square / (2 * h**2) - norm)
        out[j] = logsumexp(terms)
    return out


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("d", [1, 3, 12])
def test_scores_are_leave_one_out_log_densities(d: int, shrink: bool) -> None:
    rng = np.random.default_rng([8, d])
    centres = rng.standard_normal((40, d))
    held_out = rng.choice(40, size=15, replace=False)
    points = centres[held_out] + 0.1 * rng.standard_normal((15, d))
    logs = rng.standard_normal((15, 40)) * 2
    logs[np.arange(15), held_out] = -np.inf
    logs -= logsumexp(logs, axis=1, keepdims=True)
    widths = np.array([0.08, 0.3, 1.0, 1.7])
    found = held_out_scores(points, centres, logs, widths, shrink=shrink)
    assert found.shape == (4, 15)
    for h, row in zip(widths, found, strict=True):
        expected = slow_scores(points, centres, logs, float(h), shrink=shrink)
        # Single precision of exponents that grow like 1 / h^2.
        assert np.max(np.abs(row - expected)) < 1e-4 * (1 + 1 / h**2)


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("farthest", [1.0, 1e6])
def test_many_models_score_as_each_alone(shrink: bool, farthest: float) -> None:
    """Also in pieces of the held-out points, and where double precision is needed."""
    rng = np.random.default_rng(9)
    centres = rng.standard_normal((3, 2000, 2))
    centres[:, 0] *= farthest
    points = centres[:, :60] + 0.1
    logs = rng.standard_normal((3, 60, 2000))
    logs[:, np.arange(60), np.arange(60)] = -np.inf
    logs -= logsumexp(logs, axis=2, keepdims=True)
    widths = np.array([[0.1, 0.5], [0.2, 1.0], [0.3, 0.9]])
    together = held_out_scores(points, centres, logs, widths, shrink=shrink)
    for k in range(3):
        alone = held_out_scores(
            points[k], centres[k], logs[k], widths[k], shrink=shrink
        )
        np.testing.assert_allclose(together[k], alone, rtol=1e-4, atol=2e-3)


def many(members: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """40 variables, all measured: only the widest kernels score well."""
    rng = np.random.default_rng([members, seed])
    states = rng.standard_normal((members, 40))
    simulated = states + 0.3 * rng.standard_normal((members, 40))
    return states, simulated, 0.5 * rng.standard_normal(40)


@pytest.mark.parametrize("make", [gaussian, two_lobes, folded, squared, many])
@pytest.mark.parametrize("members", [25, 60, 300])
def test_the_search_finds_what_trying_everything_finds(
    make: Any, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [chosen(make(members, seed=seed)) for seed in range(4)]
    for name in ("FIRST", "FIRST_OF_SHIFTS"):
        monkeypatch.setattr(search, name, range(len(search.STATE_BANDWIDTHS)))
    every = [chosen(make(members, seed=seed)) for seed in range(4)]
    assert [vars_of(model) for model in found] == [vars_of(model) for model in every]


def vars_of(model: ChosenModel) -> tuple[Any, ...]:
    return (
        model.preconditioner,
        model.measurement_kernel,
        model.measurement_bandwidth,
        model.state_bandwidth,
        model.shrink,
    )


def test_silvermans_rule() -> None:
    assert silverman(100, 1) == pytest.approx((4 / 300) ** 0.2)
    assert silverman(50, 3) == pytest.approx((4 / (5 * 50)) ** (1 / 7))
    assert silverman(0.5, 2) == silverman(1.0, 2) == 1.0


@pytest.mark.parametrize("members", [2, 3, 5, 10, 30, 100])
def test_no_model_that_ignores_the_observation_is_ever_chosen(members: int) -> None:
    """Equal weights without a regression would be the forecast with more noise."""
    for make in (gaussian, two_lobes, squared):
        for scaling in ("auto", "none", "standardize", "whiten"):
            for preconditioner in ("auto", "none"):
                model = chosen(
                    make(members), scaling=scaling, preconditioner=preconditioner
                )
                ignores = np.isinf(model.measurement_bandwidth)
                assert not (model.preconditioner == "none" and ignores)


@pytest.mark.parametrize("make", [gaussian, two_lobes, squared])
def test_the_answer_moves_with_the_observation(make: Any) -> None:
    states, simulated, _ = make(100)
    low, high = (np.quantile(simulated, q, axis=0) for q in (0.2, 0.8))
    first = assimilate(states, simulated, low, seed=1).samples.mean(axis=0)
    second = assimilate(states, simulated, high, seed=1).samples.mean(axis=0)
    assert np.max(np.abs(first - second) / states.std(axis=0)) > 0.3


REPLICATES = 40


@pytest.mark.parametrize(("members", "dx", "dy"), [(15, 3, 2), (60, 40, 20)])
def test_gaussian_data_get_the_gaussian_update(members: int, dx: int, dy: int) -> None:
    """Without footing for kernels members are moved, and keep their places."""
    models = [chosen(gaussian(members, dx, dy, seed)) for seed in range(REPLICATES)]
    assert all(np.isinf(model.measurement_bandwidth) for model in models)


@pytest.mark.parametrize(
    ("members", "dx", "dy"), [(60, 2, 1), (100, 3, 2), (200, 4, 4)]
)
def test_gaussian_data_are_seen_to_be_gaussian(members: int, dx: int, dy: int) -> None:
    """With footing joint kernels are taken, and the scores tell that a Gaussian update
    would have done: it has the higher one in 33 or more of 40 replicates here, and a
    fair coin would say so 27 times or more in one of a hundred cases.
    """
    told = [
        assimilate(*gaussian(members, dx, dy, seed), seed=1).diagnostics
        for seed in range(REPLICATES)
    ]
    kernels = Counter(facts.model and facts.model.measurement_kernel for facts in told)
    assert kernels["joint"] == REPLICATES
    assert sum(facts.gaussian_preferred is True for facts in told) >= 27


@pytest.mark.parametrize(("dx", "least"), [(1, 23), (3, 41), (6, 139), (10, 873)])
def test_joint_kernels_want_members_for_narrow_ones(dx: int, least: int) -> None:
    """By the rule of Silverman (1986) for normal clouds, as the docs have it."""
    options = AnalysisOptions()
    assert family.joint_footing(options, least - 1, dx) is Footing.NONE
    assert family.joint_footing(options, least, dx) is Footing.UNSURE


def test_joint_kernels_give_way_where_they_lost_their_footing() -> None:
    """Eight variables, all measured ten times sharper than the forecast is.

    Of 360 members hardly one is near the observation, and all is Gaussian: moving them
    is far the better model. Where joint kernels are sure they would have stayed. The
    root of the mean square of 80 errors is within a quarter of the spread but once in a
    thousand.
    """
    errors, spreads, kernels = [], [], Counter[str]()
    for seed in range(10):
        rng = np.random.default_rng([8, seed])
        states = rng.standard_normal((360, 8))
        truth = rng.standard_normal(8)
        simulated = states + 0.1 * rng.standard_normal(states.shape)
        read = truth + 0.1 * rng.standard_normal(8)
        analysis = assimilate(states, simulated, read, seed=1)
        model = analysis.diagnostics.model
        assert model is not None
        kernels[model.measurement_kernel] += 1
        errors.append(analysis.samples.mean(axis=0) - truth)
        spreads.append(analysis.samples.var(axis=0, ddof=1))
    assert kernels["joint"] == 0
    pairs = normalize(screen(states, simulated, read), "auto").pairs
    stays = choose(pairs, AnalysisOptions(), Footing.SURE).model
    assert stays.candidate.tier == JOINT
    ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(spreads))
    assert 0.75 < ratio < 1.25


def test_unsure_joint_kernels_stay_where_a_gaussian_is_no_better() -> None:
    """Between 41 and 77 members of three variables, two lobes apart along the first."""
    rng = np.random.default_rng(5)
    states = rng.standard_normal((60, 3))
    states[:, 0] += 1.5 * np.sign(states[:, 0])
    simulated = states[:, :1] ** 2 + 0.5 * rng.standard_normal((60, 1))
    model = chosen((states, simulated, np.array([4.0])))
    assert family.footing_of_many(60, 3) is Footing.UNSURE
    assert model.measurement_kernel == "joint"


def test_no_single_member_decides_against_joint_kernels() -> None:
    """Nine are better by half a nat with them, one is worse by a hundred."""
    joint = np.zeros(10)
    gaussian_scores = np.r_[np.full(9, -0.5), 100.0]
    scored = search.Scored(None, None, 0, 1.0, True, joint, 0.0)  # type: ignore[arg-type]
    other = scored._replace(scores=gaussian_scores)
    assert selection._is_better(other, scored, 0.0, 0.5)
    assert not selection._is_better(other, scored, 0.0, 0.5, 2.0)


@pytest.mark.parametrize(("members", "share"), [(100, 0.9), (250, 0.95)])
def test_bimodal_data_get_kernels(members: int, share: float) -> None:
    count = Counter(
        bool(np.isinf(chosen(folded(members, seed)).measurement_bandwidth))
        for seed in range(REPLICATES // 2)
    )
    assert count[False] >= share * REPLICATES / 2, count


def test_bimodal_answers_have_both_modes_and_little_between() -> None:
    """Exact: a thousandth within +-1; a shift of the members leaves a quarter there."""
    for seed in range(5):
        samples = assimilate(*folded(200, seed), seed=1).samples[:, 0]
        assert 0.25 < np.mean(samples > 0) < 0.75
        assert np.mean(np.abs(samples) < 1) < 0.1
        shifted = assimilate(
            *folded(200, seed),
            options=AnalysisOptions(
                preconditioner="linear", measurement_bandwidth=np.inf
            ),
        ).samples[:, 0]
        assert np.mean(np.abs(shifted) < 1) > 0.2


def test_a_curved_relation_is_not_answered_by_a_straight_line() -> None:
    truth = np.array([1.2**2, np.sin(2.4)])
    linear = AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf)
    errors: dict[str, list[float]] = {"auto": [], "linear": []}
    for seed in range(5):
        for name, options in (("auto", None), ("linear", linear)):
            samples = assimilate(*squared(200, seed), options=options, seed=1).samples
            errors[name].append(float(np.linalg.norm(samples.mean(axis=0) - truth)))
    assert np.mean(errors["auto"]) < 0.5 * np.mean(errors["linear"])


@pytest.mark.parametrize(
    ("members", "read", "most"), [(300, 0.5, 1.6), (1000, 0.5, 1.3)]
)
def test_an_instrument_with_a_relative_error_is_understood(
    members: int, read: float, most: float
) -> None:
    """``y = x (1 + 0.1 e)``, roughly: joint kernels, with one noise for all states,
    leave the states four times as wide as they are. The exact answer is log normal."""
    width, distance = [], []
    for seed in range(6):
        rng = np.random.default_rng([61, seed])
        states = rng.lognormal(size=(members, 1))
        simulated = states * np.exp(0.1 * rng.standard_normal((members, 1)))
        logs = np.log(assimilate(states, simulated, [read], seed=1).samples[:, 0])
        width.append(logs.std())
        distance.append(abs(logs.mean() - np.log(read) / 1.01))
    exact = 0.1 / 1.01**0.5
    assert 0.7 < np.median(width) / exact < most
    assert np.median(distance) < 0.5 * exact


def test_what_the_caller_fixes_stays_fixed() -> None:
    for fixed in (
        {"preconditioner": "linear"},
        {"preconditioner": "none"},
        {"preconditioner": "shrunk"},
        {"state_bandwidth": 0.33},
        {"measurement_bandwidth": 0.77},
        {"measurement_bandwidth": np.inf, "preconditioner": "linear"},
        {"shrink": False},
        {"shrink": True},
        {"preconditioner": "kernel", "shrink": False, "state_bandwidth": 0.5},
    ):
        for triple in (gaussian(), two_lobes()):
            model = chosen(triple, **fixed)
            for name, value in fixed.items():
                assert getattr(model, name) == value


def test_scores_tell_whether_a_gaussian_update_would_have_done() -> None:
    told = []
    for seed in range(10):
        for triple in (gaussian(100, seed=seed), folded(100, seed)):
            facts = assimilate(*triple, seed=1).diagnostics
            model = facts.model
            assert model is not None
            assert model.score is not None and model.gaussian_score is not None
            assert facts.gaussian_preferred == (model.score <= model.gaussian_score)
            told.append(facts.gaussian_preferred)
    assert sum(told[::2]) >= 6 and sum(told[1::2]) <= 1
    fixed = AnalysisOptions(
        preconditioner="none", state_bandwidth=0.5, measurement_bandwidth=0.5
    )
    facts = assimilate(*gaussian(), options=fixed, seed=1).diagnostics
    assert facts.gaussian_preferred is None


def test_a_score_is_a_log_density_in_the_callers_units() -> None:
    """Ten times larger numbers: densities of three variables fall by log 10 each."""
    states, simulated, observation = gaussian(200)
    here = chosen(Triple(states, simulated, observation)).score
    there = chosen(Triple(states * 10, simulated, observation)).score
    assert here is not None and there is not None
    assert there - here == pytest.approx(-3 * np.log(10), abs=1e-6)


def test_scores_are_the_same_in_the_space_that_the_members_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More variables than members: coordinates there, for the same distances."""
    triple = gaussian(40, dx=300, dy=5)
    found = chosen(triple)

    def plainly(batch: Any, frames: Any) -> tuple[Array, Array]:
        rows = batch[0].near.held_out
        left = np.stack([item.regression.held_out_residuals[rows] for item in batch])
        own = np.stack([item.regression.residuals for item in batch])
        return frames.into(left), frames.into(own)

    monkeypatch.setattr(search, "_in_their_span", plainly)
    same = chosen(triple)
    assert found.score is not None
    assert same.score == pytest.approx(found.score, rel=1e-6)
    assert vars_of(found) == vars_of(same)
