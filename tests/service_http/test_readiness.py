"""Probes may come in numbers: the store is asked once for all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.app import HEALTH_SECONDS
from service.fresh import Fresh
from service.stores.protocol import StoreHealth
from service.stores.sqlite import SqliteStore
from tests.support.servers import in_process


class Source:
    """Says how often it was asked; slow, and broken when it is told to be."""

    def __init__(self) -> None:
        self.asked = 0
        self.at_once = 0
        self.broken = False

    async def say(self) -> int:
        """The number of the question."""
        self.asked += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            await asyncio.sleep(0.01)
        finally:
            self.at_once -= 1
        if self.broken:
            raise OSError
        return self.asked


async def test_one_question_serves_all_who_ask_meanwhile() -> None:
    source = Source()
    fresh = Fresh(source.say, 60.0)
    answers = await asyncio.gather(*(fresh.look() for _ in range(50)))
    assert answers == [1] * 50
    assert source.asked == 1


async def test_an_old_answer_is_asked_for_anew() -> None:
    source = Source()
    fresh = Fresh(source.say, 0.0)
    assert [await fresh.look() for _ in range(3)] == [1, 2, 3]


async def test_an_error_is_told_and_not_kept() -> None:
    source = Source()
    source.broken = True
    fresh = Fresh(source.say, 60.0)
    with pytest.raises(OSError):
        await fresh.look()
    source.broken = False
    assert await fresh.look() == 2


async def test_who_gives_up_leaves_the_question_to_the_next() -> None:
    source = Source()
    fresh = Fresh(source.say, 60.0)
    impatient = asyncio.create_task(fresh.look())
    waiting = asyncio.create_task(fresh.look())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await waiting == 2


async def test_many_probes_ask_the_store_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = SqliteStore.health

    async def counted(store: SqliteStore) -> StoreHealth:
        asked.append(store)
        return await ask(store)

    monkeypatch.setattr(SqliteStore, "health", counted)
    monkeypatch.setattr("service.app.HEALTH_SECONDS", 60.0)
    async with in_process(tmp_path) as http:
        answers = await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(asked) == 1
    # Long enough for a crowd, short enough for a proxy that looks every few seconds.
    assert 0.2 <= HEALTH_SECONDS <= 2.0
