"""When a gathered cycle goes on, on a clock that tests can turn, over both stores."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from service.sessions import (
    CycleConflict,
    MemberLate,
    MembersMissing,
    Session,
    SessionInputError,
    Sessions,
    SessionSpec,
)
from service.sessions.coupling import Coupling, Member, Roll
from service.sessions.events import Began, CycleFinished, Gone, MemberArrived, Position
from service.sessions.gathering import Observed
from service.stores import Quota, QuotaExceeded, Store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock, OpenStore

STATES, SIMULATED, OBSERVATION = forecast(1)
DROP = {"members": 6, "minimum_members": 4, "missing": "drop", "deadline_seconds": 60}


async def begun(sessions: Sessions, **coupling: object) -> Session:
    """A session of six members."""
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=1, coupling=dict(coupling))
    return await sessions.create("t", spec)


async def put(sessions: Sessions, sid: str, *members: int, k: int = 1) -> None:
    """Some of the members."""
    for i in members:
        await sessions.members.put("t", sid, k, i, STATES[i], SIMULATED[i])


def observed(sid: str, k: int = 1, wait: float = 0.0, **coupling: object) -> Observed:
    """The observation of a cycle."""
    return Observed("t", sid, k, OBSERVATION, {}, dict(coupling), wait)


async def test_the_deadline_counts_from_the_first_arrival(
    sessions: Sessions, clock: Clock, analysis: SmallAnalysis
) -> None:
    sid = (await begun(sessions, **DROP)).id
    with pytest.raises(MembersMissing):
        await sessions.gathering.put(observed(sid))
    await put(sessions, sid, 0)
    clock.advance(30)
    await put(sessions, sid, 1, 2, 3)
    with pytest.raises(MembersMissing) as early:
        await sessions.gathering.put(observed(sid))
    assert 29 < early.value.retry_after <= 30
    clock.advance(29)
    with pytest.raises(MembersMissing):
        await sessions.gathering.put(observed(sid))
    clock.advance(2)
    assert analysis.calls == 0
    result = await sessions.gathering.put(observed(sid))
    assert result.cycle.diagnostics["coupling"]["deadline_passed"]
    assert result.cycle.options == {"failed_members": "drop"}


async def test_the_deadline_does_not_replace_the_minimum(
    sessions: Sessions, clock: Clock
) -> None:
    sid = (await begun(sessions, **DROP)).id
    await put(sessions, sid, 0, 1, 2)
    clock.advance(3600)
    with pytest.raises(MembersMissing, match="at least 4"):
        await sessions.gathering.put(observed(sid))
    await put(sessions, sid, 5)
    await sessions.gathering.put(observed(sid))


async def test_members_of_a_finished_cycle_leave_the_store(
    sessions: Sessions, store: Store
) -> None:
    sid = (await begun(sessions)).id
    await put(sessions, sid, *range(6))
    assert len(await store.parts("t", sid)) == 6
    await sessions.gathering.put(observed(sid))
    assert list(await store.parts("t", sid)) == []
    # A cycle that comes whole takes away what lay there, too.
    await put(sessions, sid, 0, 1, k=2)
    await sessions.put_cycle("t", sid, 2, STATES, SIMULATED, OBSERVATION)
    assert list(await store.parts("t", sid)) == []
    with pytest.raises(MemberLate):
        await put(sessions, sid, 0, k=2)


async def test_members_that_race_their_cycle_are_in_it_or_late(
    sessions: Sessions, store: Store, open_another: OpenStore, clock: Clock
) -> None:
    """Acknowledged, in the cycle's list, or told to be late; nothing stays behind."""
    other = Sessions(await open_another(), SmallAnalysis(), clock)
    sid = (await begun(sessions, members=6, minimum_members=2, missing="drop")).id
    for k in range(1, 11):
        outcomes = await asyncio.gather(
            *(put(sessions, sid, i, k=k) for i in (0, 1, 2)),
            *(put(other, sid, i, k=k) for i in (3, 4, 5)),
            other.gathering.put(observed(sid, k=k, wait=30)),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[-1], BaseException)
        used = {m.index for m in (await sessions.members.listing("t", sid, k)).members}
        assert len(used) >= 2
        for i, outcome in enumerate(outcomes[:6]):
            assert outcome is None or isinstance(outcome, MemberLate)
            assert i not in used or outcome is None
        assert list(await store.parts("t", sid)) == []


