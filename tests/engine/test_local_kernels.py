"""Local kernels: what they add where the line is wrong, and nothing where it is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine.local_kernels import MOST_HELD_OUT, _held_out, bend

Array = npt.NDArray[np.float64]


def seen(
    driver: Array, states: Array, star: float, noise: float, seed: int = 5
) -> tuple[Array, Array, Array, Array]:
    """One measurement of the driver, in units of its noise; states ``(b, N)``."""
    count = states.shape[0]
    draws = np.random.default_rng(seed).standard_normal(driver.size)
    fitted = (driver - driver.mean()) / noise
    gaps = np.full((count, 1), (star - driver.mean()) / noise)
    one = np.broadcast_to(fitted[:, None], (count, driver.size, 1))
    anomalies = states - states.mean(axis=1, keepdims=True)
    return anomalies, one, one + draws[:, None], gaps


def straight(anomalies: Array, fitted: Array, gaps: Array) -> Array:
    """By how much the linear update moves the mean."""
    freedom = fitted.shape[1] - 1.0
    covariance = np.einsum("bnm,bn->bm", fitted, anomalies) / freedom
    variance = np.sum(fitted[:1] ** 2) / freedom
    return np.asarray(np.sum(covariance * gaps, axis=1) / (1.0 + variance))


def test_a_bent_relation_is_followed() -> None:
    """x = v^2 of a Gaussian v that is measured with noise r: E[x | y] is known."""
    rng = np.random.default_rng(1)
    driver, noise, star = rng.standard_normal(200), 0.3, 1.6
    states = np.stack([driver**2, -2.0 * driver**2])
    found = bend(*(given := seen(driver, states, star, noise)))
    share = 1.0 / (1.0 + noise**2)
    expected = (share * star) ** 2 + share * noise**2
    line = states[0].mean() + straight(given[0], given[1], given[3])[0]
    # The line is wrong by the curvature; kernels of 14 members smooth some of it.
    assert abs(line - expected) > 0.8
    assert abs(line + found.shift[0] - expected) < 0.4 * abs(line - expected)
    assert found.shift[1] == pytest.approx(-2.0 * found.shift[0])
    assert np.all(found.spread < 0.8)


def test_nothing_is_bent_where_all_is_gaussian() -> None:
    rng = np.random.default_rng(2)
    driver = rng.standard_normal(100)
    states = driver + 0.5 * rng.standard_normal((200, 100))
    found = bend(*seen(driver, states, 1.2, 0.5))
    assert np.sqrt(np.mean(found.shift**2)) < 0.05
    assert np.mean(found.shift == 0.0) > 0.7
    assert np.mean(found.spread) > 0.99


@pytest.mark.parametrize("members", [8, 40])
def test_measurements_out_of_reach_do_not_count(members: int) -> None:
    """A taper of zero makes rows of zeros, also beyond as many as there are members."""
    rng = np.random.default_rng(3)
    driver = rng.standard_normal(members)
    anomalies, fitted, noisy, gaps = seen(driver, driver[None] ** 2, 1.0, 0.3)
    expected = bend(anomalies, fitted, noisy, gaps)

    def padded(values: Array) -> Array:
        widths = [(0, 0)] * (values.ndim - 1) + [(0, 49)]
        return np.pad(values, widths)

    found = bend(anomalies, padded(fitted), padded(noisy), padded(gaps))
    assert np.allclose(found.shift, expected.shift, atol=1e-10)
    assert np.allclose(found.spread, expected.spread, atol=1e-10)


@pytest.mark.parametrize(("members", "measurements"), [(30, 2), (12, 20), (150, 3)])
def test_it_is_the_formula_member_by_member(members: int, measurements: int) -> None:
    """``r(y_j)`` from sums over all i but j, at a bandwidth known from elsewhere."""
    rng = np.random.default_rng([6, members])
    fitted = 2.0 * rng.standard_normal((2, members, measurements))
    noisy = fitted + rng.standard_normal(fitted.shape)
    residual, width = rng.standard_normal((2, members)), np.array([1.0, 2.5])
    held = noisy[:, :MOST_HELD_OUT]
    found = _held_out(fitted, held, residual, width)
    assert found.shape == (2, min(members, MOST_HELD_OUT))
    for state, j in np.ndindex(found.shape):
        others = np.delete(np.arange(members), j)
        gaps = noisy[state, j] - fitted[state, others]
        exponent = np.sum(gaps**2, axis=1) / (-2.0 * width[state] ** 2)
        weights = np.exp(exponent - exponent.max())
        expected = weights @ residual[state, others] / weights.sum()
        assert found[state, j] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_no_measurement_bends_nothing() -> None:
    anomalies = np.random.default_rng(4).standard_normal((3, 20))
    nothing = np.zeros((3, 20, 1))
    found = bend(anomalies, nothing, nothing, np.zeros((3, 1)))
    assert np.allclose(found.shift, 0.0, atol=1e-12)
    assert np.array_equal(found.spread, np.ones(3))
