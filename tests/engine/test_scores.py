"""Scores against closed forms, brute force and their invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from ccdm_engine import scores
from ccdm_engine.errors import ShapeError


def gaussian_quantiles(count: int) -> np.ndarray:
    return ndtri((np.arange(count) + 0.5) / count)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def test_rmse_is_of_the_mean_over_the_variables():
    assert scores.rmse([[0.0, 1.0], [2.0, 3.0]], [4.0, 2.0]) == math.sqrt(9 / 2)


def test_spread_uses_the_unbiased_variance():
    assert scores.spread([[0.0, 0.0], [2.0, 4.0]]) == pytest.approx(math.sqrt(5.0))


def test_crps_of_two_members_by_hand():
    # E|X - 1| = 1; E|X - X'| = 1 with repetition, 2 without.
    assert scores.crps([[0.0], [2.0]], [1.0]) == pytest.approx(0.5)
    assert scores.crps([[0.0], [2.0]], [1.0], fair=True) == pytest.approx(0.0)


@pytest.mark.parametrize("truth", [-1.3, 0.0, 2.5])
def test_crps_of_a_gaussian_is_the_closed_form(truth):
    # Gneiting et al. (2005), equation 5; quantiles instead of draws leave a
    # discretisation error of order 1 / N.
    mean, deviation, count = 0.7, 2.0, 20_000
    z = (truth - mean) / deviation
    bell = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    exact = deviation * (z * (2 * ndtr(z) - 1) + 2 * bell - 1 / math.sqrt(math.pi))
    members = mean + deviation * gaussian_quantiles(count)[:, None]
    assert scores.crps(members, [truth]) == pytest.approx(exact, abs=20 / count)


@pytest.mark.parametrize("fair", [False, True])
def test_crps_is_the_double_sum(rng, fair):
    members, truth = rng.standard_normal((17, 4)), rng.standard_normal(4)
    gaps = np.abs(members[:, None] - members[None]).sum(axis=(0, 1))
    divisor = 17 * 16 if fair else 17**2
    expected = np.abs(members - truth).mean(axis=0) - gaps / (2 * divisor)
    found = scores.crps_by_variable(members, truth, fair=fair)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_crps_keeps_its_digits_far_from_the_origin(rng):
    members, truth = rng.standard_normal((50, 2)), rng.standard_normal(2)
    near, far = scores.crps(members, truth), scores.crps(members + 1e8, truth + 1e8)
    assert far == pytest.approx(near, abs=1e-7)


def test_fair_crps_does_not_depend_on_the_ensemble_size(rng):
    # Six standard errors of a difference of two means: false alarm below 1e-8. The
    # standard form differs by 1/sqrt(pi) (1/2 - 1/20) = 0.25 and must be told apart.
    def sample(size: int, fair: bool) -> np.ndarray:
        draws = rng.standard_normal((4000, size + 1))
        return np.array([scores.crps(d[1:, None], d[:1], fair=fair) for d in draws])

    def gap(fair: bool) -> float:
        small, large = sample(2, fair), sample(20, fair)
        error = math.sqrt((small.var() + large.var()) / 4000)
        return abs(small.mean() - large.mean()) / error

    assert gap(fair=True) < 6 < gap(fair=False)


def test_crps_and_energy_score_are_proper(rng):
    # The right belief against one that is shifted, too narrow or too wide.
    truths = rng.standard_normal((2000, 2))
    base = rng.standard_normal((100, 2))
    wrong = [base + 0.5, base * 0.4, base * 2.5]
    for score in (scores.crps, scores.energy_score):
        right = np.array([score(base, truth) for truth in truths])
        for other in wrong:
            gap = np.array([score(other, truth) for truth in truths]) - right
            assert gap.mean() > 4 * gap.std() / math.sqrt(truths.shape[0])


@pytest.mark.parametrize("fair", [False, True])
def test_energy_score_in_one_variable_is_the_crps(rng, fair):
    members, truth = rng.standard_normal((23, 1)), rng.standard_normal(1)
    assert scores.energy_score(members, truth, fair=fair) == pytest.approx(
        scores.crps(members, truth, fair=fair)
    )


def test_energy_score_does_not_see_rotations(rng):
    members, truth = rng.standard_normal((30, 3)), rng.standard_normal(3)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    assert scores.energy_score(members @ turn, truth @ turn) == pytest.approx(
        scores.energy_score(members, truth)
    )


def test_energy_score_sees_dependence_where_the_crps_does_not(rng):
    line = rng.standard_normal(400)
    aligned = np.column_stack([line, line])
    crossed = np.column_stack([line, -line])
    truth = np.array([1.5, 1.5])
    assert scores.crps_by_variable(aligned, truth)[0] == pytest.approx(
        scores.crps_by_variable(crossed, truth)[0]
    )
    assert scores.energy_score(aligned, truth) < scores.energy_score(crossed, truth)


@pytest.mark.parametrize("shape", [(40, 1), (40, 3)])
def test_w2_of_a_translation_is_its_length(rng, shape):
    members = rng.standard_normal(shape)
    shift = rng.standard_normal(shape[1])
    shuffled = rng.permutation(members + shift)
    distance = scores.wasserstein2(members, shuffled)
    assert distance == pytest.approx(np.linalg.norm(shift))
    assert scores.wasserstein2(members, members) == 0.0


def test_w2_between_gaussians_is_the_closed_form():
    quantiles = gaussian_quantiles(5000)[:, None]
    distance = scores.wasserstein2(1 + 2 * quantiles, -2 + 0.5 * quantiles)
    assert distance == pytest.approx(math.hypot(3.0, 1.5), rel=1e-3)


def test_w2_by_assignment_agrees_with_quantiles(rng):
    here, there = rng.standard_normal((12, 1)), rng.standard_normal((36, 1)) + 1
    flat = scores.wasserstein2(here, there)
    lifted = scores.wasserstein2(np.c_[here, 0 * here], np.c_[there, 0 * there])
    assert lifted == pytest.approx(flat)
    assert scores.wasserstein2(there, here) == pytest.approx(flat)


def test_w2_of_coprime_sizes_in_one_variable():
    # Quantile functions of {0, 3} and {0, 1, 5}: gaps 0, 1, 2, 2 on sixths
    # 2, 1, 1, 2.
    distance = scores.wasserstein2([[0.0], [3.0]], [[5.0], [0.0], [1.0]])
    assert distance == pytest.approx(math.sqrt((0 * 2 + 1 * 1 + 4 * 1 + 4 * 2) / 6))


def test_w2_agrees_with_a_kept_library(rng):
    ot = pytest.importorskip("ot", reason="needs POT: pip install '.[bench]'")
    here, there = rng.standard_normal((20, 3)), rng.standard_normal((40, 3)) + 1
    exact = ot.emd2([], [], ot.dist(here, there))
    assert scores.wasserstein2(here, there) == pytest.approx(math.sqrt(exact))


def test_ranks_count_members_below_and_share_ties(rng):
    ensemble = np.array([[0.0, 5.0, 1.0], [1.0, 6.0, 1.0], [2.0, 7.0, 1.0]])
    found = np.array([scores.ranks(ensemble, [1.5, 9.0, 1.0], rng) for _ in range(400)])
    assert set(found[:, 0]) == {2}
    assert set(found[:, 1]) == {3}
    assert set(found[:, 2]) == {0, 1, 2, 3}


def test_rank_histogram_is_flat_only_for_a_calibrated_ensemble(rng):
    # p < 1e-6 by chance once in a million; a spread of a third gives far less.
    truths = rng.standard_normal(3000)
    draws = rng.standard_normal((3000, 9))

    def p_value(width: float) -> float:
        pairs = zip(draws, truths, strict=True)
        found = [scores.ranks(width * d[:, None], [t], rng)[0] for d, t in pairs]
        return scores.rank_histogram(found, 9).p_value

    assert p_value(1.0) > 1e-6
    assert p_value(1 / 3) < 1e-12


def test_rank_histogram_counts_and_expects_by_group():
    histogram = scores.rank_histogram([[0, 0], [4, 2]], 4, bins=2)
    # Ranks 0..2 form the first bin, 3 and 4 the second.
    assert histogram.counts.tolist() == [3, 1]
    np.testing.assert_allclose(histogram.expected, [4 * 3 / 5, 4 * 2 / 5])
    expected = (3 - 2.4) ** 2 / 2.4 + (1 - 1.6) ** 2 / 1.6
    assert histogram.chi_square == pytest.approx(expected)
    # One degree of freedom: P(Z^2 > c) = 2 (1 - Phi(sqrt c)).
    tail = 2 * ndtr(-math.sqrt(expected))
    assert histogram.p_value == pytest.approx(tail)


def test_rank_histogram_of_no_ranks_is_empty():
    histogram = scores.rank_histogram(np.empty(0, dtype=int), 4)
    assert histogram.counts.tolist() == [0] * 5
    assert (histogram.chi_square, histogram.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.rmse([1.0, 2.0], [1.0]),
        lambda: scores.rmse([[1.0], [2.0]], [1.0, 2.0]),
        lambda: scores.spread([[1.0]]),
        lambda: scores.crps([[1.0]], [1.0], fair=True),
        lambda: scores.wasserstein2(np.zeros((3, 2)), np.zeros((3, 1))),
        lambda: scores.wasserstein2(np.zeros((3, 2)), np.zeros((4, 2))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(ShapeError):
        call()
