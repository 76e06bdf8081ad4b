"""Baselines against the Kalman filter: exactly where theory says so, else in law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, Localization, assimilate
from ccdm_engine.baselines import enkf, enkf_r, letkf, sir, sir_plain
from ccdm_engine.baselines.letkf import rotated
from ccdm_engine.baselines.sir import systematic

Moments = tuple[np.ndarray, np.ndarray]


def kalman(
    mean: np.ndarray,
    cov: np.ndarray,
    operator: np.ndarray,
    r: np.ndarray,
    y: np.ndarray,
) -> Moments:
    """Posterior mean and covariance, written as in the textbooks."""
    gain = cov @ operator.T @ np.linalg.inv(operator @ cov @ operator.T + np.diag(r**2))
    return (
        mean + gain @ (y - operator @ mean),
        (np.eye(mean.size) - gain @ operator) @ cov,
    )


@pytest.fixture(params=[(40, 3, 2), (5, 6, 4), (8, 3, 12)])
def linear(request):
    """Ensembles with N > dx, N < dx, N < dy; a linear operator; deviations; y*."""
    members, dx, dy = request.param
    rng = np.random.default_rng(members)
    states = rng.standard_normal((members, dx)) @ rng.standard_normal((dx, dx)) + 1.0
    operator = rng.standard_normal((dy, dx))
    return states, operator, rng.uniform(0.5, 2.0, dy), rng.standard_normal(dy)


def test_etkf_has_exactly_the_kalman_moments(linear):
    states, operator, r, y = linear
    options = AnalysisOptions(measurement_error=tuple(r))
    samples = letkf(states, states @ operator.T, y, options=options, seed=1).samples
    mean, cov = kalman(states.mean(axis=0), np.cov(states.T), operator, r, y)
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=1e-10)
    np.testing.assert_allclose(np.cov(samples.T), cov, atol=1e-10)


def test_enkf_that_knows_r_has_exactly_the_kalman_mean(linear):
    states, operator, r, y = linear
    options = AnalysisOptions(measurement_error=tuple(r))
    samples = enkf_r(states, states @ operator.T, y, options=options, seed=1).samples
    mean, _ = kalman(states.mean(axis=0), np.cov(states.T), operator, r, y)
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=1e-10)


def test_enkf_is_the_least_squares_regression(linear):
    states, operator, r, y = linear
    rng = np.random.default_rng(9)
    simulated = states @ operator.T + r * rng.standard_normal((states.shape[0], r.size))
    samples = enkf(states, simulated, y).samples
    gain = np.linalg.pinv(simulated - simulated.mean(axis=0)) @ (
        states - states.mean(axis=0)
    )
    if states.shape[0] > r.size:
        expected = states + (y - simulated) @ gain
        np.testing.assert_allclose(samples, expected, atol=1e-10)
    else:
        # More measurements than members: fitted exactly, all members coincide.
        np.testing.assert_allclose(np.ptp(samples, axis=0), 0.0, atol=1e-9)


def test_enkf_equals_the_engine_with_equal_weights_and_a_linear_preconditioner():
    rng = np.random.default_rng(2)
    states = rng.standard_normal((60, 5))
    simulated = states[:, :2] + rng.standard_normal((60, 2))
    engine = AnalysisOptions(preconditioner="linear", measurement_bandwidth=math.inf)
    ours = assimilate(states, simulated, [1.0, -1.0], options=engine, seed=1)
    theirs = enkf(states, simulated, [1.0, -1.0], seed=1)
    np.testing.assert_allclose(ours.samples, theirs.samples, atol=1e-10)


@pytest.mark.parametrize("method", [enkf, enkf_r, letkf, sir, sir_plain])
def test_large_ensembles_reach_the_kalman_filter(method):
    # Five standard errors, at the effective sample size for the particle filters:
    # false alarm below 1e-5 over all entries. The prior fails by a factor of three.
    # Regularisation of SIR adds h^2 of variance to copies, at most
    # 1.4^2 N_eff^(-2/7) relative.
    members = 20_000 if method in (enkf, enkf_r, sir_plain, sir) else 1500
    rng = np.random.default_rng(4)
    mixing = np.array([[1.0, 0.0, 0.0], [0.7, 1.0, 0.0], [-0.4, 0.5, 1.0]])
    prior_mean = np.array([1.0, 2.0, 3.0])
    states = prior_mean + rng.standard_normal((members, 3)) @ mixing.T
    operator, r = np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]]), np.array([1.0, 0.5])
    y = np.array([8.0, 7.0])
    simulated = states @ operator.T
    options = AnalysisOptions(measurement_error=tuple(r))
    found = method(states, simulated, y, options=options, seed=7)
    mean, cov = kalman(prior_mean, mixing @ mixing.T, operator, r, y)
    size = found.diagnostics.effective_sample_size
    error = 5 * np.sqrt(np.diag(cov) / size)
    # Sampling error of the prior mean reaches the posterior through I - K H <= 1.
    error += 5 * np.sqrt(np.diag(mixing @ mixing.T) / members)
    assert np.all(np.abs(found.samples.mean(axis=0) - mean) < error)
    assert np.abs(prior_mean - mean).max() > 3 * error.max()
    scale = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    extra = 1.4**2 * size ** (-2 / 7) if method is sir else 0.0
    gap = np.abs(np.cov(found.samples.T) - cov) / scale
    assert gap.max() < 5 * math.sqrt(2 / size) * 1.5 + extra


@pytest.mark.parametrize("method", [enkf, enkf_r, letkf])
def test_a_wide_taper_changes_nothing_and_a_narrow_one_keeps_apart(method):
    rng = np.random.default_rng(6)
    states = rng.standard_normal((25, 8))
    simulated = states[:, :1] + 0.0
    if method is enkf:
        simulated = simulated + rng.standard_normal((25, 1))
    error = None if method is enkf else 1.0

    def analysed(radius: float | None) -> np.ndarray:
        places = None if radius is None else Localization(np.arange(8), [0.0], radius)
        options = AnalysisOptions(measurement_error=error, localization=places)
        return method(states, simulated, [1.0], options=options, seed=3).samples

    np.testing.assert_allclose(analysed(1e9), analysed(None), atol=1e-8)
    narrow = analysed(1.0)
    # Beyond two radii nothing may change; LETKF turns the members, not their moments.
    np.testing.assert_allclose(narrow[:, 2:].mean(axis=0), states[:, 2:].mean(axis=0))
    np.testing.assert_allclose(np.cov(narrow[:, 2:].T), np.cov(states[:, 2:].T))
    assert abs(narrow[:, 0].mean() - states[:, 0].mean()) > 0.1


@pytest.fixture
def ring():
    """Six variables on a ring of length six, every second one measured."""
    rng = np.random.default_rng(11)
    states = rng.standard_normal((30, 6)) @ rng.standard_normal((6, 6))
    places = Localization(np.arange(6), [0, 2, 4], 1.3, period=6.0)
    options = AnalysisOptions(measurement_error=(0.5, 1.0, 2.0), localization=places)
    return states, states[:, ::2], rng.standard_normal(3), options


def test_letkf_inflates_the_error_of_far_measurements(ring):
    # Variable k must come out as from the global filter with errors r / sqrt(rho_k).
    states, simulated, y, options = ring
    found = letkf(states, simulated, y, options=options, seed=1).samples
    r = np.array(options.measurement_error)
    operator = np.eye(6)[::2]
    for k, rho in enumerate(options.localization.taper_xy()):
        near = rho > 0
        mean, cov = kalman(
            states.mean(axis=0),
            np.cov(states.T),
            operator[near],
            r[near] / np.sqrt(rho[near]),
            y[near],
        )
        assert found[:, k].mean() == pytest.approx(mean[k], abs=1e-10)
        assert found[:, k].var(ddof=1) == pytest.approx(cov[k, k], abs=1e-10)


def test_localized_enkf_tapers_both_covariances(ring):
    states, simulated, y, options = ring
    places = options.localization
    cross = np.cov(states.T, simulated.T)[:6, 6:] * places.taper_xy()
    among = np.cov(simulated.T) * places.taper_yy()
    r = np.array(options.measurement_error)
    gain = cross @ np.linalg.inv(among + np.diag(r**2))
    mean = states.mean(axis=0) + gain @ (y - simulated.mean(axis=0))
    found = enkf_r(states, simulated, y, options=options, seed=1).samples
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=1e-10)
    noisy = AnalysisOptions(localization=places)
    gain = cross @ np.linalg.inv(among)
    found = enkf(states, simulated, y, options=noisy).samples
    np.testing.assert_allclose(found, states + (y - simulated) @ gain.T, atol=1e-10)


def test_rotation_keeps_mean_and_covariance_and_turns_members():
    rng = np.random.default_rng(0)
    anomalies = rng.standard_normal((20, 3))
    anomalies -= anomalies.mean(axis=0)
    turned = rotated(anomalies, rng)
    np.testing.assert_allclose(turned.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(turned.T @ turned, anomalies.T @ anomalies, atol=1e-12)
    assert np.abs(turned - anomalies).max() > 0.5


def test_systematic_resampling_copies_floor_or_ceil():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.full(50, 0.3))
    for _ in range(200):
        counts = np.bincount(systematic(weights, 80, rng), minlength=50)
        assert np.all(counts >= np.floor(80 * weights - 1e-9))
        assert np.all(counts <= np.ceil(80 * weights + 1e-9))
    mean = np.mean(
        [np.bincount(systematic(weights, 80, rng), minlength=50) for _ in range(4000)],
        axis=0,
    )
    # Counts are unbiased; their variance is at most 1/4.
    assert np.abs(mean - 80 * weights).max() < 5 * 0.5 / math.sqrt(4000)


def test_systematic_resampling_never_takes_weight_zero():
    class Highest:
        def random(self) -> float:
            return float(np.nextafter(1.0, 0.0))

    weights = np.array([0.0, 0.1, 0.2, 0.7, 0.0])
    chosen = systematic(weights / weights.sum(), 10, Highest())
    assert set(chosen) <= {1, 2, 3}


def test_sir_moves_copies_only_and_the_plain_one_nothing():
    rng = np.random.default_rng(8)
    states = rng.standard_normal((200, 2))
    options = AnalysisOptions(measurement_error=0.3)
    call = (states, states[:, :1], [0.5])
    plain = sir_plain(*call, options=options, seed=1).samples
    known = {row.tobytes() for row in states}
    assert all(row.tobytes() in known for row in plain)
    moved = sir(*call, options=options, seed=1).samples
    first = np.append(True, np.any(plain[1:] != plain[:-1], axis=1))
    np.testing.assert_array_equal(moved[first], plain[first])
    assert np.all(moved[~first] != plain[~first])


def test_sir_draws_as_many_as_asked():
    states = np.random.default_rng(8).standard_normal((20, 2))
    options = AnalysisOptions(measurement_error=1.0, n_samples=7)
    assert sir(states, states, [0.0, 0.0], options=options).samples.shape == (7, 2)
