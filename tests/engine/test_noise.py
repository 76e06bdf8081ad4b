"""The noise told from the pairs, and latents that are spread evenly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest

from ccdm_engine import AnalysisOptions, assimilate, joint, noise, streams
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.pairs import Pairs, perturb, screen
from ccdm_engine.streams import MOST_STRATIFIED, normal_points


def pairs(members: int, kind: str, seed: int = 1) -> Pairs:
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, 2))
    noise = 0.3 * rng.standard_normal((members, 2))
    exact = states @ np.array([[1.0, 0.5], [-0.5, 2.0]])
    simulated = {
        "straight": exact + noise,
        "curved": states**2 + noise,
        "exact": exact,
        "open": exact[:, :1] + noise[:, :1],
    }[kind]
    return screen(states, simulated, np.zeros(simulated.shape[1]))


def test_the_noise_of_straight_measurements_is_found() -> None:
    """A sample covariance of N = 400 errs by 7 % per entry; four times is allowed."""
    parts = noise.regressed(pairs(400, "straight"))
    assert parts is not None
    assert not parts.curved
    assert np.max(np.abs(parts.covariance / 0.09 - np.eye(2))) < 0.28
    exact = pairs(400, "exact").simulated
    assert np.sqrt(np.mean((parts.fitted - exact) ** 2)) < 0.1


def test_the_noise_of_curved_measurements_is_found() -> None:
    """Squares and products follow ``x^2`` exactly; a straight line would leave 1.4.

    A sample variance of 300 errs by 8 % in the variance; four times is allowed.
    """
    parts = noise.regressed(pairs(300, "curved"))
    assert parts is not None
    assert parts.curved
    assert np.max(np.abs(parts.covariance / 0.09 - np.eye(2))) < 0.33
    exact = pairs(300, "curved").states ** 2
    assert np.sqrt(np.mean((parts.fitted - exact) ** 2)) < 0.1


@pytest.mark.parametrize(("members", "kind"), [(400, "exact"), (14, "straight")])
def test_no_noise_is_told_where_it_cannot_be(members: int, kind: str) -> None:
    """No noise, and too few members."""
    assert noise.regressed(pairs(members, kind)) is None


def test_declared_noise_is_known_exactly() -> None:
    given = perturb(pairs(40, "exact"), [0.3, 0.2], np.random.default_rng(1))
    parts = noise.known(given)
    assert parts is not None
    assert np.allclose(parts.covariance, np.diag([0.09, 0.04]), rtol=1e-15, atol=0)
    assert np.max(np.abs(parts.fitted - pairs(40, "exact").simulated)) < 1e-14
    assert noise.known(pairs(40, "exact")) is None
    assert noise.known(perturb(given, [0.3, 0.0], np.random.default_rng(1))) is None


def observed_sums(members: int, seed: int = 0) -> tuple[Any, Any]:
    """States of 30 variables; a variable, a sum of two, of all, of none, and noise."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, 30))
    exact = np.stack(
        [
            states[:, 3],
            states[:, 5] - states[:, 20],
            states.sum(axis=1) / np.sqrt(30),
            np.zeros(members),
        ],
        axis=1,
    )
    return states, exact + 0.5 * rng.standard_normal((members, 4))


def test_few_states_are_found_behind_a_measurement() -> None:
    """Means over 40 ensembles of 60: their errors are below 0.02."""
    errors, variances = [], []
    for seed in range(40):
        states, simulated = observed_sums(60, seed)
        parts = noise.sparse(states, simulated)
        exact = np.stack([states[:, 3], states[:, 5] - states[:, 20]], axis=1)
        errors.append(np.mean((parts.fitted[:, :2] - exact) ** 2))
        variances.append(np.diag(parts.covariance))
    # A plain measurement is off by its noise, 0.25; the fit by a tenth of that or so.
    assert np.mean(errors) < 0.06
    assert np.mean(variances, axis=0)[:2] == pytest.approx([0.25, 0.25], abs=0.04)


def test_measurements_of_everything_or_nothing_stay_as_they_are() -> None:
    """Nothing is found by chance in nine of ten cases.

    Of a sum of all 30 a few terms may be found; what it keeps of its noise is then
    more than the noise alone, never less than half of it.
    """
    as_they_are, variance = [], []
    for seed in range(60):
        states, simulated = observed_sums(60, seed)
        parts = noise.sparse(states, simulated)
        variance.append(np.diag(parts.covariance)[2])
        as_they_are.append(np.diag(parts.covariance) == 0)
    assert np.mean(as_they_are, axis=0)[3] > 0.8
    split = np.array([value for value in variance if value > 0])
    assert np.all(split > 0.125)


@pytest.mark.parametrize("scaling", ["auto", "none"])
@pytest.mark.parametrize("inflation", [1.0, "adaptive"])
@pytest.mark.parametrize("error", [None, 0.3])
def test_two_valued_and_constant_states_do_no_harm(
    scaling: str, inflation: Any, error: float | None
) -> None:
    """The square of a flag of -1 and 1 is constant; so is a state that never moves."""
    rng = np.random.default_rng(1)
    flag = np.repeat([-1.0, 1.0], 30)
    states = np.stack([flag, np.full(60, 3.0), rng.standard_normal(60)], axis=1)
    simulated = states[:, [0, 2]] + 0.3 * rng.standard_normal((60, 2))
    options = {"scaling": scaling, "inflation": inflation, "measurement_error": error}
    analysis = assimilate(states, simulated, [1.0, 0.2], options=options, seed=1)
    # A flag that was seen with noise of 0.3 is on the observed side.
    assert analysis.samples[:, 0].mean() > 0.5


