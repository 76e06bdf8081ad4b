"""A clock that jumps takes no session along."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from service.sessions import SessionGone, Sessions, SessionSpec
from service.stores import Store, open_store
from service.stores.clocks import STEP_SECONDS, SteadyClock
from service.stores.sqlite import SqliteStore
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock, change

HOUR, DAY = 3600.0, 86_400.0


class Clocks:
    """A wall clock that can be set, and a steady one."""

    def __init__(self) -> None:
        self.wall = Clock()
        self.steady = Clock()
        self.steady.now = 17.0

    def begin(self) -> SteadyClock:
        """What a process reads."""
        return SteadyClock(self.wall, self.steady)

    def pass_by(self, seconds: float) -> None:
        """Time that really passes."""
        self.wall.advance(seconds)
        self.steady.advance(seconds)


@pytest.fixture
def clocks() -> Clocks:
    """Of this test's machine."""
    return Clocks()


def test_as_long_as_nobody_sets_it_there_is_one_clock(clocks: Clocks) -> None:
    clock = clocks.begin()
    for _ in range(100):
        clocks.pass_by(1000.0)
        # What a time server corrects.
        clocks.wall.advance(0.5 * STEP_SECONDS)
        assert clock.early() == clock.late() == clocks.wall.now


@pytest.mark.parametrize("jump", [-DAY, -HOUR, HOUR, DAY, 365 * DAY])
def test_after_a_jump_one_reading_goes_on_and_one_follows(
    clocks: Clocks, jump: float
) -> None:
    clock = clocks.begin()
    start = clocks.wall.now
    clocks.wall.advance(jump)
    clocks.pass_by(10.0)
    readings = sorted([start + 10.0, start + 10.0 + jump])
    assert [clock.early(), clock.late()] == pytest.approx(readings)
    clocks.wall.advance(-jump)
    assert clock.early() == clock.late() == pytest.approx(start + 10.0)


def test_the_real_clocks_agree() -> None:
    clock = SteadyClock()
    for reading in (clock.early(), clock.late()):
        assert reading == pytest.approx(time.time(), abs=1.0)


async def _service(url: str, clock: SteadyClock) -> tuple[Store, Sessions]:
    store = open_store(url, clock=clock.early)
    await store.open()
    return store, Sessions(store, SmallAnalysis(), clock.late)


@pytest.mark.parametrize("jump", [-DAY, -HOUR, HOUR, DAY])
async def test_a_session_in_use_outlives_a_jump_and_the_restart_after_it(
    store_url: str, clocks: Clocks, jump: float
) -> None:
    store, sessions = await _service(store_url, clocks.begin())
    spec = SessionSpec(state_dim=3, measurement_dim=2, ttl_seconds=600.0, seed=1)
    used = (await sessions.create("t", spec)).id
    unused = (await sessions.create("t", spec)).id
    await sessions.put_cycle("t", used, 1, *forecast(1))
    clocks.wall.advance(jump)
    clocks.pass_by(500.0)
    assert (await sessions.get("t", used)).cycle == 1
    assert (await sessions.get("t", unused)).cycle == 0
    clocks.pass_by(500.0)
    await sessions.put_cycle("t", used, 2, *forecast(2))
    await store.close()
    # A new process knows only what the wall says.
    store, sessions = await _service(store_url, clocks.begin())
    again = await sessions.put_cycle("t", used, 2, *forecast(2))
    assert again.replayed
    if jump < 0:
        assert (await sessions.get("t", unused)).cycle == 0
    await store.close()


async def test_time_that_passes_still_ends_a_session(
    store_url: str, clocks: Clocks
) -> None:
    store, sessions = await _service(store_url, clocks.begin())
    spec = SessionSpec(state_dim=3, measurement_dim=2, ttl_seconds=600.0, seed=1)
    sid = (await sessions.create("t", spec)).id
    clocks.wall.advance(DAY)
    clocks.pass_by(601.0)
    with pytest.raises(SessionGone):
        await sessions.get("t", sid)
    await store.close()


async def test_what_a_wrong_clock_has_ended_is_back_when_it_is_right_again(
    store_url: str, clock: Clock
) -> None:
    blobs = {"b": b"data"}
    store = open_store(store_url, clock=clock)
    await store.open()
    begun = change(0, b"m", expires_at=clock.now + 60, blobs=blobs)
    await store.commit("t", "s", begun)
    clock.advance(HOUR - 60)
    with pytest.raises(SessionGone):
        await store.load("t", "s")
    # Others are at work meanwhile, and clear up behind themselves.
    for number in range(3):
        end = clock.now + 2 * HOUR
        await store.commit("t", f"n{number}", change(0, expires_at=end))
    await store.list("t", after=None, limit=100)
    clock.advance(-(HOUR - 60))
    assert (await store.load("t", "s")).meta == b"m"
    assert await store.blob("t", "s", "b") == b"data"
    await store.commit("t", "s", change(1, b"m", expires_at=clock.now + 60))
    listed = await store.list("t", after=None, limit=100)
    assert "s" in [sid for sid, _ in listed.sessions]
    assert (await store.usage("t")).sessions == 4
    await store.close()


async def test_the_file_keeps_what_has_expired_for_a_day(
    tmp_path: Path, clock: Clock
) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", clock=clock)
    await store.open()
    begun = change(0, b"m", expires_at=clock.now + 60, blobs={"b": b"data"})
    await store.commit("t", "s", begun)
    for hours in (23, -23, 26, -26):
        clock.advance(hours * HOUR)
        store._swept_at = 0.0
        end = clock.now + 99 * HOUR
        await store.commit("t", f"n{hours}", change(0, expires_at=end))
        await store.commit("t", f"m{hours}", change(0, expires_at=end))
        if hours == -23:
            assert await store.blob("t", "s", "b") == b"data"
    assert await store.blob("t", "s", "b") is None
    await store.close()
