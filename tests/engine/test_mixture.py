"""The closed-form mixture: identities, derivatives and limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from ccdm_engine.mixture import (
    Mixture,
    conditional_log_weights,
    effective_sample_size,
)
from tests.engine.law import Law

Array = npt.NDArray[np.float64]


def mixture(seed: int = 0, members: int = 12, d: int = 3, h: float = 0.4) -> Mixture:
    rng = np.random.default_rng([4, seed])
    weights = rng.random(members) + 0.01
    return Mixture(
        rng.standard_normal((members, d)), np.log(weights / weights.sum()), h
    )


def law(of: Mixture) -> Law:
    return Law(of.centres, of.weights, of.bandwidth)


def slow_denoise(of: Mixture, x: Array, s: float) -> Array:
    """One point and one member at a time."""
    out = np.empty_like(x)
    for row, point in enumerate(x):
        logits = [
            of.log_weights[i] - np.sum((point - c) ** 2) / (2 * s**2)
            for i, c in enumerate(of.centres)
        ]
        shares = np.exp(logits - logsumexp(logits))
        out[row] = sum(share * c for share, c in zip(shares, of.centres, strict=True))
    return out


@pytest.mark.parametrize("s", [None, 0.4, 1.0, 7.0])
def test_score_is_the_gradient_of_the_log_density(s: float | None) -> None:
    of, points = mixture(), np.random.default_rng(1).standard_normal((20, 3)) * 2
    step = 1e-5
    numeric = np.stack(
        [
            (of.log_density(points + e, s) - of.log_density(points - e, s)) / (2 * step)
            for e in step * np.eye(3)
        ],
        axis=1,
    )
    # Central differences: error of order step^2, rounding of order 1e-16 / step.
    assert np.max(np.abs(numeric - of.score(points, s))) < 1e-8


def test_log_density_is_normalised() -> None:
    of = mixture(d=1)
    x = np.linspace(-8, 8, 4001)
    for s in (0.4, 1.3):
        total = np.trapezoid(np.exp(of.log_density(x[:, None], s)), x)
        assert total == pytest.approx(1.0, abs=1e-6)


def test_density_of_the_noised_mixture_is_the_law_plus_noise() -> None:
    of = mixture()
    noised = Mixture(of.centres, of.log_weights, 0.9)
    x = np.random.default_rng(2).standard_normal((30, 3))
    assert np.allclose(of.log_density(x, 0.9), noised.log_density(x))


@pytest.mark.parametrize("s", [0.01, 0.4, 3.0, 100.0])
def test_denoiser_is_the_responsibility_weighted_mean(s: float) -> None:
    of = mixture()
    points = np.random.default_rng(3).standard_normal((40, 3)) * 3
    assert np.max(np.abs(of.denoise(points, s) - slow_denoise(of, points, s))) < 1e-10
    assert np.allclose(of.score(points, s), (of.denoise(points, s) - points) / s**2)


def test_denoised_points_stay_inside_the_ensemble() -> None:
    of = mixture(d=2)
    points = np.random.default_rng(4).standard_normal((200, 2)) * 50
    low, high = of.centres.min(axis=0), of.centres.max(axis=0)
    for s in (1e-6, 0.1, 1.0, 1e3):
        found = of.denoise(points, s)
        assert np.all((found >= low - 1e-9) & (found <= high + 1e-9))


def test_limits_of_the_denoiser() -> None:
    """All noise: the weighted mean. No noise: the nearest centre."""
    of = mixture()
    points = np.random.default_rng(5).standard_normal((50, 3))
    assert np.max(np.abs(of.denoise(points, 1e8) - of.weights @ of.centres)) < 1e-10
    gaps = np.sum((points[:, None] - of.centres) ** 2, axis=2)
    nearest = of.centres[np.argmin(gaps, axis=1)]
    assert np.max(np.abs(of.denoise(points, 1e-4) - nearest)) < 1e-10
    assert np.max(np.abs(of.denoise(of.centres, 1e-9) - of.centres)) < 1e-10


def test_tweedie_the_score_knows_the_posterior_mean_and_spread() -> None:
    """``dm/dx = Cov(centre | x) / s^2``: by differences, against the definition."""
    of, s, step = mixture(d=2), 0.8, 1e-5
    point = np.array([[0.3, -0.2]])
    jacobian = np.stack(
        [
            (of.denoise(point + e, s) - of.denoise(point - e, s))[0] / (2 * step)
            for e in step * np.eye(2)
        ],
        axis=1,
    )
    logits = of.log_weights - np.sum((point - of.centres) ** 2, axis=1) / (2 * s**2)
    shares = np.exp(logits - logsumexp(logits))
    gaps = of.centres - shares @ of.centres
    covariance = (gaps * shares[:, None]).T @ gaps
    assert np.allclose(jacobian, covariance / s**2, atol=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
def test_single_precision_is_near_double_wherever_the_ensemble_lies(
    shift: float,
) -> None:
    of = mixture()
    moved = Mixture(of.centres + shift, of.log_weights, of.bandwidth)
    points = np.random.default_rng(6).standard_normal((100, 3))
    double = moved.denoiser(np.float64)(points + shift, 0.5) - shift
    assert np.max(np.abs(double - of.denoise(points, 0.5))) < 1e-8 * (1 + shift)
    single = moved.denoiser(np.float32)(points + shift, 0.5) - shift
    assert np.max(np.abs(single - double)) < 1e-5


def test_moments() -> None:
    of = mixture()
    assert np.allclose(of.mean, law(of).mean)
    assert np.allclose(
        of.centre_covariance() + of.bandwidth**2 * np.eye(3), law(of).covariance
    )
    reach = np.linalg.norm(of.centres - of.mean, axis=1)
    assert of.radius == pytest.approx(reach.max())


distances = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


@settings(deadline=None, derandomize=True)
@given(distances=distances, bandwidth=st.floats(1e-8, 1e8))
def test_weights_are_gaussian_in_the_measurement_distance(
    distances: list[float], bandwidth: float
) -> None:
    square = np.array(distances) ** 2
    found = conditional_log_weights(square, bandwidth)
    assert logsumexp(found) == pytest.approx(0.0, abs=1e-9)
    expected = -(square - square.min()) / (2 * bandwidth**2)
    assert np.allclose(found - found.max(), expected, rtol=1e-9)
    assert 1 - 1e-9 <= effective_sample_size(found) <= len(distances) + 1e-9


def test_weights_at_the_ends() -> None:
    square = np.array([4.0, 1.0, 9.0, 1.0])
    with np.errstate(all="raise", under="ignore"):
        tiny = conditional_log_weights(square, 1e-12)
        assert np.allclose(np.exp(tiny), [0, 0.5, 0, 0.5])
        equal = conditional_log_weights(square, np.inf)
        assert np.allclose(np.exp(equal), 0.25)
    many = conditional_log_weights(np.stack([square, square[::-1]]), 1.0)
    assert np.array_equal(many[0], many[1][::-1])


def test_effective_sample_size_counts_equal_weights() -> None:
    for count in (1, 7, 1000):
        logs = np.concatenate([np.full(count, -np.log(count)), np.full(5, -np.inf)])
        assert effective_sample_size(logs) == pytest.approx(count)


@pytest.mark.parametrize("lost", [0.0, 1e-6, 0.01, 0.3])
def test_pruning_costs_no_more_than_it_says_in_total_variation(lost: float) -> None:
    rng = np.random.default_rng(7)
    logs = rng.standard_normal(60) * 4
    of = Mixture(rng.standard_normal((60, 1)) * 3, logs - logsumexp(logs), 0.3)
    pruned = of.pruned(lost)
    gone = 1 - np.isin(of.centres[:, 0], pruned.centres[:, 0]) @ of.weights
    assert gone <= lost + 1e-12
    assert logsumexp(pruned.log_weights) == pytest.approx(0.0, abs=1e-12)
    x = np.linspace(-15, 15, 6001)[:, None]
    gap = np.abs(np.exp(of.log_density(x)) - np.exp(pruned.log_density(x)))
    assert 0.5 * np.trapezoid(gap, x[:, 0]) <= lost + 1e-9
    # As many go as may: the lightest one left would be too much.
    left = of.weights[np.isin(of.centres[:, 0], pruned.centres[:, 0])]
    assert gone + left.min() > lost
    assert (pruned.centres.shape[0] < 60) == (lost > 1e-9)


def test_shrinkage_keeps_mean_and_variance() -> None:
    """In coordinates of unit variance the kernels then add nothing (West 1993)."""
    of = mixture(members=300, d=2, h=0.6)
    gaps = of.centres - of.mean
    root = np.linalg.cholesky(of.centre_covariance())
    unit = Mixture(gaps @ np.linalg.inv(root).T, of.log_weights, 0.6)
    shrunk = unit.shrunk()
    assert np.allclose(shrunk.mean, unit.mean, atol=1e-12)
    assert np.allclose(law(shrunk).covariance, np.eye(2), atol=1e-10)
    assert np.allclose(law(unit).covariance, (1 + 0.36) * np.eye(2), atol=1e-10)
    single = Mixture(unit.centres, unit.log_weights, 1.7).shrunk()
    assert single.bandwidth == 1.0 and single.radius < 1e-12


def test_coordinates_from_the_mean_need_no_other_origin() -> None:
    of = mixture()
    moved = Mixture(of.centres - of.mean, of.log_weights, of.bandwidth)
    points = np.random.default_rng(9).standard_normal((64, 3))
    found = moved.denoiser(np.float64, centred=True)(points, 0.4)
    assert np.max(np.abs(found + of.mean - of.denoise(points + of.mean, 0.4))) < 1e-13


@pytest.mark.parametrize("members", [12, 300])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 16, 40])
def test_batches_together_have_the_bytes_of_each_alone(
    members: int, count: int, size: int
) -> None:
    """Also where one of them has a point so far out that its sums vanish.

    And whether coordinates or points are stored one after the other.
    """
    of = mixture(members=members)
    rng = np.random.default_rng(3)
    points = rng.standard_normal((count, size, 3), dtype=np.float32)
    points[count // 2, size // 2] += 60.0
    across = np.ascontiguousarray(points.swapaxes(1, 2)).swapaxes(1, 2)
    together, alone = of.denoiser(np.float32), of.denoiser(np.float32)
    for s in (0.5, 4.0, 0.5):
        parts = np.stack([alone(batch, s) for batch in points])
        assert together(points, s).tobytes() == parts.tobytes()
        assert together(across, s).tobytes() == parts.tobytes()


def test_many_variables_leave_no_sum_too_large_for_single_precision() -> None:
    """At a centre all of ``exp(d / 2)`` is there, which 200 variables put beyond it."""
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((12, 200))
    of = Mixture(centres, np.full(12, -np.log(12.0)), 0.5)
    with np.errstate(over="ignore"):  # as the engine does
        single = of.denoiser(np.float32)(centres, 0.5)
        double = of.denoise(centres, 0.5)
    assert np.max(np.abs(single - double)) < 1e-4
    assert np.max(np.abs(single - centres)) < 1e-4


def test_known_facts_follow_into_other_coordinates() -> None:
    of = mixture()
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    centres = (of.centres - 1.5) @ turn / 0.25
    placed = of.placed(centres, 0.25)
    fresh = Mixture(centres, of.log_weights, of.bandwidth / 0.25)
    assert placed.bandwidth == fresh.bandwidth
    assert placed.radius == pytest.approx(fresh.radius, rel=1e-12)
    assert np.array_equal(placed.weights, fresh.weights)
