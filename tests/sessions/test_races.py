"""Many writers, one session: one wins, and the others learn what happened."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.sessions import (
    CycleConflict,
    CycleResult,
    Known,
    Session,
    SessionGone,
    Sessions,
    SessionSpec,
    VersionConflict,
)
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock, OpenStore


class Service:
    """One process' worth of sessions, on the store that all share."""

    def __init__(self, sessions: Sessions, analysis: SmallAnalysis) -> None:
        self.sessions = sessions
        self.analysis = analysis


@pytest.fixture
async def services(open_another: OpenStore, clock: Clock) -> list[Service]:
    """Four services side by side."""
    made = []
    for _ in range(4):
        analysis = SmallAnalysis(delay=0.02)
        made.append(Service(Sessions(await open_another(), analysis, clock), analysis))
    return made


@pytest.fixture
async def session(services: list[Service]) -> Session:
    """A session they all serve."""
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=5)
    return await services[0].sessions.create("t", spec)


async def test_of_many_different_writers_one_wins(
    services: list[Service], session: Session
) -> None:
    for k in range(1, 4):
        answers = await asyncio.gather(
            *(
                services[writer % 4].sessions.put_cycle(
                    "t", session.id, k, *forecast(1000 * k + writer)
                )
                for writer in range(24)
            ),
            return_exceptions=True,
        )
        won = [answer for answer in answers if isinstance(answer, CycleResult)]
        lost = [answer for answer in answers if isinstance(answer, CycleConflict)]
        assert (len(won), len(lost)) == (1, 23)
        assert not won[0].replayed
        assert all(error.current_cycle == k for error in lost)
        for service in services:
            found = await service.sessions.get("t", session.id)
            assert (found.cycle, found.version) == (k, k + 1)
            kept = await service.sessions.analysis("t", session.id, k)
            assert kept.tobytes() == won[0].samples.tobytes()
            assert await service.sessions.cycle("t", session.id, k) == won[0].cycle


async def test_what_was_read_before_another_writer_came_misleads_nobody(
    services: list[Service], session: Session
) -> None:
    """A session just read is not read again; that it has moved the commit tells."""
    first, second, third, _ = (service.sessions for service in services)
    stale = Known(await second.peek("t", session.id), time.perf_counter())
    won = await first.put_cycle("t", session.id, 1, *forecast(1))
    again = await second.put_cycle("t", session.id, 1, *forecast(1), known=stale)
    assert again.replayed
    assert again.samples.tobytes() == won.samples.tobytes()
    with pytest.raises(CycleConflict):
        await third.put_cycle("t", session.id, 1, *forecast(2), known=stale)
    await first.delete("t", session.id)
    with pytest.raises(SessionGone):
        await second.put_cycle("t", session.id, 1, *forecast(1), known=stale)


@pytest.mark.parametrize(("age", "reads"), [(0.0, 0), (2.0, 1)])
async def test_only_what_was_read_long_ago_is_read_again(
    services: list[Service],
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    age: float,
    reads: int,
) -> None:
    """A second is short beside what another writer's analysis would be done in vain."""
    sessions = services[0].sessions
    known = Known(await sessions.peek("t", session.id), time.perf_counter() - age)
    read: list[str] = []
    reading = sessions._cycling._reading
    plain = reading.session

    async def counted(tenant: str, sid: str) -> Session:
        read.append(sid)
        return await plain(tenant, sid)

    monkeypatch.setattr(reading, "session", counted)
    await sessions.put_cycle("t", session.id, 1, *forecast(1), known=known)
    assert len(read) == reads


async def test_of_many_equal_writers_one_works_and_all_get_its_bytes(
    services: list[Service], session: Session
) -> None:
    answers = await asyncio.gather(
        *(
            services[writer % 4].sessions.put_cycle("t", session.id, 1, *forecast(1))
            for writer in range(24)
        )
    )
    assert sum(not answer.replayed for answer in answers) == 1
    assert len({answer.samples.tobytes() for answer in answers}) == 1
    assert len({answer.cycle.created_at for answer in answers}) == 1
    # In one process they wait for each other instead of computing in vain.
    assert all(service.analysis.calls <= 1 for service in services)
    assert (await services[3].sessions.get("t", session.id)).cycle == 1


async def held(service: Service, session: Session) -> asyncio.Task[CycleResult]:
    """The first cycle on its way, its analysis begun and held at the gate."""
    service.analysis.gate.clear()
    cycle = asyncio.create_task(
        service.sessions.put_cycle("t", session.id, 1, *forecast(1))
    )
    await service.analysis.began.wait()
    return cycle


async def test_a_changed_lifetime_does_not_cost_the_cycle(
    services: list[Service], session: Session
) -> None:
    one, other = services[0], services[1].sessions
    cycle = await held(one, session)
    await other.update("t", session.id, metadata={"note": 1}, ttl_seconds=1234)
    one.analysis.gate.set()
    assert not (await cycle).replayed
    found = await other.get("t", session.id)
    assert (found.cycle, found.version) == (1, 3)
    assert (found.metadata, found.ttl_seconds) == ({"note": 1}, 1234)
    assert one.analysis.calls == 1


async def test_changed_options_are_those_the_cycle_is_analysed_with(
    services: list[Service], session: Session
) -> None:
    one, other = services[0], services[1].sessions
    cycle = await held(one, session)
    await other.update("t", session.id, options={"shift": 7})
    one.analysis.gate.set()
    assert (await cycle).cycle.diagnostics["options"] == {"shift": 7}
    assert one.analysis.calls == 2


async def test_many_changes_at_once_are_all_in(
    services: list[Service], session: Session
) -> None:
    await asyncio.gather(
        *(
            services[writer % 4].sessions.update(
                "t", session.id, metadata={f"w{writer}": writer}
            )
            for writer in range(12)
        )
    )
    found = await services[0].sessions.get("t", session.id)
    assert found.metadata == {f"w{writer}": writer for writer in range(12)}
    assert found.version == 13


async def test_of_many_changes_of_one_version_one_wins(
    services: list[Service], session: Session
) -> None:
    answers = await asyncio.gather(
        *(
            services[writer % 4].sessions.update(
                "t", session.id, expected_version=1, metadata={"w": writer}
            )
            for writer in range(12)
        ),
        return_exceptions=True,
    )
    won = [answer for answer in answers if isinstance(answer, Session)]
    lost = [answer for answer in answers if isinstance(answer, VersionConflict)]
    assert (len(won), len(lost)) == (1, 11)
    assert await services[0].sessions.get("t", session.id) == won[0]


async def test_a_session_deleted_during_its_cycle_stays_deleted(
    services: list[Service], session: Session
) -> None:
    from service.sessions import SessionGone

    one, other = services[0], services[1].sessions
    cycle = await held(one, session)
    await other.delete("t", session.id)
    one.analysis.gate.set()
    with pytest.raises(SessionGone, match="deleted"):
        await cycle
    with pytest.raises(SessionGone, match="deleted"):
        await other.get("t", session.id)


async def test_a_writer_that_leaves_does_not_stop_the_next(
    services: list[Service], session: Session
) -> None:
    one = services[0]
    leaving = await held(one, session)
    waiting = asyncio.create_task(
        one.sessions.put_cycle("t", session.id, 1, *forecast(2))
    )
    await asyncio.sleep(0.05)
    leaving.cancel()
    one.analysis.gate.set()
    result = await waiting
    assert not result.replayed
    assert (
        result.samples.tobytes()
        == (await one.sessions.analysis("t", session.id, 1)).tobytes()
    )
