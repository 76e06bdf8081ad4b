"""Measurements taken apart with coordinates: near states first, alike with alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import Localization, local_noise
from ccdm_engine.normalization import normalize
from ccdm_engine.pairs import Pairs, screen

Array = npt.NDArray[np.float64]
LENGTH = 40


def ring(members: int, seed: int = 1) -> Array:
    """States on a ring, each correlated with its neighbours."""
    white = np.random.default_rng([seed, 1]).standard_normal((members, LENGTH))
    return white + 0.7 * np.roll(white, 1, axis=1) + 0.4 * np.roll(white, 2, axis=1)


def places(radius: float = 4.0) -> Localization:
    return Localization(np.arange(LENGTH), np.arange(LENGTH), radius, LENGTH)


def measured(states: Array, exact: Array, errors: Array, seed: int = 2) -> Pairs:
    """Pairs as the engine sees them, in powers of two of the caller's units."""
    noise = errors * np.random.default_rng(seed).standard_normal(exact.shape)
    pairs = screen(states, exact + noise, np.zeros(exact.shape[1]))
    return normalize(pairs, "auto").pairs


def deviations(pairs: Pairs) -> tuple[Array, Array]:
    """Deviations of the noise, and ``f(x_i)``, in the caller's units."""
    parts = local_noise.near(pairs, places())
    assert pairs.measurement_exponents is not None
    unit = np.ldexp(1.0, pairs.measurement_exponents)
    return np.sqrt(np.diag(parts.covariance)) * unit, parts.fitted * unit


def test_measurements_of_one_kind_share_what_they_tell() -> None:
    """Of N = 20 members each error is told to 16 %; of 40 alike to less than half."""
    states = ring(20)
    found, fitted = deviations(measured(states, states, np.full(LENGTH, 0.5)))
    assert np.std(found / 0.5) < 0.08
    assert np.mean(found) == pytest.approx(0.5, rel=0.12)
    gap = (fitted - fitted.mean(axis=0)) - (states - states.mean(axis=0))
    # One slope from 20 members errs by 0.5 / sqrt(20) / 1.3 = 9 %, times 1.3.
    assert np.sqrt(np.mean(gap**2)) < 0.11


def test_two_kinds_of_measurements_stay_two() -> None:
    """A sample deviation of N = 100 errs by 7 %; the kinds are 300 % apart."""
    states = ring(100)
    errors = np.where(np.arange(LENGTH) % 2, 0.3, 1.2)
    exact = np.where(np.arange(LENGTH) % 2, states, -3.0 * states)
    found, fitted = deviations(measured(states, exact, errors))
    assert np.max(np.abs(found / errors - 1.0)) < 0.3
    gaps = (fitted - fitted.mean(axis=0)) / (exact - exact.mean(axis=0))
    assert np.all(np.abs(np.median(gaps, axis=0) - 1.0) < 0.3)


def test_what_is_alike_is_alike_in_the_callers_units() -> None:
    """Columns of very different spread, one instrument: one error."""
    scale = np.linspace(1.0, 30.0, LENGTH)
    states = ring(30) * scale
    found, _ = deviations(measured(states, states, np.full(LENGTH, 0.8)))
    assert np.std(found / 0.8) < 0.1


def test_a_folded_measurement_is_seen_to_be_curved() -> None:
    states = ring(100)
    exact = states**2
    pairs = measured(states, exact, np.full(LENGTH, 0.5))
    assert local_noise.near(pairs, places()).curved
    assert not local_noise.near(
        measured(states, states, np.full(LENGTH, 0.5)), places()
    ).curved
    found, fitted = deviations(pairs)
    assert np.mean(found) == pytest.approx(0.5, rel=0.1)
    assert np.corrcoef(fitted.ravel(), exact.ravel())[0, 1] > 0.97


def test_a_measurement_of_several_states_and_one_of_none() -> None:
    states = ring(200)
    exact = states - 2.0 * np.roll(states, 2, axis=1)
    exact[:, 5] = 0.0
    found, fitted = deviations(measured(states, exact, np.full(LENGTH, 0.5)))
    assert np.max(np.abs(found / 0.5 - 1.0)) < 0.25
    assert np.std(fitted[:, 5]) < 0.15
    others = np.arange(LENGTH) != 5
    told = np.corrcoef(fitted[:, others].ravel(), exact[:, others].ravel())[0, 1]
    assert told > 0.99


def test_correlated_errors_are_told_from_chance() -> None:
    states, rng = ring(60), np.random.default_rng(5)
    alone = measured(states, states, np.full(LENGTH, 0.5))
    covariance = local_noise.near(alone, places()).covariance
    assert np.array_equal(covariance, np.diag(np.diag(covariance)))
    common = 0.6 * rng.standard_normal((60, 1))
    together = measured(states, states + common, np.full(LENGTH, 0.3))
    covariance = local_noise.near(together, places()).covariance
    unit = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(unit, unit)
    assert np.mean(correlation[~np.eye(LENGTH, dtype=bool)]) > 0.5
    assert np.linalg.eigvalsh(correlation)[0] > 0


def test_a_measurement_out_of_reach_or_without_noise_is_left_as_it_is() -> None:
    states = ring(30)
    simulated = states[:, :2] + [0.0, 1.0] * np.random.default_rng(1).normal(
        size=(30, 2)
    )
    far = Localization(np.arange(LENGTH), [0.0, 500.0], 4.0)
    pairs = screen(states, simulated, np.zeros(2))
    parts = local_noise.near(pairs, far)
    assert not parts.covariance.any()
    assert np.allclose(parts.fitted, simulated, atol=1e-12)


def test_blocks_of_measurements_change_nothing(monkeypatch) -> None:
    states = ring(25)
    pairs = measured(states, states, np.full(LENGTH, 0.5))
    whole = local_noise.near(pairs, places())
    monkeypatch.setattr(local_noise, "BLOCK_SIZE", 1)
    single = local_noise.near(pairs, places())
    assert np.allclose(single.fitted, whole.fitted, atol=1e-12)
    assert np.allclose(single.covariance, whole.covariance, atol=1e-12)


def test_a_sum_over_the_domain_is_left_as_it_is() -> None:
    """Each state explains a fortieth of it: none is found, but together they show."""
    states = np.random.default_rng(8).standard_normal((100, LENGTH))
    exact = np.repeat(states.sum(axis=1, keepdims=True) / 6.0, 3, axis=1)
    where = Localization(np.arange(LENGTH), [5.0, 20.0, 33.0], 30.0, LENGTH)
    noise = 0.3 * np.random.default_rng(9).standard_normal(exact.shape)
    pairs = screen(states, exact + noise, np.zeros(3))
    parts = local_noise.near(pairs, where)
    assert not parts.covariance.any()
    assert np.allclose(parts.fitted, pairs.simulated, atol=1e-12)
