"""Inflation widens the analysis by exactly its factor, and 1 does nothing at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.inflation import multiplicative
from tests.engine.ensembles import gaussian, two_lobes

CASES: dict[str, dict[str, Any]] = {
    "auto": {},
    "shift": {"preconditioner": "linear", "measurement_bandwidth": np.inf},
    "kernels": {
        "preconditioner": "none",
        "state_bandwidth": 0.4,
        "measurement_bandwidth": 0.5,
    },
    "paper": AnalysisOptions.paper(
        state_bandwidth=0.5, measurement_bandwidth=1.0, max_bandwidth=40.0
    ).to_dict(),
}


def samples(name: str, inflation: Any) -> np.ndarray:
    fields = CASES[name] | {"inflation": inflation}
    options = AnalysisOptions.from_dict(fields)
    return assimilate(*two_lobes(), options=options, seed=3).samples


@pytest.mark.parametrize("name", CASES)
def test_a_factor_of_one_is_an_exact_identity(name: str) -> None:
    default = AnalysisOptions.from_dict(
        {key: value for key, value in CASES[name].items() if key != "inflation"}
    )
    expected = assimilate(*two_lobes(), options=default, seed=3).samples
    for neutral in (1, 1.0, np.float64(1.0)):
        assert samples(name, neutral).tobytes() == expected.tobytes()


@pytest.mark.parametrize("factor", [0.5, 1.01, 1.5, 4.0])
@pytest.mark.parametrize("name", CASES)
def test_the_spread_grows_by_the_factor_around_the_same_mean(
    name: str, factor: float
) -> None:
    plain, inflated = samples(name, 1.0), samples(name, factor)
    scale = plain.std(axis=0)
    assert np.max(np.abs(inflated.mean(axis=0) - plain.mean(axis=0)) / scale) < 1e-12
    expected = plain.mean(axis=0) + factor * (plain - plain.mean(axis=0))
    assert np.max(np.abs(inflated - expected) / scale) < 1e-12
    assert np.allclose(np.cov(inflated.T), factor**2 * np.cov(plain.T), rtol=1e-12)


def test_the_function_returns_its_argument_for_one() -> None:
    states = gaussian().states
    assert multiplicative(states, 1.0) is states
    assert multiplicative(states, 1.1) is not states
