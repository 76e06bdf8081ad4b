"""Clouds with nothing between them are told apart, and keep their shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, assimilate, lobes
from ccdm_engine.lobes import Evidence
from tests.engine.ensembles import Triple, gaussian, two_lobes

Array = npt.NDArray[np.float64]


def clouds(members: int, distance: float, dx: int = 3, seed: int = 0) -> Array:
    """Two normal clouds so many of their deviations apart, by turns."""
    rng = np.random.default_rng([31, seed])
    states = rng.standard_normal((members, dx))
    states[::2] += distance / np.sqrt(dx)
    return states


def folded(members: int, seed: int = 0) -> Triple:
    """``|x|`` observed of two narrow clouds around 1 and -1."""
    rng = np.random.default_rng([32, seed])
    side = np.where(np.arange(members) % 2, 1.0, -1.0)[:, None]
    states = side + 0.1 * rng.standard_normal((members, 1))
    simulated = np.abs(states) + 0.1 * rng.standard_normal((members, 1))
    return Triple(states, simulated, np.array([1.1]))


@pytest.mark.parametrize("dx", [1, 3])
@pytest.mark.parametrize("members", [60, 200])
def test_two_clouds_are_told_apart(dx: int, members: int) -> None:
    for seed in range(10):
        found = lobes.apart(clouds(members, 12.0, dx, seed))
        assert sorted(tuple(part % 2) for part in found) == sorted(
            [(0,) * (members // 2), (1,) * (members // 2)]
        )


def test_four_clouds_are_told_apart() -> None:
    rng = np.random.default_rng(5)
    corner = np.array([[10, 10, 0], [10, -10, 0], [-10, 10, 0], [-10, -10, 0.0]])
    states = corner[np.arange(160) % 4] + rng.standard_normal((160, 3))
    found = lobes.apart(states)
    assert sorted(set(part % 4) for part in found) == [{0}, {1}, {2}, {3}]


@pytest.mark.parametrize("shape", ["normal", "uniform", "skewed", "bent", "close"])
def test_one_cloud_is_one(shape: str) -> None:
    """No division in 40 ensembles: at most 7 in 100 are divided, with 95 % confidence.

    ``close`` are two clouds that overlap, three deviations apart.
    """
    for seed in range(40):
        rng = np.random.default_rng([33, seed])
        z = rng.standard_normal((100, 3))
        states = {
            "normal": z,
            "uniform": rng.random((100, 3)),
            "skewed": np.exp(0.5 * z),
            "bent": np.column_stack([z[:, 0], z[:, 0] ** 2 + 0.5 * z[:, 1], z[:, 2]]),
            "close": clouds(100, 3.0, seed=seed),
        }[shape]
        assert len(lobes.apart(states)) == 1


def test_shares_stay_where_the_evidence_may_be_chance() -> None:
    for gap in (0.0, 0.1, 0.5):
        told = [Evidence(30, 1.0 + gap, 0.05), Evidence(20, 1.0, 0.05)]
        np.testing.assert_allclose(lobes.shares(told), [0.6, 0.4])


def test_strong_evidence_counts_as_bayes_has_it() -> None:
    told = [Evidence(30, 1.0, 1e-9), Evidence(20, 3.0, 1e-9)]
    expected = np.array([0.6, 0.4 * np.exp(2.0)])
    np.testing.assert_allclose(lobes.shares(told), expected / expected.sum())


def test_samples_are_handed_out_whole() -> None:
    parts = [np.arange(30), np.arange(30, 50)]
    for share in np.linspace(0, 1, 23):
        due = lobes.counts(np.array([share, 1 - share]), parts, 77)
        assert due.sum() == 77 and abs(due[0] - 77 * share) <= 1
    assert lobes.counts(np.array([0.6, 0.4]), parts, 50).tolist() == [30, 20]


def test_each_cloud_is_analysed_by_itself() -> None:
    """Exact: both clouds at +-(1 + 0.05), deviation 0.1 / sqrt 2, half of each.

    A mean of 30 has the standard error 0.013, and five of them are allowed.
    """
    for seed in range(5):
        states, simulated, observation = folded(60, seed)
        analysis = assimilate(states, simulated, observation, seed=seed)
        facts = analysis.diagnostics
        assert facts.lobes == (0.5, 0.5)
        x = analysis.samples[:, 0]
        assert np.sum(x > 0) == 30
        assert abs(x[x > 0].mean() - 1.05) < 0.065 > abs(x[x < 0].mean() + 1.05)
        assert 0.04 < x[x > 0].std() < 0.1
        assert facts.gaussian_preferred is False


def test_evidence_moves_samples_to_the_likelier_cloud() -> None:
    """The right cloud is ten deviations from what was read."""
    states, simulated, _ = folded(60)
    simulated = states + 0.1 * (simulated - np.abs(states))
    facts = assimilate(states, simulated, np.array([-1.0]), seed=1).diagnostics
    assert max(facts.lobes) > 0.99


@pytest.mark.parametrize("make", [folded, two_lobes])
def test_the_order_of_members_makes_no_difference(make: object) -> None:
    states, simulated, observation = make(100)  # type: ignore[operator]
    order = np.random.default_rng(3).permutation(100)
    here = assimilate(states, simulated, observation, seed=1).samples
    there = assimilate(states[order], simulated[order], observation, seed=1).samples
    gap = np.abs(here - there) / states.std(axis=0)
    assert np.max(gap) < 1e-4


def test_members_that_are_moved_keep_their_places() -> None:
    """An exact straight measurement leaves a shift within each cloud."""
    states = clouds(100, 12.0)
    simulated = states @ np.array([[1.0], [-1.0], [0.0]])
    analysis = assimilate(states, simulated, np.array([0.3]), seed=1)
    assert analysis.diagnostics.sampler == "shift"
    assert len(analysis.diagnostics.lobes) == 2
    moved = analysis.samples - states
    assert np.array_equal(analysis.samples.sum(axis=1) > 6, np.arange(100) % 2 == 0)
    assert np.max(np.abs(moved)) < 6


def test_a_few_members_are_divided_and_fewer_are_not() -> None:
    """Clouds of ten are in one variable, of four not."""
    assert assimilate(*folded(20), seed=1).diagnostics.lobes == (0.5, 0.5)
    assert assimilate(*folded(8), seed=1).diagnostics.lobes == ()


def test_more_or_fewer_samples_than_members() -> None:
    states, simulated, observation = folded(60)
    for count in (1, 7, 61, 500):
        options = AnalysisOptions(n_samples=count)
        analysis = assimilate(states, simulated, observation, options=options, seed=1)
        assert analysis.samples.shape == (count, 1)
        assert sum(analysis.diagnostics.lobes) == pytest.approx(1.0)


def test_without_lobes_the_diagnostics_have_none() -> None:
    assert assimilate(*gaussian(60), seed=1).diagnostics.lobes == ()


@pytest.mark.parametrize(
    "fields",
    [{}, {"inflation": "adaptive", "learned_inflation": 1.3}, {"inflation": 1.2}],
)
def test_widening_does_not_push_the_clouds_apart(fields: dict[str, Any]) -> None:
    """Each is widened around its own mean; around that of all it would be near 1.3."""
    states, simulated, _ = folded(100)
    samples = assimilate(states, simulated, [1.05], options=fields, seed=1).samples
    assert np.mean(np.abs(samples)) == pytest.approx(1.03, abs=0.03)


def test_a_far_reading_is_followed_within_each_cloud() -> None:
    """What was read, and no further: |x| of 2 from clouds at 1."""
    states, simulated, _ = folded(100)
    samples = assimilate(states, simulated, [2.0], seed=1).samples
    assert 1.2 < np.mean(np.abs(samples)) < 2.1


def test_what_is_constant_in_a_cloud_is_set_aside() -> None:
    """A flag that tells the clouds apart, as a state and as a measurement."""
    rng = np.random.default_rng(4)
    flag = np.arange(200) % 2
    states = np.column_stack([flag, rng.standard_normal(200) + 12 * flag])
    simulated = np.column_stack([states[:, 1] + 0.3 * rng.standard_normal(200), flag])
    analysis = assimilate(states, simulated, [12.0, 1.0], seed=1)
    assert np.array_equal(analysis.samples[:, 0], np.ones(200))
    assert abs(analysis.samples[:, 1].mean() - 12.0) < 0.1


def test_dry_members_stay_dry() -> None:
    """Half the members have no rain at all, and some was measured."""
    rng = np.random.default_rng(5)
    rain = np.where(np.arange(200) % 2, 5 + 0.5 * rng.standard_normal(200), 0.0)
    simulated = (rain * (1 + 0.1 * rng.standard_normal(200)))[:, None]
    wet = assimilate(rain[:, None], simulated, [5.0], seed=1).samples
    assert np.all(wet > 3)
    dry = assimilate(rain[:, None], simulated, [0.0], seed=1).samples
    assert np.array_equal(dry, np.zeros((200, 1)))


@pytest.mark.parametrize("fewer", [6, 10, 16, 30])
def test_a_hopeless_cloud_is_ruled_out_however_small(fewer: int) -> None:
    """Seventy deviations away."""
    rng = np.random.default_rng(6)
    states = np.where(np.arange(100) < fewer, -1.0, 1.0)[:, None]
    states = states + 0.02 * rng.standard_normal((100, 1))
    simulated = states + 0.02 * rng.standard_normal((100, 1))
    samples = assimilate(states, simulated, [1.0], seed=1).samples
    assert np.all(samples > 0)


def test_a_hopeless_cloud_does_not_decide_between_two_others() -> None:
    told = [Evidence(30, 0.0, 1.0), Evidence(30, -0.5, 1.0), Evidence(30, -1e4, 1e6)]
    np.testing.assert_allclose(lobes.shares(told), [0.5, 0.5, 0.0], atol=1e-12)


@pytest.mark.parametrize("size", [1e80, 1e120])
def test_readings_without_measure_are_no_crash(size: float) -> None:
    states = clouds(120, 40.0)
    rng = np.random.default_rng(7)
    simulated = states[:, :1] + 0.3 * rng.standard_normal((120, 1))
    analysis = assimilate(states, simulated, [size], seed=1)
    assert np.isfinite(analysis.samples).all()


def test_refilled_members_keep_their_places() -> None:
    states = clouds(100, 12.0)
    simulated = states @ np.array([[1.0], [-1.0], [0.0]])
    states[[3, 8]] = np.nan
    options = AnalysisOptions(failed_members="refill")
    analysis = assimilate(states, simulated, [0.3], options=options, seed=1)
    assert analysis.diagnostics.sampler == "shift"
    kept = np.delete(np.arange(100), [3, 8])
    assert np.array_equal(analysis.samples[kept].sum(axis=1) > 6, kept % 2 == 0)


def test_members_that_carry_the_analysis_are_no_more_than_there_are() -> None:
    """Also where a cloud learns nothing: half the members are constant."""
    rng = np.random.default_rng(8)
    rain = np.where(np.arange(100) % 4, 0.0, 5 + 0.5 * rng.standard_normal(100))
    simulated = (rain * (1 + 0.1 * rng.standard_normal(100)))[:, None]
    for reading in (0.0, 2.5, 5.0):
        facts = assimilate(rain[:, None], simulated, [reading], seed=1).diagnostics
        assert 0 < facts.effective_sample_size <= 100 + 1e-9
        assert sum(facts.lobes) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clouds_that_foretell_the_same_keep_their_shares(seed: int) -> None:
    """Two switches, one of them read exactly: nothing is said of the other."""
    states = np.random.default_rng(seed).integers(0, 2, (60, 2)).astype(float)
    samples = assimilate(states, states[:, :1], [0.99], seed=1).samples
    before = np.mean(states[states[:, 0] == 1, 1])
    after = np.mean(samples[samples[:, 0] == 1, 1])
    assert after == pytest.approx(before, abs=1 / 30)


def test_far_out_the_smallest_lobe_does_not_win_by_its_tails() -> None:
    """Both foretell the same, and as sharply."""
    rng = np.random.default_rng(5)
    simulated = 1.0 + 1e-3 * rng.standard_normal((100, 1))
    divided = [np.arange(90), np.arange(90, 100)]
    for far in (10.0, 1e4):
        told = lobes.evidence(simulated, np.array([far]), divided)
        assert told[0].log == pytest.approx(told[1].log, abs=3.0)
        assert lobes.shares(told)[1] == pytest.approx(0.1, abs=0.05)


def opposed(members: int, far: float) -> Triple:
    """Two clouds in which the second state follows the measured one, up and down."""
    rng = np.random.default_rng(21)
    side = np.where(np.arange(members) % 2, 1.0, -1.0)
    measured = rng.standard_normal(members)
    along = 5.0 * side * measured + 0.5 * rng.standard_normal(members)
    states = np.stack([10.0 * side + rng.standard_normal(members), along, measured], 1)
    simulated = measured[:, None] + 0.3 * rng.standard_normal((members, 1))
    return Triple(states, simulated, np.array([far]))


def reach(states: Array, of: Array) -> Array:
    """Distances from the mean of the states in units of their covariance."""
    gaps = of - states.mean(axis=0)
    inverse = np.linalg.inv(np.cov(states.T))
    return np.sqrt(np.einsum("ij,jk,ik->i", gaps, inverse, gaps))


@pytest.mark.parametrize("count", [None, 333])
def test_slopes_of_lobes_are_not_believed_where_no_member_is(count: int | None) -> None:
    """They would put both clouds 60 away, where the forecast's deviation is 5."""
    options = AnalysisOptions(n_samples=count)
    for far, most in ((1.0, 1.0), (12.0, 1.0 + 1e-9)):
        states, simulated, observation = opposed(120, far)
        analysis = assimilate(states, simulated, observation, options=options, seed=1)
        assert len(analysis.diagnostics.lobes) == 2
        farthest = reach(states, states).max()
        assert reach(states, analysis.samples).max() <= most * farthest
    # They did go there as far as members are.
    assert reach(states, analysis.samples).max() > 0.999 * farthest
    assert analysis.samples[:, 2].mean() > states[:, 2].max() - 1.0


def test_lobes_that_are_to_be_wider_may_reach_farther() -> None:
    states, simulated, _ = opposed(120, 0.0)
    calm = np.array([0.1])
    plain, wide = (
        assimilate(
            states,
            simulated,
            calm,
            options=AnalysisOptions(inflation=factor),
            seed=1,
        ).samples
        for factor in (1.0, 6.0)
    )
    side = plain[:, 0] > 0
    for lobe in (side, ~side):
        gaps = plain[lobe] - plain[lobe].mean(axis=0)
        wanted = plain[lobe].mean(axis=0) + 6.0 * gaps
        assert np.allclose(wide[lobe], wanted, atol=1e-9)
    assert reach(states, wide).max() > reach(states, states).max()
