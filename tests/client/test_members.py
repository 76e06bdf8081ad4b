"""The client's part of coupling member by member, waiting for each call or not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from service.cli.demo.processes import Service
from service.client import (
    AsyncClient,
    Client,
    CycleNotFoundError,
    Event,
    MemberConflictError,
    MemberLateError,
    MembersMissingError,
    RetryPolicy,
    SessionGoneError,
    UsageError,
)
from tests.client.pairs import DIMS, FIXED, pairs
from tests.support.servers import Server

ALL = {"members": 12}
COUPLING = {**ALL, "minimum_members": 10, "missing": "refill"}


def test_members_from_many_hands_make_a_cycle(client: Client) -> None:
    states, simulated, observation = pairs()
    session = client.create_session(**DIMS, options=FIXED, coupling=COUPLING)
    for i in range(9):
        assert not session.put_member(i, states[i], simulated[i])
    assert session.put_member(0, states[0], simulated[0])
    with pytest.raises(MemberConflictError):
        session.put_member(0, states[1], simulated[0])
    with pytest.raises(MembersMissingError) as missing:
        session.gather(observation)
    assert missing.value.problem["missing"] == [9, 10, 11]
    with pytest.raises(UsageError):
        session.put_member(-1, states[1], simulated[0])

    worker = client.session(session.id)
    worker.put_member(9, np.full(2, np.nan), simulated[9])
    listing = session.members()
    assert (listing.arrived, listing.failed) == (list(range(10)), [9])
    session.take_back(9)
    session.take_back(9)
    worker.put_member(9, states[9], simulated[9])
    result = session.gather(observation)
    assert result.samples.shape == (12, 2)
    assert result.diagnostics["coupling"]["missing"] == [10, 11]
    again = session.gather(observation, number=1)
    assert again.replayed
    np.testing.assert_array_equal(again.samples, result.samples)
    with pytest.raises(MemberLateError) as late:
        worker.put_member(11, states[11], simulated[11], number=1)
    assert late.value.current_cycle == 1
    assert session.members(1).finished
    session.delete()


def test_waiting_for_members_and_for_the_analysis(client: Client) -> None:
    states, simulated, observation = pairs()
    session = client.create_session(**DIMS, options=FIXED, coupling=ALL)

    def work() -> None:
        worker = client.session(session.id)
        for i in range(12):
            worker.put_member(i, states[i], simulated[i])
        found.append(worker.wait_for_analysis(timeout=60))

    found: list[np.ndarray] = []
    thread = threading.Thread(target=work)
    thread.start()
    result = session.gather(observation, timeout=60)
    thread.join(60)
    np.testing.assert_array_equal(found[0], result.samples)
    with pytest.raises(CycleNotFoundError):
        session.wait_for_analysis(timeout=0.2)
    session.delete()


def test_events_in_order_until_the_session_is_gone(client: Client) -> None:
    session = client.create_session(**DIMS, options=FIXED)
    heard: list[Event] = []
    thread = threading.Thread(target=lambda: heard.extend(session.events()))
    thread.start()
    session.cycle(*pairs(1))
    _until(lambda: client.session(session.id).current_cycle == 1)
    session.cycle(*pairs(2))
    time.sleep(0.5)
    session.delete()
    thread.join(60)
    assert not thread.is_alive()
    assert heard[0].name == "session" and heard[0].id
    assert heard[-1] == Event("gone", {"reason": "deleted"})
    cycles = [event.data["cycle"] for event in heard if event.name == "cycle"]
    assert cycles == sorted(cycles) and cycles[-1] == 2
    with pytest.raises(SessionGoneError):
        next(session.events())


@pytest.mark.slow
def test_events_go_on_after_a_restart_and_miss_nothing(mortal: Service) -> None:
    with Client(mortal.url, retry=RetryPolicy(give_up_after=60)) as client:
        session = client.create_session(**DIMS, options=FIXED)
        events = session.events()
        assert next(events).name == "session"
        session.cycle(*pairs(1))
        while (event := next(events)).name != "cycle":
            pass
        mortal.kill()
        mortal.start()
        session.cycle(*pairs(2))
        session.cycle(*pairs(3))
        told = [event.data["cycle"]]
        while told[-1] < 3:
            event = next(events)
            told += [event.data["cycle"]] if event.name == "cycle" else []
        assert told == [1, 2, 3]


async def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    states, simulated, observation = pairs()
    async with AsyncClient(server.url) as client:
        session = await client.create_session(**DIMS, options=FIXED, coupling=ALL)
        events = session.events()
        assert (await anext(events)).name == "session"
        gathering = asyncio.create_task(session.gather(observation, timeout=60))
        await asyncio.gather(
            *(
                session.put_member(i, states[i], simulated[i], number=1)
                for i in range(12)
            )
        )
        result = await gathering
        found = await session.wait_for_analysis(1, timeout=60)
        np.testing.assert_array_equal(found, result.samples)
        async for event in events:
            if event.name == "cycle":
                break
        assert (await session.members(1)).arrived == list(range(12))
        await session.delete()
        async for event in events:
            assert event.name in ("gone", "warning", "member")
            if event.name == "gone":
                break


def _until(found: Callable[[], bool], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)
