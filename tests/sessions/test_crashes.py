"""``kill -9`` at any moment loses nothing acknowledged and leaves no half state."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.sessions import Sessions, SessionSpec
from service.stores import Store, open_store
from tests.support.analyses import SmallAnalysis
from tests.support.crash_writer import body
from tests.support.redis import RedisServer
from tests.support.stores import OpenStore

KEEP = 3
ROUNDS = 40


class Writers:
    """Processes that put cycles until they are killed, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.acknowledged: dict[int, str] = {}
        self.pid = 0

    async def start(self, url: str, sid: str) -> None:
        """A new writer begins."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{url} {sid}\n".encode())
        self.pid = 0
        while not self.pid:
            await self._line()

    async def listen(self, seconds: float) -> None:
        """Take down what is acknowledged for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self._line()

    async def first(self) -> None:
        """Wait until this writer has something acknowledged."""
        before = len(self.acknowledged)
        while len(self.acknowledged) == before:
            await self._line()

    async def kill(self) -> None:
        """``kill -9``, and read what was said before."""
        os.kill(self.pid, signal.SIGKILL)
        while await self._line() != "dead":
            pass

    async def _line(self) -> str:
        assert self._process.stdout is not None
        words = (await self._process.stdout.readline()).decode().split()
        match words:
            case ["pid", pid]:
                self.pid = int(pid)
            case ["ack", k, mark]:
                self.acknowledged[int(k)] = mark
            case ["dead"]:
                pass
            case _:
                pytest.fail(f"the writer has failed: {words}")
        return words[0]


@pytest.fixture
async def writers() -> AsyncIterator[Writers]:
    """A source of writers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.crash_writer"),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    made = Writers(process)
    yield made
    with contextlib.suppress(ProcessLookupError):
        if made.pid:
            os.kill(made.pid, signal.SIGKILL)
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 10)


async def _whole(store: Store, sid: str, acknowledged: dict[int, str]) -> None:
    """Hold a session against what was acknowledged; nothing may be half there."""
    sessions = Sessions(store, SmallAnalysis())
    session = await sessions.get("t", sid)
    last = max(acknowledged, default=0)
    assert session.cycle in (last, last + 1), "one more may be in, unacknowledged"
    assert session.version == session.cycle + 1
    after = max(0, session.cycle - 1000)
    facts = await sessions.cycles("t", sid, after=after, limit=1000)
    assert [cycle.cycle for cycle in facts] == list(range(after + 1, session.cycle + 1))
    for k in range(max(1, session.cycle - KEEP + 1), session.cycle + 1):
        samples = await sessions.analysis("t", sid, k)
        mark = hashlib.sha256(samples.data).hexdigest()
        assert acknowledged.get(k, mark) == mark
        again = await sessions.put_cycle("t", sid, k, *body(k))
        assert again.replayed
        assert hashlib.sha256(again.samples.data).hexdigest() == mark
        # Once seen it has to stay, whether its writer lived to hear of it or not.
        acknowledged[k] = mark
    for k in range(max(0, session.cycle - 50), session.cycle - KEEP + 1):
        assert await store.blob("t", sid, f"analysis/{k}") is None


async def _begun(store: Store) -> str:
    spec = SessionSpec(state_dim=3, measurement_dim=2, seed=1, keep_analyses=KEEP)
    return (await Sessions(store, SmallAnalysis()).create("t", spec)).id


@pytest.mark.slow
async def test_killing_the_service_loses_nothing_acknowledged(
    store_url: str, open_another: OpenStore, writers: Writers
) -> None:
    store = await open_another()
    sid = await _begun(store)
    chance = random.Random(20260101)
    for number in range(ROUNDS):
        await writers.start(store_url, sid)
        if number % 4:
            # Every fourth one is killed as it starts, the others at work.
            await writers.first()
        await writers.listen(chance.uniform(0.0, 0.05))
        await writers.kill()
        await _whole(store, sid, writers.acknowledged)
    assert max(writers.acknowledged) > ROUNDS


@pytest.mark.slow
async def test_killing_redis_loses_nothing_acknowledged_when_it_syncs_always(
    tmp_path: Path, writers: Writers
) -> None:
    chance = random.Random(20260102)
    settings = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(tmp_path / "redis", **settings) as server:
        store = open_store(server.url)
        await store.open()
        sid = await _begun(store)
        await writers.start(server.url, sid)
        for _ in range(8):
            await writers.listen(chance.uniform(0.2, 0.4))
            server.kill()
            await writers.listen(0.05)
            os.kill(writers.pid, signal.SIGSTOP)
            await asyncio.to_thread(server.start)
            await _recovered(store)
            await writers.listen(0.05)
            await _whole(store, sid, writers.acknowledged)
            os.kill(writers.pid, signal.SIGCONT)
        await writers.kill()
        await store.close()
    assert max(writers.acknowledged) > 8


async def _recovered(store: Store) -> None:
    async with asyncio.timeout(10):
        while not (await store.health()).ok:
            await asyncio.sleep(0.05)