@pytest.mark.parametrize("anew", [False, True])
async def test_a_member_taken_back_while_its_cycle_is_computed_is_not_in_it(
    sessions: Sessions, analysis: SmallAnalysis, anew: bool
) -> None:
    sid = (await begun(sessions, members=6, minimum_members=2, missing="drop")).id
    await put(sessions, sid, *range(6))
    analysis.gate.clear()
    waiting = asyncio.create_task(sessions.gathering.put(observed(sid)))
    await asyncio.wait_for(analysis.began.wait(), 30)
    await sessions.members.drop("t", sid, 1, 5)
    if anew:
        await sessions.members.put("t", sid, 1, 5, STATES[5] + 1, SIMULATED[5])
    analysis.gate.set()
    result = await asyncio.wait_for(waiting, 30)
    listing = await sessions.members.listing("t", sid, 1)
    assert [member.index for member in listing.members] == [*range(5 + anew)]
    assert analysis.calls == 2
    assert result.cycle.diagnostics["coupling"]["arrived"] == 5 + anew


async def test_a_member_that_is_exchanged_before_it_is_read_is_listed_anew(
    sessions: Sessions, store: Store
) -> None:
    sid = (await begun(sessions, members=6)).id
    await put(sessions, sid, *range(6))
    session = await sessions.get("t", sid)
    listed = await sessions.members.arrived("t", session)
    await sessions.members.drop("t", sid, 1, 2)
    await sessions.members.put("t", sid, 1, 2, STATES[2] + 1, SIMULATED[2])
    await sessions.members.drop("t", sid, 1, 4)
    rows = await sessions.members.rows("t", session, listed)
    assert [row is None for row in rows] == [i in (2, 4) for i in range(6)]


