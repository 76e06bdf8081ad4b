"""Localized analyses by the block: the same update, in bounded memory."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import (
    Analysis,
    AnalysisOptions,
    Localization,
    NonFiniteError,
    OptionsError,
    assimilate,
    blockwise,
    updating,
)
from ccdm_engine.analysis import ChosenModel
from ccdm_engine.parts import Crew, InTurn, Through
from ccdm_engine.survey import Block, Held, overview, survey

Array = npt.NDArray[np.float64]


def waves(
    members: int, dimension: int, every: int, seed: int = 3
) -> tuple[Array, Array, Array, Localization]:
    """Smooth fields on a line, every so many places measured with noise."""
    rng = np.random.default_rng([seed, members, dimension])
    place = np.linspace(0.0, 1.0, dimension)
    modes = np.arange(1, 13)
    shapes = np.sin(np.pi * modes[:, None] * place) / modes[:, None]
    fields = rng.standard_normal((members + 1, modes.size)) @ shapes
    fields += 0.05 * rng.standard_normal(fields.shape)
    where = np.arange(every // 2, dimension, every)
    measured = fields[:, where] + 0.1 * rng.standard_normal((members + 1, where.size))
    local = Localization(place, place[where], radius=0.05)
    return fields[1:], measured[1:], measured[0], local


def in_blocks(monkeypatch: pytest.MonkeyPatch, part: int = 64) -> None:
    """Cut small problems, too."""
    monkeypatch.setattr(blockwise, "PART", part)
    monkeypatch.setattr(blockwise, "LEAST_VARIABLES", 100)
    monkeypatch.setattr(updating, "TOGETHER", 32)


def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "LEAST_VARIABLES", 10**9)


OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "known noise": {"measurement_error": 0.1},
    "linear": {"preconditioner": "linear", "measurement_bandwidth": np.inf},
    "not unbiased": {"unbiased": False},
    "inflated": {"inflation": 1.1},
    "adaptive": {"inflation": "adaptive", "learned_inflation": 1.2},
    "relaxed": {"relaxation_to_spread": 0.3, "relaxation_to_perturbations": 0.2},
    "fewer": {"n_samples": 11},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_blocks_give_what_the_whole_gives(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, simulated, observed, local = waves(30, 500, 25)
    states[:, 7] = 2.5  # a constant
    states[:, 100:110] *= 1e8  # other units
    options = AnalysisOptions(localization=local, **OPTIONS[name])
    whole(monkeypatch)
    one = assimilate(states, simulated, observed, options=options, seed=4)
    in_blocks(monkeypatch)
    other = assimilate(states, simulated, observed, options=options, seed=4)
    spread = np.where(states.std(axis=0) > 0, states.std(axis=0), 1.0)
    assert np.max(np.abs(one.samples - other.samples) / spread) < 1e-9
    assert np.array_equal(other.samples[:, 7], np.full(other.samples.shape[0], 2.5))
    assert_same_facts(one, other)


def test_curved_measurements_are_the_same_in_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states, _, _, local = waves(60, 300, 25)
    at = np.arange(12, 300, 25)
    noise = 0.05 * np.random.default_rng(1).standard_normal((60, at.size))
    simulated = states[:, at] ** 2 + noise
    options = AnalysisOptions(localization=local)
    results = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        found = assimilate(states, simulated, simulated[0], options=options, seed=4)
        results.append(found.samples)
    assert np.max(np.abs(results[0] - results[1]) / states.std(axis=0)) < 1e-9


def test_what_members_are_known_by_is_no_curvature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A measurement that falls and rises with the number that stands for a member."""
    states, simulated, observed, local = waves(60, 300, 25)
    in_blocks(monkeypatch)
    seen = survey(np.arange(60), Block(slice(0, 300), Held(states), np.empty(300)))
    number = overview([seen], 60).copies
    simulated[np.argsort(np.abs(number - 30)), 0] = np.sort(simulated[:, 0])
    monkeypatch.setattr(blockwise, "PART", 300)
    options = AnalysisOptions(localization=local, measurement_error=0.1)
    results = []
    for fewest in (10**9, 100):
        monkeypatch.setattr(blockwise, "LEAST_VARIABLES", fewest)
        found = assimilate(states, simulated, observed, options=options, seed=4)
        results.append(found.samples)
    assert np.max(np.abs(results[0] - results[1]) / states.std(axis=0)) < 1e-9


