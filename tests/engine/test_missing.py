"""What was not observed is left out; who crashed is named; nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import (
    AnalysisOptions,
    NonFiniteError,
    TooFewMembersError,
    assimilate,
)
from tests.engine.ensembles import Triple, gaussian, two_lobes

Array = npt.NDArray[np.float64]

KERNELS = AnalysisOptions(
    preconditioner="none", state_bandwidth=0.4, measurement_bandwidth=0.6
)
SHIFT = AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf)
OPTIONS = {"auto": AnalysisOptions(), "kernels": KERNELS, "shift": SHIFT}


def with_options(options: AnalysisOptions, **changes: Any) -> AnalysisOptions:
    return AnalysisOptions.from_dict(options.to_dict() | changes)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("gone", [[0], [1], [2], [0, 2]])
def test_a_missing_entry_is_a_column_left_out(name: str, gone: list[int]) -> None:
    states, simulated, observation = gaussian(dy=3)
    partial = observation.copy()
    partial[gone] = np.nan
    marked = assimilate(states, simulated, partial, options=OPTIONS[name], seed=1)
    left_out = assimilate(
        states,
        np.delete(simulated, gone, axis=1),
        np.delete(observation, gone),
        options=OPTIONS[name],
        seed=1,
    )
    assert marked.samples.tobytes() == left_out.samples.tobytes()
    status = marked.diagnostics.observation_status
    assert [i for i, code in enumerate(status) if code == "missing"] == gone
    assert set(np.delete(status, gone)) == {"assimilated"}
    assert np.array_equal(np.isnan(marked.diagnostics.innovation), np.isnan(partial))
    whole = assimilate(states, simulated, observation, options=OPTIONS[name], seed=1)
    assert np.max(np.abs(whole.samples - marked.samples)) > 1e-3


def test_simulated_values_of_a_missing_column_do_not_matter() -> None:
    states, simulated, observation = gaussian(dy=2)
    observation[1] = np.nan
    expected = assimilate(states, simulated, observation, seed=1).samples
    for value in (np.nan, np.inf, 1e300, 0.0):
        simulated[:, 1] = value
        simulated[3, 1] = -1.0
        found = assimilate(states, simulated, observation, seed=1)
        assert found.samples.tobytes() == expected.tobytes()
        assert found.diagnostics.members_failed == ()


@pytest.mark.parametrize("inflation", [1.0, 1.2])
@pytest.mark.parametrize("dy", [0, 1, 3])
def test_nothing_observed_gives_the_forecast_back(dy: int, inflation: float) -> None:
    states = gaussian().states
    analysis = assimilate(
        states,
        np.zeros((60, dy)),
        np.full(dy, np.nan),
        options=AnalysisOptions(inflation=inflation),
        seed=1,
    )
    assert analysis.samples.tobytes() == states.tobytes()
    assert not np.shares_memory(analysis.samples, states)
    facts = analysis.diagnostics
    assert (facts.status, facts.model, facts.score_evaluations) == (
        "unchanged",
        None,
        0,
    )
    assert facts.reason == "nothing was observed"
    assert facts.effective_sample_size == 60
    assert facts.prior_spread == facts.posterior_spread


def test_constant_measurements_cannot_inform() -> None:
    states, simulated, observation = gaussian(dy=2)
    simulated[:, 0] = 7.0
    analysis = assimilate(states, simulated, observation, seed=1)
    assert analysis.diagnostics.observation_status == ("constant", "assimilated")
    expected = assimilate(states, simulated[:, 1:], observation[1:], seed=1).samples
    assert analysis.samples.tobytes() == expected.tobytes()
    simulated[:, 1] = -1.0
    unchanged = assimilate(states, simulated, observation, seed=1)
    assert unchanged.samples.tobytes() == states.tobytes()
    assert "constant" in str(unchanged.diagnostics.reason)


def test_states_that_do_not_vary_come_back() -> None:
    _, simulated, observation = gaussian()
    states = np.tile([1.5, -2.0], (60, 1))
    for scaling in ("auto", "none", "standardize", "whiten"):
        analysis = assimilate(
            states, simulated, observation, options=AnalysisOptions(scaling=scaling)
        )
        assert analysis.samples.tobytes() == states.tobytes()
        assert "state" in str(analysis.diagnostics.reason)


@pytest.mark.parametrize("count", [1, 10, 59, 60, 61, 150])
def test_a_forecast_that_comes_back_may_be_asked_for_in_any_number(count: int) -> None:
    states = gaussian().states
    analysis = assimilate(
        states,
        np.zeros((60, 0)),
        [],
        options=AnalysisOptions(n_samples=count),
    )
    assert analysis.samples.shape == (count, 3)
    assert np.array_equal(analysis.samples, states[np.arange(count) % 60])


def broken(triple: Triple) -> tuple[Triple, list[int]]:
    """Members 2 and 5 with bad states, 11 with a bad measurement."""
    states, simulated, observation = (array.copy() for array in triple)
    states[2, 1], states[5, 0], simulated[11, 0] = np.nan, np.inf, -np.inf
    return Triple(states, simulated, observation), [2, 5, 11]


@pytest.mark.parametrize("name", OPTIONS)
def test_dropping_is_the_same_as_never_sending(name: str) -> None:
    triple, gone = broken(two_lobes())
    options = with_options(OPTIONS[name], failed_members="drop")
    dropped = assimilate(*triple, options=options, seed=2)
    without = assimilate(
        np.delete(triple.states, gone, axis=0),
        np.delete(triple.simulated, gone, axis=0),
        triple.observation,
        options=OPTIONS[name],
        seed=2,
    )
    assert dropped.samples.tobytes() == without.samples.tobytes()
    facts = dropped.diagnostics
    assert facts.n_members == 100 and facts.n_samples == 97
    assert facts.members_used == tuple(np.delete(np.arange(100), gone).tolist())
    reasons = {item["member"]: item["reason"] for item in facts.members_failed}
    assert sorted(reasons) == gone
    assert "state" in reasons[2] and "state" in reasons[5]
    assert "measurement" in reasons[11]


@pytest.mark.parametrize("name", OPTIONS)
def test_refilling_gives_every_member_a_sample(name: str) -> None:
    triple, gone = broken(two_lobes())
    options = with_options(OPTIONS[name], failed_members="refill")
    refilled = assimilate(*triple, options=options, seed=2)
    assert refilled.samples.shape == (100, 3)
    assert np.isfinite(refilled.samples).all()
    assert refilled.diagnostics.n_samples == 100
    if name == "shift":
        drop = with_options(OPTIONS[name], failed_members="drop")
        kept = np.delete(refilled.samples, gone, axis=0)
        expected = assimilate(*triple, options=drop, seed=2).samples
        # Who was there keeps row and value; the newcomers are nobody's copies.
        assert np.array_equal(kept, expected)
        gaps = np.abs(refilled.samples[gone][:, None] - expected).max(axis=2)
        assert gaps.min() > 1e-6


def test_refilled_members_come_from_the_analysis() -> None:
    """Mean and variance of many newcomers are those of the shifted members."""
    states, simulated, observation = gaussian(400)
    states[100:] = np.nan
    options = with_options(SHIFT, failed_members="refill", state_bandwidth=0.2)
    samples = assimilate(
        states, simulated, observation, options=options, seed=3
    ).samples
    there, new = samples[:100], samples[100:]
    error = there.std(axis=0, ddof=1) / np.sqrt(new.shape[0])
    assert np.all(np.abs(new.mean(axis=0) - there.mean(axis=0)) < 4 * error)
    ratio = new.var(axis=0, ddof=1) / there.var(axis=0, ddof=1)
    # Kernels of 0.2 prior spreads may add at most that, beside sampling error.
    assert np.all((ratio > 1 - 4 * np.sqrt(2 / 300)) & (ratio < 1.6))


def test_without_a_policy_the_call_is_refused_with_the_place() -> None:
    triple, _ = broken(two_lobes())
    with pytest.raises(NonFiniteError) as caught:
        assimilate(*triple)
    assert caught.value.index == (2, 1)
    assert "failed_members" in caught.value.remedy


@pytest.mark.parametrize("policy", ["drop", "refill"])
def test_policies_without_failures_change_nothing(policy: str) -> None:
    options = AnalysisOptions(failed_members=policy)
    expected = assimilate(*two_lobes(), seed=4).samples
    found = assimilate(*two_lobes(), options=options, seed=4).samples
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("policy", ["drop", "refill"])
def test_fewer_than_two_working_members_are_too_few(policy: str) -> None:
    states, simulated, observation = two_lobes()
    states[1:] = np.nan
    with pytest.raises(TooFewMembersError) as caught:
        assimilate(
            states,
            simulated,
            observation,
            options=AnalysisOptions(failed_members=policy),
        )
    assert "1 usable" in caught.value.got
    states[7] = 0.0
    assimilate(
        states, simulated, observation, options=AnalysisOptions(failed_members=policy)
    )


@pytest.mark.parametrize("count", [1, 5, 99, 100, 101, 350])
@pytest.mark.parametrize("name", OPTIONS)
def test_any_number_of_samples_may_be_asked_for(name: str, count: int) -> None:
    options = with_options(OPTIONS[name], n_samples=count)
    analysis = assimilate(*two_lobes(), options=options, seed=5)
    assert analysis.samples.shape == (count, 3)
    assert analysis.diagnostics.n_samples == count
    assert np.isfinite(analysis.samples).all()
    assert np.unique(analysis.samples, axis=0).shape[0] == count


def test_fewer_samples_of_a_shift_are_the_first_members() -> None:
    states, simulated, observation = gaussian()
    whole = assimilate(states, simulated, observation, options=SHIFT, seed=6).samples
    for count in (7, 60, 90):
        some = assimilate(
            states,
            simulated,
            observation,
            options=with_options(SHIFT, n_samples=count),
            seed=6,
        ).samples
        assert np.array_equal(some[:60], whole[:count])
