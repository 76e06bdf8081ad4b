"""Sessions behind sentinels go on when the master is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.sessions import Sessions, SessionSpec
from service.stores import StoreUnavailable, open_store, redis_sentinel
from service.stores.redis_sentinel import is_sentinel, parsed
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.redis import free_port
from tests.support.sentinel import watched
from tests.support.stores import Clock, change, opened


@pytest.mark.slow
async def test_sessions_go_on_with_the_next_master(
    tmp_path: Path, clock: Clock
) -> None:
    with watched(tmp_path) as three:
        async with opened(three.url, clock) as store:
            assert (await store.health()).ok
            sessions = Sessions(store, SmallAnalysis(), clock)
            spec = SessionSpec(state_dim=3, measurement_dim=2, seed=1)
            sid = (await sessions.create("t", spec)).id
            # More at once than there may be connections.
            asked = [sessions.get("t", sid) for _ in range(110)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert not [item for item in answers if isinstance(item, Exception)]
            for k in range(1, 4):
                await sessions.put_cycle("t", sid, k, *forecast(k))
            three.wait_for_replica()
            three.master.kill()
            for k in range(4, 8):
                await _put(sessions, sid, k)
            for k in range(1, 8):
                again = await sessions.put_cycle("t", sid, k, *forecast(k))
                assert again.replayed
        with three.replica.client() as client:
            assert client.info("replication")["role"] == "master"


async def _put(sessions: Sessions, sid: str, k: int) -> None:
    """As a client does it: again, until it is in."""
    async with asyncio.timeout(30):
        while True:
            try:
                await sessions.put_cycle("t", sid, k, *forecast(k))
                return
            except StoreUnavailable:
                await asyncio.sleep(0.1)


async def test_no_sentinel_is_no_store(clock: Clock) -> None:
    url = f"redis+sentinel://127.0.0.1:{free_port()}/sessions"
    async with opened(url, clock) as store:
        assert not (await store.health()).ok
        with pytest.raises(StoreUnavailable, match="does not answer") as refused:
            await store.commit("t", "s", change(0, expires_at=clock.now + 9))
    assert "127.0.0.1" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "redis+sentinel://a:1,b,[::1]:3/main/4",
            ([("a", 1), ("b", 26379), ("::1", 3)], "main", {"db": 4}, {}),
        ),
        (
            "redis+sentinel://me:p%40ss@a/main?sentinel_password=x%26y",
            (
                [("a", 26379)],
                "main",
                {"db": 0, "username": "me", "password": "p@ss"},
                {"password": "x&y"},
            ),
        ),
        (
            "rediss+sentinel://:secret@a/m",
            ([("a", 26379)], "m", {"db": 0, "password": "secret"}, {}),
        ),
    ],
)
def test_addresses_are_understood(url: str, wanted: Any) -> None:
    assert is_sentinel(url)
    assert parsed(url) == wanted


def test_addresses_are_not_left_to_urllib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its versions take several hosts for one that is no IPv6 address."""

    def refusing(*_: object) -> None:
        raise ValueError("Invalid IPv6 URL")

    monkeypatch.setattr("urllib.parse.urlsplit", refusing)
    monkeypatch.setattr(redis_sentinel, "urlsplit", refusing, raising=False)
    hosts, name, _, _ = parsed("redis+sentinel://a:1,b,[::1]:3/main/4")
    assert (hosts, name) == ([("a", 1), ("b", 26379), ("::1", 3)], "main")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel:///main",
        "redis+sentinel://a/main/x",
        "redis+sentinel://a:b/main",
        "redis+sentinel://a/main?password=1",
    ],
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sentinel"):
        open_store(url)