def assert_same_model(one: ChosenModel | None, other: ChosenModel | None) -> None:
    """But for the rounding of scores."""
    assert one is not None and other is not None
    for score in ("score", "gaussian_score"):
        told = getattr(one, score)
        assert getattr(other, score) == (told and pytest.approx(told, rel=1e-9))
    assert (
        dataclasses.replace(one, score=other.score, gaussian_score=other.gaussian_score)
        == other
    )


def assert_same_facts(one: Analysis, other: Analysis) -> None:
    for field in dataclasses.fields(one.diagnostics):
        mine = getattr(one.diagnostics, field.name)
        theirs = getattr(other.diagnostics, field.name)
        if isinstance(mine, float):
            assert theirs == pytest.approx(mine, rel=1e-9), field.name
        elif isinstance(mine, ChosenModel):
            assert_same_model(mine, theirs)
        else:
            assert theirs == mine or field.name == "innovation", field.name


def test_a_lost_ensemble_is_widened_in_blocks_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states, simulated, observed, local = waves(30, 300, 25)
    options = AnalysisOptions(localization=local)
    results = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        results.append(
            assimilate(states, simulated, observed + 30, options=options, seed=4)
        )
    one, other = results
    assert "ensemble-widened" in [item.code for item in other.diagnostics.warnings]
    assert np.max(np.abs(one.samples - other.samples) / states.std(axis=0)) < 1e-8


