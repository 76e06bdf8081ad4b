"""Spreads that no measurement explains, and single readings that are off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ccdm_engine
from ccdm_engine import Analysis, assimilate, spreads
from ccdm_engine.twin import cycle
from ccdm_engine.twin.experiments import find
from tests.engine.ensembles import gaussian

Array = npt.NDArray[np.float64]
NEW = {"spread-collapsed", "spread-grew", "measurement-incredible"}
GUIDE = Path(__file__).parents[2] / "docs/howto/choose-options.md"


def codes(found: Analysis) -> set[str]:
    return {advice.code for advice in found.diagnostics.warnings}


def many_measurements() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(3)
    states = rng.standard_normal((20, 6))
    simulated = states @ rng.standard_normal((6, 40))
    simulated += 3.0 * rng.standard_normal(simulated.shape)
    return states, simulated, np.zeros(40)


def test_a_collapse_is_told() -> None:
    """Forty coefficients from twenty members leave nothing of them."""
    plain: dict[str, Any] = {"preconditioner": "linear", "measurement_bandwidth": "inf"}
    plain["unbiased"] = False
    found = assimilate(*many_measurements(), options=plain, seed=1)
    facts = found.diagnostics
    assert facts.posterior_spread < 1e-6 * facts.prior_spread
    assert "spread-collapsed" in codes(found)
    assert "spread-collapsed" not in codes(assimilate(*many_measurements(), seed=1))


@pytest.mark.parametrize("error", [1e-4, 1e-3])
def test_what_fine_instruments_leave_is_no_collapse_where_it_was_declared(
    error: float,
) -> None:
    states, _, _ = gaussian(60)
    options = {"measurement_error": error}
    found = assimilate(states, states, states.mean(axis=0), options=options, seed=1)
    facts = found.diagnostics
    assert facts.posterior_spread < 0.005 * facts.prior_spread
    assert "spread-collapsed" not in codes(found)


def test_one_variable_that_was_measured_well_is_no_collapse() -> None:
    states, _, _ = gaussian(60)
    scale = np.array([1e5, 1.0, 1.0])  # the root mean is that of the first
    noise = 1e-4 * np.random.default_rng(5).standard_normal((60, 1))
    found = assimilate(
        states * scale, states[:, :1] + noise, states[:1, 0], options=None, seed=1
    )
    facts = found.diagnostics
    assert facts.posterior_spread < spreads.COLLAPSED * facts.prior_spread
    assert "spread-collapsed" not in codes(found)


def test_growth_is_told_unless_it_was_asked_for() -> None:
    (advice,) = spreads.grown(1.0, 5.6)
    assert advice.code == "spread-grew" and "5.6" in advice.message
    # Of |x| far out two sides are left, which is wider than what was known.
    rng = np.random.default_rng(4)
    states = rng.standard_normal((400, 1))
    simulated = np.abs(states) + 0.1 * rng.standard_normal((400, 1))
    plain = {"preconditioner": "none", "measurement_bandwidth": 0.1}
    for factor, told in ((1.0, False), (0.1, True)):
        pulled = np.where(simulated > 2.3, states, factor * states)
        found = assimilate(pulled, simulated, [2.6], options=plain, seed=1)
        assert ("spread-grew" in codes(found)) is told
    asked = assimilate(*gaussian(60), options={"inflation": 9.0}, seed=1)
    facts = asked.diagnostics
    assert facts.posterior_spread > spreads.GREW * facts.prior_spread
    assert codes(asked) == set()


@pytest.mark.parametrize("size", [8.0, -8.0])
def test_a_single_reading_that_is_off_is_named(size: float) -> None:
    rng = np.random.default_rng(7)
    states = rng.standard_normal((100, 40))
    simulated = states + 0.5 * rng.standard_normal(states.shape)
    observation = simulated.mean(axis=0)
    observation[17] += size * simulated[:, 17].std()
    observation[3] = np.nan
    found = assimilate(states, simulated, observation, seed=1)
    (advice,) = [
        each
        for each in found.diagnostics.warnings
        if each.code == "measurement-incredible"
    ]
    assert advice.message.startswith("Measurement 17 of 39:")
    observation[17] = simulated[:, 17].mean() + 4 * simulated[:, 17].std()
    assert codes(assimilate(states, simulated, observation, seed=1)) == set()


def test_few_members_predict_too_badly_for_six_deviations_to_be_incredible() -> None:
    rng = np.random.default_rng(8)
    states = rng.standard_normal((5, 1))
    simulated = states + rng.standard_normal((5, 1))
    far = simulated.mean(axis=0) + 7 * simulated.std(axis=0, ddof=1)
    found = assimilate(states, simulated, far, seed=1)
    assert "measurement-incredible" not in codes(found)


@pytest.mark.parametrize(
    ("name", "members", "cycles"),
    [("TOY_01", 50, 20), ("ramgraber2022", 50, 20), ("L96_01", 30, 10)],
)
def test_ordinary_cycles_make_no_false_alarm(
    name: str, members: int, cycles: int
) -> None:
    method = cycle.Method("ccdm", assimilate)
    for step in cycle.steps(find(name), method, members, 1, cycles=cycles):
        assert not NEW & {advice.code for advice in step.diagnostics.warnings}


def test_every_code_is_explained() -> None:
    engine = Path(ccdm_engine.__file__).parent
    text = "".join(path.read_text() for path in sorted(engine.glob("*.py")))
    raised = set(re.findall(r'Advice\(\s*"([a-z-]+)"', text))
    assert NEW < raised
    explained = set(re.findall(r"^\| `([a-z]+-[a-z-]+)` \|", GUIDE.read_text(), re.M))
    assert explained == raised