async def test_a_member_whose_cycle_is_just_finished_is_not_taken_back(
    sessions: Sessions, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = (await begun(sessions)).id
    await put(sessions, sid, *range(6))
    drop_part = store.drop_part

    async def late(*args: object, **more: object) -> object:
        if not (await sessions.get("t", sid)).cycle:
            await sessions.gathering.put(observed(sid))
        return await drop_part(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "drop_part", late)
    with pytest.raises(MemberLate):
        await sessions.members.drop("t", sid, 1, 5)


async def test_members_that_wait_count_in_their_tenants_quota(
    store: Store, clock: Clock
) -> None:
    sessions = Sessions(store, SmallAnalysis(), clock, quota=Quota(bytes=1000))
    sid = (await begun(sessions)).id
    with pytest.raises(QuotaExceeded):
        await put(sessions, sid, *range(6))
    listing = await sessions.members.listing("t", sid, 1)
    assert 0 < len(listing.members) < 6


async def test_coordinators_that_do_not_wait_hear_of_the_same_cycle(
    sessions: Sessions, open_another: OpenStore, clock: Clock
) -> None:
    other = Sessions(await open_another(), SmallAnalysis(), clock)
    sid = (await begun(sessions, members=6)).id
    for k in range(1, 11):
        await put(sessions, sid, *range(6), k=k)
        results = await asyncio.gather(
            *(each.gathering.put(observed(sid, k=k)) for each in (sessions, other) * 3)
        )
        assert [result.replayed for result in results].count(False) == 1


async def test_waiting_ends_with_the_last_member(
    sessions: Sessions, open_another: OpenStore, clock: Clock
) -> None:
    other = Sessions(await open_another(), SmallAnalysis(), clock)
    sid = (await begun(sessions, members=6)).id
    await put(sessions, sid, *range(5))
    waiting = asyncio.create_task(sessions.gathering.put(observed(sid, wait=60)))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await put(other, sid, 5)
    result = await asyncio.wait_for(waiting, 30)
    assert result.samples.shape == (6, 3)
    await asyncio.wait_for(other.watching.reached("t", sid, 1, 60), 30)


async def test_members_beyond_the_ensemble_are_refused(sessions: Sessions) -> None:
    sid = (await begun(sessions)).id
    await put(sessions, sid, *range(6))
    with pytest.raises(SessionInputError, match="member 5"):
        await sessions.gathering.put(observed(sid, members=4, missing="drop"))
    with pytest.raises(SessionInputError, match="minimum"):
        await sessions.gathering.put(observed(sid, members=6, minimum_members=7))
    with pytest.raises(SessionInputError, match="observation"):
        await sessions.gathering.put(
            Observed("t", sid, 1, np.zeros(3), {}, {}, wait=0.0)
        )
    with pytest.raises(CycleConflict):
        await sessions.gathering.put(observed(sid, k=2))


async def test_the_same_request_is_known_by_its_observation_options_and_coupling(
    sessions: Sessions,
) -> None:
    sid = (await begun(sessions, **DROP)).id
    await put(sessions, sid, *range(6))
    first = await sessions.gathering.put(observed(sid))
    again = await sessions.gathering.put(observed(sid))
    assert (first.replayed, again.replayed) == (False, True)
    np.testing.assert_array_equal(again.samples, first.samples)
    with pytest.raises(CycleConflict):
        await sessions.gathering.put(observed(sid, missing="refill"))


async def test_events_end_when_the_session_does(
    sessions: Sessions, clock: Clock
) -> None:
    sid = (await begun(sessions)).id
    await put(sessions, sid, 3, 1)
    events = sessions.telling.events("t", sid, Position(0, 0), 0.1)
    first, second, third = [await anext(events) for _ in range(3)]
    assert isinstance(first, Began) and len(first.members) == 2
    for event, index in ((second, 3), (third, 1)):
        assert isinstance(event, MemberArrived)
        assert (event.member.index, event.cycle) == (index, 1)
    await sessions.put_cycle("t", sid, 1, STATES, SIMULATED, OBSERVATION)
    told = [await anext(events)]
    while not isinstance(told[-1], CycleFinished):
        told.append(await anext(events))
    assert told[-1].at == Position(1, 2)
    await sessions.delete("t", sid)
    while not isinstance(told[-1], Gone):
        told.append(await anext(events))
    assert told[-1] == Gone("deleted")
    with pytest.raises(StopAsyncIteration):
        await anext(events)


def test_objections_in_words() -> None:
    def roll(arrived: int, failed: int = 0, **declared: object) -> Roll:
        members = tuple(
            Member(i, "m", failed=i < failed, staged_at=100.0, arrival=i + 1)
            for i in range(arrived)
        )
        return Roll(1, 6, members, Coupling(**declared))  # type: ignore[arg-type]

    assert roll(6).objection(0) is None
    assert "all are needed" in str(roll(5).objection(1e9))
    assert roll(5, missing="drop").objection(100) is None
    assert "at least 2" in str(roll(3, failed=2, missing="drop").objection(1e9))
    late = roll(5, missing="refill", deadline_seconds=10)
    assert "9.0 s more" in str(late.objection(101))
    assert late.objection(110) is None
    assert roll(6, missing="refill", deadline_seconds=10).objection(101) is None


def test_of_many_missing_members_the_first_runs_are_named() -> None:
    def told(expected: int, *arrived: int) -> str:
        members = tuple(Member(i, "m", False, 0.0, i) for i in arrived)
        words = str(Roll(1, expected, members, Coupling()).objection(0))
        return words.partition(" Missing: ")[2]

    # Of nobody it is plain who is missing, and of an unknown number nobody can say.
    assert told(5000) == told(0) == ""
    assert told(5000, 0, 1, 7) == "2 to 6, 8 to 4999."
    assert told(6, 0, 2, 4) == "1, 3, 5."
    every_other = told(10_000, *range(1, 10_000, 2))
    assert every_other == "0, 2, 4, 6, 8, 10, 12, 14 and 4,992 more."
