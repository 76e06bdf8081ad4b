"""Members that went astray are told of, and heavy tails are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.astray import astray
from tests.engine.test_blockwise import in_blocks, waves, whole

FILL = 9.96921e36  # NetCDF's, where nothing was written


def ensemble(members: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    states = rng.standard_normal((members, 3))
    return states, states[:, :1] + 0.3 * rng.standard_normal((members, 1))


def codes(states: np.ndarray, simulated: np.ndarray, **options: object) -> list[str]:
    facts = assimilate(
        states, simulated, [0.5], options=AnalysisOptions(**options), seed=1
    ).diagnostics
    return [advice.code for advice in facts.warnings]


def test_a_fill_value_is_named_by_member_and_variable() -> None:
    states, simulated = ensemble()
    assert "member-far-away" not in codes(states, simulated)
    states[7, 2] = FILL
    facts = assimilate(states, simulated, [0.5], seed=1).diagnostics
    told = [one for one in facts.warnings if one.code == "member-far-away"]
    assert len(told) == 1
    assert told[0].message.startswith("Member 7 lies ")
    assert told[0].message.endswith(" spreads of the others away in state 2.")
    assert "NaN" in told[0].advice


def test_one_run_astray_in_everything_is_told_for_both() -> None:
    """And its measurement is no sign that all are exact."""
    states, simulated = ensemble()
    states[3], simulated[3] = FILL, FILL
    assert codes(states, simulated).count("member-far-away") == 2
    assert "measurements-look-noise-free" not in codes(states, simulated)


def test_members_are_numbered_as_the_caller_does() -> None:
    states, simulated = ensemble()
    states[2] = np.nan
    states[7, 1], states[9, 0] = -1e5, 1e4
    options = AnalysisOptions(failed_members="drop")
    facts = assimilate(states, simulated, [0.5], options=options, seed=1).diagnostics
    (message,) = [
        one.message for one in facts.warnings if one.code == "member-far-away"
    ]
    assert message.startswith("Member 7 ")
    assert message.endswith("in state 1; so do 1 more, there or elsewhere.")


@pytest.mark.parametrize("place", [1, 299])
def test_blocks_of_variables_tell_the_same(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, simulated, observed, local = waves(30, 300, 25)
    states[4, place] = 1e20
    options = AnalysisOptions(localization=local)
    messages = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        facts = assimilate(
            states, simulated, observed, options=options, seed=4
        ).diagnostics
        messages.append(
            [one.message for one in facts.warnings if one.code == "member-far-away"]
        )
    assert messages[0] == messages[1]
    assert f"state {place}." in messages[0][0]


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.standard_normal(size),
        lambda rng, size: np.exp(rng.standard_normal(size)),
        lambda rng, size: rng.standard_t(3, size),
        lambda rng, size: rng.exponential(size=size) * (rng.random(size) < 0.2),  # rain
        lambda rng, size: (
            np.where(rng.random(size) < 0.5, -50.0, 50.0) + rng.random(size)
        ),
    ],
)
def test_laws_with_tails_zeros_or_lobes_are_passed_over(draw: object) -> None:
    for seed in range(40):
        for members in (8, 30, 300):
            rng = np.random.default_rng([seed, members])
            assert astray(draw(rng, (members, 20)), range(20)) is None  # type: ignore[operator]


def test_two_clouds_are_not_astray_and_a_few_members_are() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((40, 5))
    values[:20, 3] += 1e6
    assert astray(values, range(5)) is None
    values[:, 3] = rng.standard_normal(40)
    values[[4, 31], 3] -= 1e6
    found = astray(values, range(5))
    assert found is not None
    assert found.members.tolist() == [4, 31]
    assert found.column == 3
    assert found.distance == pytest.approx(1e6, rel=0.5)
    assert astray(values[:7], range(5)) is None