@pytest.mark.parametrize("policy", ["drop", "refill"])
def test_failed_members_are_left_out(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, simulated, observed, local = waves(30, 300, 25)
    states[4, 250] = np.nan
    simulated[9, 2] = np.inf
    options = AnalysisOptions(localization=local, failed_members=policy)  # type: ignore[arg-type]
    results = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        results.append(assimilate(states, simulated, observed, options=options, seed=4))
    one, other = results
    assert_same_facts_of_members(one, other)
    own = [row for row in range(30) if row not in (4, 9) or policy == "drop"]
    own = own[: one.samples.shape[0]]
    gap = np.abs(one.samples - other.samples) / np.nanstd(states, axis=0)
    assert np.max(gap[own]) < 1e-9
    # Rows drawn anew are other draws of the same law.
    assert np.isfinite(other.samples).all()
    assert other.samples.std() == pytest.approx(one.samples.std(), rel=0.2)


def assert_same_facts_of_members(one: Analysis, other: Analysis) -> None:
    for name in ("members_used", "members_failed", "n_samples"):
        assert getattr(one.diagnostics, name) == getattr(other.diagnostics, name)
    assert_same_model(one.diagnostics.model, other.diagnostics.model)


def test_rows_without_a_member_follow_the_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mean and spread of 4000 draws against the moved members they are drawn around."""
    states, simulated, observed, local = waves(30, 130, 13)
    in_blocks(monkeypatch)
    options = AnalysisOptions(localization=local, n_samples=4030)
    found = assimilate(states, simulated, observed, options=options, seed=4).samples
    moved, drawn = found[:30], found[30:]
    # Shrunk kernels keep the members' variance; five standard errors of 4000 draws.
    error = moved.std(axis=0, ddof=1) * 5 / np.sqrt(4000)
    assert np.all(np.abs(drawn.mean(axis=0) - moved.mean(axis=0)) < error)
    ratio = drawn.std(axis=0, ddof=1) / moved.std(axis=0, ddof=1)
    assert np.all(np.abs(ratio - 1.0) < 5 / np.sqrt(2 * 4000) + 1 / 30)


def test_the_first_value_that_is_no_number_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states, simulated, observed, local = waves(30, 300, 25)
    states[6, 10], states[4, 250] = np.inf, np.nan
    in_blocks(monkeypatch)
    with pytest.raises(NonFiniteError) as caught:
        assimilate(states, simulated, observed, options={"localization": local})
    assert caught.value.index == (4, 250)
    assert caught.value.argument == "forecast_states"


@pytest.mark.parametrize("case", ["nothing observed", "constant states"])
def test_an_unchanged_forecast_comes_back(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, simulated, observed, local = waves(12, 300, 25)
    if case == "nothing observed":
        observed = np.full_like(observed, np.nan)
    else:
        states = np.tile(states[:1], (12, 1))
    options = AnalysisOptions(localization=local, n_samples=15)
    results = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        results.append(assimilate(states, simulated, observed, options=options, seed=4))
    assert results[0].samples.tobytes() == results[1].samples.tobytes()
    assert_same_facts(*results)


@pytest.mark.parametrize("period", [None, 1.0])
def test_measurements_out_of_reach_are_not_looked_at_and_none_is_missed(
    period: float | None,
) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        states, measured = rng.random((20, 2)) * 0.2, rng.random((200, 2))
        local = Localization(states, measured, 0.06, period)
        near = local.near_measurements()
        matters = np.flatnonzero(local.taper_xy().any(axis=0))
        assert set(matters) <= set(near)
        assert near.size < 100


def test_copies_are_known_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    states, simulated, observed, local = waves(30, 300, 25)
    states[3], simulated[3] = states[5], simulated[5]
    states[8, :200] = states[9, :200]  # alike in the first blocks only
    options = AnalysisOptions(localization=local)
    distances = []
    for prepare in (whole, in_blocks):
        prepare(monkeypatch)
        found = assimilate(states, simulated, observed, options=options, seed=4)
        distances.append(found.diagnostics.observation_distance)
    assert distances[0] == distances[1]


def test_any_crew_and_any_order_in_memory_give_the_same_bytes() -> None:
    """At full size of the blocks, through processes, threads and a Fortran array."""
    states, simulated, observed, local = waves(12, 3 * blockwise.PART - 5, 400)
    options = AnalysisOptions(localization=local)

    def found(array: Array, crew: Crew | None = None) -> tuple[bytes, Any]:
        result = assimilate(
            array, simulated, observed, options=options, seed=4, crew=crew
        )
        return result.samples.tobytes(), result.diagnostics.to_dict()

    alone = found(states)
    assert found(np.asfortranarray(states)) == alone
    with ThreadPoolExecutor(3) as threads:
        assert found(states, Through(threads, 2)) == alone
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    stages: list[str] = []
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        crew = Through(processes, 3, progress=lambda stage, *_: stages.append(stage))
        assert found(states, crew) == alone
    assert list(dict.fromkeys(stages)) == ["screening", "searching", "updating"]


def test_memory_is_that_of_a_few_blocks() -> None:
    members, dimension = 20, 40 * blockwise.PART
    place = np.linspace(0.0, 1.0, dimension)
    local = Localization(place, place[::40_000], 0.01)

    class Drawn:
        """States made as they are read: never in memory together."""

        shape = (members, dimension)

        def read(self, columns: slice) -> Array:
            rng = np.random.default_rng([5, columns.start])
            return rng.standard_normal((members, columns.stop - columns.start))

    rng = np.random.default_rng(0)
    simulated = rng.standard_normal((members, 9))
    options = AnalysisOptions(localization=local, measurement_error=0.5)
    taken = 0

    def put(columns: slice, samples: Array) -> None:
        nonlocal taken
        taken += samples.shape[1]

    tracemalloc.start()
    try:
        blockwise.assimilate_blocks(
            Drawn(), simulated, np.zeros(9), put, options=options, seed=1, crew=InTurn()
        )
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == dimension
    # The whole ensemble is 50 MiB; a block of it is 1.3 MiB.
    assert most < 12 * members * blockwise.PART * 8


@pytest.mark.parametrize("error", [0.5, None])
def test_memory_is_not_that_of_all_measurements_squared(error: float | None) -> None:
    members, dimension, measured = 10, 2 * blockwise.PART, 6000
    place = np.arange(dimension, dtype=np.float64)
    there = np.linspace(0.0, dimension - 1.0, measured)
    rng = np.random.default_rng(1)
    states = rng.standard_normal((members, dimension))
    tracemalloc.start()
    try:
        blockwise.assimilate_blocks(
            blockwise.InMemory(states),
            rng.standard_normal((members, measured)),
            np.zeros(measured),
            lambda columns, samples: None,
            options=AnalysisOptions(
                localization=Localization(place, there, 5.0), measurement_error=error
            ),
            seed=1,
            crew=InTurn(),
        )
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Their errors are not correlated: nobody needs the 275 MiB of a matrix of them.
    assert most < 8 * measured**2 / 2


def test_options_that_tie_variables_together_are_refused() -> None:
    states, simulated, observed, local = waves(12, 300, 25)
    for changes in (
        {"localization": None},
        {"localization": local, "scaling": "none"},
        {"localization": local, "measurement_bandwidth": 1.0},
    ):
        with pytest.raises(OptionsError):
            blockwise.assimilate_blocks(
                blockwise.InMemory(states),
                simulated,
                observed,
                lambda columns, samples: None,
                options=AnalysisOptions(**changes),  # type: ignore[arg-type]
                seed=1,
                crew=InTurn(),
            )