def test_measurements_in_small_units_count_as_much() -> None:
    """Whitening the noise must not take a small variance for none."""
    given, sizes = pairs(200, "straight"), []
    for unit in (1.0, 1e-6):
        scaled = replace(given, simulated=given.simulated * [1.0, unit])
        parts = noise.regressed(scaled)
        assert parts is not None
        near = neighbourhood(scaled, "auto")
        item = joint.candidate(scaled, parts, near, AnalysisOptions(), 0.4)
        sizes.append(item.near.weights(item.bandwidth).effective)
    assert 2 < sizes[0] < 150
    assert sizes[1] == pytest.approx(sizes[0], rel=1e-6)


def test_what_chance_tells_is_not_believed() -> None:
    """Unrelated states: of 200 ensembles the edge lets one in ten through, or so.

    Twice as many as found here would be six standard errors away.
    """
    rng = np.random.default_rng(8)
    shares = []
    for _ in range(200):
        simulated = rng.standard_normal((60, 3))
        given = screen(rng.standard_normal((60, 3)), simulated, np.zeros(3))
        parts = noise.regressed(given)
        assert parts is not None
        shares.append(np.var(parts.fitted, axis=0).sum() / np.var(simulated, 0).sum())
    assert np.mean(np.array(shares) > 1e-9) < 0.2
    # Least squares would tell 3 / 59 of the variance from nothing at all.
    assert np.mean(shares) < 0.01


def test_blocks_of_columns_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    states, simulated = observed_sums(60)
    whole = noise.sparse(states, simulated)
    monkeypatch.setattr(noise, "BLOCK", 7)
    blocked = noise.sparse(states, simulated)
    assert np.max(np.abs(whole.fitted - blocked.fitted)) < 1e-12


def test_latents_are_normal_and_leave_no_heaps() -> None:
    """A half-space holds half of 128 points; by chance its share has sd 0.044.

    The sd over 60 seeds must be below half of that, which independent points miss by
    five standard errors; each point alone is normal (false-alarm rate 1e-4).
    """
    draws = np.array([normal_points(seed, 128, 3) for seed in range(60)])
    shares = np.mean(draws @ np.array([1.0, -0.7, 0.4]) > 0, axis=1)
    assert np.std(shares) < 0.022
    single = draws[:, 5, :].ravel()
    assert kstest(single, "norm").pvalue > 1e-4
    # A net: one of 2^m points in each interval of length 2^-m, in every coordinate.
    places = np.floor(64 * ndtr(normal_points(5, 64, 40)))
    assert np.array_equal(np.sort(places, axis=0)[:, 0], np.arange(64))
    assert np.array_equal(np.sort(places, axis=0)[:, 39], np.arange(64))
    many = normal_points(3, 50, MOST_STRATIFIED + 1)
    assert many.shape == (50, MOST_STRATIFIED + 1)
    assert normal_points(3, 1, 2).shape == (1, 2)


def test_scrambling_tosses_every_binary_digit_of_the_stream_once() -> None:
    for count in (2, 900, 36_000):
        raw = np.random.default_rng(5).bit_generator.random_raw(-(-count // 64))
        # Byte after byte, lowest first, of each the highest digit first.
        digits = "".join(
            f"{byte:08b}" for word in raw for byte in int(word).to_bytes(8, "little")
        )
        coins = streams._coins(np.random.default_rng(5), count)
        assert coins.tolist() == [int(digit) for digit in digits[:count]]
    # Fair: a fair coin is further off once in a million times.
    assert abs(coins.mean() - 0.5) < 4.9 * 0.5 / 36_000**0.5


@pytest.mark.parametrize("dimension", [1, 3, 40])
def test_scrambling_mixes_digits_and_does_not_only_move_them(dimension: int) -> None:
    """A net only shifted is the same from its first point, whatever the seed."""
    nets = [
        streams._net(np.random.default_rng(seed), 6, dimension).astype(np.int64)
        for seed in (1, 2)
    ]
    moved = [net ^ net[0] for net in nets]
    for one, other in zip(moved[0].T, moved[1].T, strict=True):
        assert not np.array_equal(one, other)
    # First digits are what is mixed least: those of the second point are those of the
    # net as Sobol made it.
    assert all((net[1] >> (streams.BITS - 1) == 1).all() for net in moved)


def test_latents_lie_in_the_middle_of_their_cells() -> None:
    points = ndtr(normal_points(5, 64, 3)) * 2.0**streams.BITS
    assert np.allclose(points % 1.0, 0.5, atol=1e-3)


def test_latents_of_a_seed_are_these() -> None:
    """Others would be other samples for everybody: say so in the list of changes."""
    found = normal_points(7, 3, 2)
    known = [
        [-0.8270202962106973, 0.27767511932783295],
        [0.6786424747494204, -1.1909583411248978],
        [0.6442365640244386, 0.736903615163403],
    ]
    assert np.allclose(found, known, rtol=1e-12)
