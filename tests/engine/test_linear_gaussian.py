"""Linear-Gaussian pairs: what is known exactly must come out.

``x ~ N(mu, P)``, ``y = H x + e``, ``e ~ N(0, R)``: the posterior is the Kalman answer.
With a linear preconditioner and equal weights the method *is* the stochastic EnKF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.baselines import enkf

Array = npt.NDArray[np.float64]

MEMBERS = np.array([100, 400, 1600, 6400])


@dataclass(frozen=True)
class Gaussian:
    """A linear-Gaussian problem and its exact answer."""

    mean: Array
    covariance: Array
    operator: Array
    error: Array
    observation: Array

    @property
    def kalman(self) -> tuple[Array, Array]:
        cross = self.covariance @ self.operator.T
        gain = cross @ np.linalg.inv(self.operator @ cross + self.error)
        innovation = self.observation - self.operator @ self.mean
        return self.mean + gain @ innovation, self.covariance - gain @ cross.T

    def pairs(self, members: int, rng: np.random.Generator) -> tuple[Array, Array]:
        states = rng.multivariate_normal(self.mean, self.covariance, size=members)
        noise = rng.multivariate_normal(np.zeros(len(self.error)), self.error, members)
        return states, states @ self.operator.T + noise


def problem() -> Gaussian:
    """Three states, two measurements with correlated errors, mixed units."""
    units = np.diag([1.0, 100.0, 0.01])
    root = np.array([[1.0, 0.0, 0.0], [0.7, 0.7, 0.0], [-0.4, 0.5, 0.8]])
    return Gaussian(
        mean=units @ np.array([1.0, -2.0, 0.5]),
        covariance=units @ root @ root.T @ units,
        operator=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 50.0]]) @ np.linalg.inv(units),
        error=np.array([[0.3, 4.0], [4.0, 400.0]]),
        observation=np.array([2.0, -1.0]),
    )


def errors(options: AnalysisOptions, members: int, seed: int) -> tuple[float, float]:
    """Errors of mean and covariance, in units of the exact posterior's spread."""
    truth = problem()
    mean, covariance = truth.kalman
    states, simulated = truth.pairs(members, np.random.default_rng([seed, members]))
    samples = assimilate(
        states, simulated, truth.observation, options=options, seed=seed
    ).samples
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    gap = white @ (samples.mean(axis=0) - mean)
    ratio = white @ np.cov(samples.T) @ white.T - np.eye(3)
    return float(np.mean(gap**2)), float(np.mean(ratio**2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "replicates"),
    [
        (AnalysisOptions(preconditioner="linear", measurement_bandwidth=math.inf), 40),
        (AnalysisOptions(), 8),
    ],
    ids=["linear", "auto"],
)
def test_errors_against_kalman_shrink_like_one_over_root_n(
    options: AnalysisOptions, replicates: int
) -> None:
    """Slope of log RMS error over log N: -1/2 within three standard errors.

    A mean square of k independent terms has relative error sqrt(2 / k), half of that
    in the log of its root. Mean: 3 terms per replicate; covariance: counted as 3 too,
    the off-diagonal ones not being independent.
    """
    squares = np.array(
        [
            np.mean([errors(options, int(n), s) for s in range(replicates)], axis=0)
            for n in MEMBERS
        ]
    )
    logs = np.log(MEMBERS) - np.log(MEMBERS).mean()
    slopes = logs @ np.log(np.sqrt(squares)) / (logs @ logs)
    error = 0.5 * math.sqrt(2 / (3 * replicates)) / math.sqrt(logs @ logs)
    assert np.all(np.abs(slopes + 0.5) < 3 * error), (slopes, error, np.sqrt(squares))


def test_errors_against_kalman_would_not_shrink_with_kernels_that_add_spread() -> None:
    """The paper's form keeps its bandwidth: an error that N does not cure."""
    options = AnalysisOptions(
        preconditioner="none",
        state_bandwidth=0.6,
        measurement_bandwidth=0.6,
        shrink=False,
    )
    few = np.mean([errors(options, 400, s)[1] for s in range(4)])
    many = np.mean([errors(options, 1600, s)[1] for s in range(4)])
    assert many > 0.5 * few


def independent_enkf(states: Array, simulated: Array, observation: Array) -> Array:
    """``x_i + C_xy C_yy^+ (y* - y_i)``, measurements in units of their spread."""
    scale = simulated.std(axis=0, ddof=1)
    joint = np.cov(np.column_stack([states, simulated / scale]).T)
    size = states.shape[1]
    cross, among = joint[:size, size:], joint[size:, size:]
    gain = cross @ np.linalg.pinv(among, rcond=1e-12, hermitian=True)
    return states + (observation - simulated) / scale @ gain.T


def correlated(members: int, dx: int, dy: int, seed: int) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, dx)) @ rng.standard_normal((dx, dx)) + 3
    noise = rng.standard_normal((members, dy)) @ rng.standard_normal((dy, dy))
    simulated = states @ rng.standard_normal((dx, dy)) + 0.5 * noise
    return states, simulated, simulated.mean(axis=0) + rng.standard_normal(dy)


@pytest.mark.parametrize("scaling", ["auto", "none", "standardize", "whiten"])
@pytest.mark.parametrize(
    ("members", "dx", "dy"),
    [
        pytest.param(50, 3, 2, id="small"),
        pytest.param(200, 5, 12, id="more measurements than states"),
        pytest.param(20, 4, 60, id="more measurements than members"),
        pytest.param(12, 300, 5, id="more states than members"),
        pytest.param(3, 2, 1, id="three members"),
    ],
)
def test_linear_with_equal_weights_is_the_stochastic_enkf(
    members: int, dx: int, dy: int, scaling: Any
) -> None:
    pairs = correlated(members, dx, dy, seed=members)
    options = AnalysisOptions(
        preconditioner="linear", measurement_bandwidth=math.inf, scaling=scaling
    )
    analysis = assimilate(*pairs, options=options, seed=0)
    spread = pairs[0].std()
    expected = independent_enkf(*pairs)
    assert np.max(np.abs(analysis.samples - expected)) < 1e-10 * spread
    assert analysis.diagnostics.sampler == "shift"
    assert analysis.diagnostics.score_evaluations == 0


def test_the_enkf_baseline_is_the_same_filter() -> None:
    options = AnalysisOptions(
        preconditioner="linear", measurement_bandwidth=math.inf, inflation=1.07
    )
    for shape in [(50, 3, 2), (20, 4, 60), (12, 300, 5)]:
        pairs = correlated(*shape, seed=5)
        ours = assimilate(*pairs, options=options, seed=0).samples
        theirs = enkf(*pairs, options=options, seed=0).samples
        assert np.max(np.abs(ours - theirs)) < 1e-10 * pairs[0].std()


def test_exactly_collinear_measurements_count_once() -> None:
    """A measurement sent twice, in two units, is the same measurement."""
    states, simulated, observation = correlated(40, 3, 2, seed=6)
    options = AnalysisOptions(preconditioner="linear", measurement_bandwidth=math.inf)
    once = assimilate(states, simulated, observation, options=options, seed=0)
    twice = assimilate(
        states,
        np.column_stack([simulated, simulated[:, 0] * 1e6 - 5]),
        np.append(observation, observation[0] * 1e6 - 5),
        options=options,
        seed=0,
    )
    gap = np.max(np.abs(once.samples - twice.samples))
    assert gap < 1e-8 * states.std()
