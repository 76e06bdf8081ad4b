"""Cycles happen once, in order, and can be asked for again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from service.sessions import (
    AnalysisNotKept,
    CycleConflict,
    CycleNotFound,
    CycleResult,
    Session,
    SessionInputError,
    Sessions,
    SessionSpec,
)
from service.stores import Store
from tests.support.analyses import SmallAnalysis, forecast, nudged
from tests.support.stores import Clock


@pytest.fixture
async def session(sessions: Sessions) -> Session:
    """A session of 3 states and 2 measurements that keeps 3 analyses."""
    ensemble = np.arange(18.0).reshape(6, 3)
    return await sessions.create(
        "t",
        SessionSpec(
            state_dim=3,
            measurement_dim=2,
            options={"shift": 1.0},
            seed=5,
            initial_ensemble=ensemble,
            keep_analyses=3,
        ),
    )


async def _run(sessions: Sessions, sid: str, cycles: range) -> list[CycleResult]:
    return [await sessions.put_cycle("t", sid, k, *forecast(k)) for k in cycles]


async def test_a_cycle_is_analysed_and_kept(
    sessions: Sessions, session: Session, clock: Clock
) -> None:
    clock.advance(7)
    arrays = forecast(1, members=4)
    result = await sessions.put_cycle("t", session.id, 1, *arrays)
    cycle = result.cycle
    assert not result.replayed
    assert (cycle.cycle, cycle.n_samples, cycle.created_at) == (1, 4, clock.now)
    expected = nudged(*arrays, session.options, cycle.seed)
    assert result.samples.tobytes() == expected.tobytes()
    assert set(result.timings) == {"store", "queue", "compute"}
    after = await sessions.get("t", session.id)
    assert (after.cycle, after.version, after.members) == (1, 2, 4)
    assert after.updated_at == clock.now
    assert await sessions.cycle("t", session.id, 1) == cycle
    kept = await sessions.analysis("t", session.id, 1)
    assert kept.tobytes() == expected.tobytes()


async def test_the_same_request_again_gives_the_same_bytes_and_changes_nothing(
    sessions: Sessions, session: Session, analysis: SmallAnalysis
) -> None:
    first, second = await _run(sessions, session.id, range(1, 3))
    before = await sessions.get("t", session.id)
    for _ in range(3):
        for result, k in ((second, 2), (first, 1)):
            again = await sessions.put_cycle("t", session.id, k, *forecast(k))
            assert again.replayed
            assert again.cycle == result.cycle
            assert again.samples.tobytes() == result.samples.tobytes()
    assert analysis.calls == 2
    assert await sessions.get("t", session.id) == before


def _changes() -> list[Any]:
    states, simulated, observation = forecast(2)
    return [
        (states + 1e-12, simulated, observation),
        (states, simulated + 1e-12, observation),
        (states, simulated, observation + 1e-12),
        (states, simulated, np.array([math.nan, observation[1]])),
        (states[::-1], simulated[::-1], observation),
        (states[:5], simulated[:5], observation),
    ]


@pytest.mark.parametrize("arrays", _changes())
async def test_another_request_for_a_finished_cycle_is_a_conflict(
    sessions: Sessions, session: Session, analysis: SmallAnalysis, arrays: Any
) -> None:
    await _run(sessions, session.id, range(1, 4))
    before = await sessions.get("t", session.id)
    with pytest.raises(CycleConflict) as refused:
        await sessions.put_cycle("t", session.id, 2, *arrays)
    assert (refused.value.current_cycle, refused.value.same_cycle) == (3, True)
    with pytest.raises(CycleConflict):
        await sessions.put_cycle("t", session.id, 2, *forecast(2), options={"shift": 2})
    assert analysis.calls == 3
    assert await sessions.get("t", session.id) == before


@pytest.mark.parametrize("k", [2, 3, 1000])
async def test_a_cycle_out_of_order_is_a_conflict(
    sessions: Sessions, session: Session, analysis: SmallAnalysis, k: int
) -> None:
    with pytest.raises(CycleConflict) as refused:
        await sessions.put_cycle("t", session.id, k, *forecast(1))
    assert (refused.value.cycle, refused.value.current_cycle) == (k, 0)
    assert not refused.value.same_cycle
    assert analysis.calls == 0
    assert await sessions.get("t", session.id) == session


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "1"])
async def test_a_cycle_that_is_no_number_is_refused(
    sessions: Sessions, session: Session, k: Any
) -> None:
    with pytest.raises(SessionInputError):
        await sessions.put_cycle("t", session.id, k, *forecast(1))


@pytest.mark.parametrize(
    ("argument", "arrays"),
    [
        ("forecast_states", forecast(1, dx=2)),
        ("forecast_states", (np.zeros(3), np.zeros((1, 2)), np.zeros(2))),
        ("simulated_measurements", forecast(1, dy=3)),
        ("simulated_measurements", (np.zeros((4, 3)), np.zeros((5, 2)), np.zeros(2))),
        ("observation", (np.zeros((4, 3)), np.zeros((4, 2)), np.zeros(3))),
        ("observation", (np.zeros((4, 3)), np.zeros((4, 2)), np.zeros((2, 2)))),
    ],
)
async def test_arrays_that_do_not_fit_are_refused_by_name(
    sessions: Sessions,
    session: Session,
    analysis: SmallAnalysis,
    argument: str,
    arrays: Any,
) -> None:
    with pytest.raises(SessionInputError, match=r"wanted shape \(") as refused:
        await sessions.put_cycle("t", session.id, 1, *arrays)
    assert refused.value.argument == argument
    assert analysis.calls == 0
    assert await sessions.get("t", session.id) == session


async def test_a_failed_analysis_leaves_everything_unchanged(
    sessions: Sessions, session: Session, analysis: SmallAnalysis
) -> None:
    await _run(sessions, session.id, range(1, 2))
    before = await sessions.get("t", session.id)
    analysis.error = ArithmeticError("broke down")
    for _ in range(2):
        with pytest.raises(ArithmeticError):
            await sessions.put_cycle("t", session.id, 2, *forecast(2))
    assert await sessions.get("t", session.id) == before
    with pytest.raises(CycleNotFound):
        await sessions.cycle("t", session.id, 2)
    analysis.error = None
    result = await sessions.put_cycle("t", session.id, 2, *forecast(2))
    assert (result.cycle.cycle, result.replayed) == (2, False)


async def test_seeds_differ_by_cycle_and_repeat_by_session(
    sessions: Sessions, session: Session
) -> None:
    twin = await sessions.create(
        "t",
        SessionSpec(state_dim=3, measurement_dim=2, options={"shift": 1.0}, seed=5),
    )
    ours = await _run(sessions, session.id, range(1, 5))
    theirs = await _run(sessions, twin.id, range(1, 5))
    assert len({result.cycle.seed for result in ours}) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert one.cycle.seed == other.cycle.seed
        assert one.samples.tobytes() == other.samples.tobytes()


async def test_options_of_one_cycle_lie_over_those_of_the_session(
    sessions: Sessions, session: Session
) -> None:
    plain = await sessions.put_cycle("t", session.id, 1, *forecast(1))
    own = await sessions.put_cycle(
        "t", session.id, 2, *forecast(2), options={"shift": 3, "more": None}
    )
    last = await sessions.put_cycle("t", session.id, 3, *forecast(3))
    assert plain.cycle.diagnostics["options"] == {"shift": 1.0}
    assert own.cycle.diagnostics["options"] == {"shift": 3, "more": None}
    assert own.cycle.options == {"shift": 3, "more": None}
    assert last.cycle.diagnostics["options"] == {"shift": 1.0}
    assert (await sessions.get("t", session.id)).options == {"shift": 1.0}


async def test_a_repetition_does_not_mind_a_changed_session(
    sessions: Sessions, session: Session
) -> None:
    first = await sessions.put_cycle("t", session.id, 1, *forecast(1))
    await sessions.update("t", session.id, options={"shift": 9}, metadata={"a": 1})
    again = await sessions.put_cycle("t", session.id, 1, *forecast(1))
    assert again.replayed
    assert again.samples.tobytes() == first.samples.tobytes()


async def test_only_the_last_analyses_are_kept_and_all_facts(
    sessions: Sessions, session: Session
) -> None:
    results: list[CycleResult] = []
    for k in range(1, 8):
        results += await _run(sessions, session.id, range(k, k + 1))
        oldest = max(0, k - 2)
        for cycle in range(k + 1):
            if cycle < oldest:
                with pytest.raises(AnalysisNotKept) as gone:
                    await sessions.analysis("t", session.id, cycle)
                assert gone.value.oldest_kept == oldest
            elif cycle > 0:
                kept = await sessions.analysis("t", session.id, cycle)
                assert kept.tobytes() == results[cycle - 1].samples.tobytes()
    with pytest.raises(AnalysisNotKept):
        await sessions.put_cycle("t", session.id, 2, *forecast(2))
    with pytest.raises(CycleConflict):
        await sessions.put_cycle("t", session.id, 2, *forecast(3))
    found = await sessions.cycles("t", session.id)
    assert found == [result.cycle for result in results]


async def test_what_is_no_longer_kept_takes_no_room(
    sessions: Sessions, session: Session, store: Store
) -> None:
    await _run(sessions, session.id, range(1, 8))
    blobs = [await store.blob("t", session.id, f"analysis/{k}") for k in range(8)]
    assert [blob is not None for blob in blobs] == [False] * 5 + [True] * 3


async def test_facts_come_in_pages(sessions: Sessions, session: Session) -> None:
    results = await _run(sessions, session.id, range(1, 8))
    facts = [result.cycle for result in results]
    assert await sessions.cycles("t", session.id, limit=3) == facts[:3]
    assert await sessions.cycles("t", session.id, after=3, limit=3) == facts[3:6]
    assert await sessions.cycles("t", session.id, after=6) == facts[6:]
    assert await sessions.cycles("t", session.id, after=7) == []
    assert await sessions.cycles("t", session.id, after=99) == []


@pytest.mark.parametrize("k", [-1, 2, 99])
async def test_cycles_that_never_were_are_not_found(
    sessions: Sessions, session: Session, k: int
) -> None:
    await _run(sessions, session.id, range(1, 2))
    with pytest.raises(CycleNotFound):
        await sessions.analysis("t", session.id, k)
    with pytest.raises(CycleNotFound):
        await sessions.cycle("t", session.id, k)
    with pytest.raises(CycleNotFound):
        await sessions.cycle("t", session.id, 0)


async def test_some_members_of_an_analysis(
    sessions: Sessions, session: Session
) -> None:
    whole = await sessions.analysis("t", session.id, 0)
    for members in (slice(0, 2), slice(4, 6), slice(2, 2), slice(4, 99)):
        part = await sessions.analysis("t", session.id, 0, members)
        assert part.tobytes() == whole[members].tobytes()
        assert part.shape == whole[members].shape


async def test_an_observation_may_be_a_row_or_a_column(
    sessions: Sessions, session: Session
) -> None:
    states, simulated, observation = forecast(1)
    first = await sessions.put_cycle(
        "t", session.id, 1, states, simulated, observation.reshape(1, -1)
    )
    for shaped in (observation, observation.reshape(-1, 1)):
        again = await sessions.put_cycle("t", session.id, 1, states, simulated, shaped)
        assert again.replayed
        assert again.cycle == first.cycle
