"""The noise told from the pairs, and latents that are spread evenly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from ccdm_engine import AnalysisOptions
from ccdm_engine.family import candidates
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.noise import noise_model
from ccdm_engine.pairs import Pairs, screen
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
    model = noise_model(pairs(400, "straight"))
    assert model is not None
    covariance = np.linalg.inv(model.whiten @ model.whiten)
    assert np.max(np.abs(covariance / 0.09 - np.eye(2))) < 0.28
    exact = pairs(400, "exact").simulated
    assert np.sqrt(np.mean((model.fitted - exact) ** 2)) < 0.1


@pytest.mark.parametrize(
    ("members", "kind"), [(400, "curved"), (400, "exact"), (14, "straight")]
)
def test_no_noise_is_told_where_it_cannot_be(members: int, kind: str) -> None:
    assert noise_model(pairs(members, kind)) is None


@pytest.mark.parametrize(
    ("kind", "regression"), [("straight", "linear"), ("open", "none")]
)
def test_noise_kernels_are_in_the_family(kind: str, regression: str) -> None:
    """With open directions they have no regression and replace the plain ones."""
    given = pairs(200, kind)
    family = list(candidates(given, AnalysisOptions(), neighbourhood(given, "auto")))
    found = {item.regression.name for item in family if item.near.kind == "noise"}
    assert found == {regression}
    plain = [item for item in family if item.tier == 2]
    assert bool(plain) == (kind == "straight")


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
    many = normal_points(3, 50, MOST_STRATIFIED + 1)
    assert many.shape == (50, MOST_STRATIFIED + 1)
    assert normal_points(3, 1, 2).shape == (1, 2)
