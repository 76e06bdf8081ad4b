"""Scores of updates that move the members and have no rival."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ccdm_engine import Localization, assimilate, moved_scores
from ccdm_engine.regression import linear as ols
from tests.engine.ensembles import two_lobes

PLACES = np.arange(6.0)[:, None]


def linear(members: int, dy: int, seed: int, scale: float = 1.0) -> tuple[Any, ...]:
    """Six independent states, each measured dy / 6 times with an error of one half."""
    rng = np.random.default_rng([21, seed])
    states = rng.standard_normal((members, 6))
    simulated = np.repeat(states, dy // 6, axis=1)
    simulated = simulated + 0.5 * rng.standard_normal(simulated.shape)
    return scale * states, simulated, np.zeros(dy)


def local(count: int) -> dict[str, Any]:
    places = np.repeat(PLACES, count, axis=0)
    return {"localization": Localization(PLACES, places, 0.9)}


@pytest.mark.parametrize(
    ("members", "count", "options"), [(24, 3, None), (40, 1, local(1))]
)
def test_a_lone_candidate_has_the_score_that_it_deserves(
    members: int, count: int, options: Any
) -> None:
    """About the entropy of the exact posterior, and not above it on average."""
    variance = 1.0 / (1.0 + count / 0.25)
    best = -3.0 * (np.log(2 * np.pi * variance) + 1.0)
    found = []
    for seed in range(12):
        facts = assimilate(
            *linear(members, 6 * count, seed), options=options, seed=1
        ).diagnostics
        model = facts.model
        assert model is not None
        assert model.score is not None and model.gaussian_score is not None
        assert facts.gaussian_preferred == (model.gaussian_score >= model.score)
        found.append(model.score)
    assert best - 3.5 < np.mean(found) < best + 0.3


@pytest.mark.parametrize(("members", "options"), [(24, None), (40, local(1))])
def test_it_is_a_log_density_in_the_callers_units(members: int, options: Any) -> None:
    dy = 18 if options is None else 6
    here, there = (
        assimilate(
            *linear(members, dy, 0, scale), options=options, seed=1
        ).diagnostics.model
        for scale in (1.0, 10.0)
    )
    assert here is not None and there is not None
    assert here.score is not None and there.score is not None
    assert there.score - here.score == pytest.approx(-6 * np.log(10), abs=1e-6)


def test_nothing_is_scored_where_the_caller_left_no_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("scored")

    monkeypatch.setattr("ccdm_engine.selection.moved_scores", never)
    fixed = {"preconditioner": "shrunk", "measurement_bandwidth": "inf"}
    facts = assimilate(*linear(24, 18, 0), options=fixed, seed=1).diagnostics
    assert facts.model is not None and facts.model.score is None
    assert facts.gaussian_preferred is None
    with pytest.raises(AssertionError, match="scored"):
        assimilate(*linear(24, 18, 0), seed=1)


def test_members_are_told_by_all_others() -> None:
    """As by fitting the regression anew without each of them."""
    states, simulated, observation = linear(30, 12, 3)
    regression = ols(states, simulated, observation)
    found = moved_scores.moved_scores(regression, np.arange(30))
    assert found is not None
    variance = regression.residuals.var(axis=0, ddof=1)
    total = 0.0
    for out in range(30):
        kept = np.arange(30) != out
        fitted = ols(states[kept], simulated[kept], simulated[out])
        error = states[out] - fitted.shifted.mean(axis=0)
        total -= 0.5 * np.sum(error**2 / variance + np.log(2 * np.pi * variance))
    expected = total / 30 - 6 / 30  # six variances were estimated
    # The mean's own share of 1/N is not divided by; unheld, six nats would be gained.
    assert found.chosen == pytest.approx(expected, abs=1.0)


def test_blocks_add_up() -> None:
    part = moved_scores.Scores(1.0, 2.0)
    assert moved_scores.summed([part, part]) == (2.0, 4.0)
    assert moved_scores.summed([part, None]) is None
    assert part.in_units(np.array([1, 2], np.int32)).chosen == 1.0 - 3 * np.log(2)


def test_lobes_are_scored_together() -> None:
    facts = assimilate(*two_lobes(200), seed=1).diagnostics
    assert facts.model is not None and len(facts.lobes) > 1
    assert facts.model.score is not None and facts.model.gaussian_score is not None
