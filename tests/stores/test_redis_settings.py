"""Settings of a Redis server that put sessions at risk are told."""

from __future__ import annotations

import pytest

from service.stores import Store, StoreUnavailable, redis_health
from service.stores.protocol import StoreHealth
from tests.support.redis import RedisServer, free_port
from tests.support.stores import Clock, change, opened

MB = 1 << 20


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "noeviction"])
async def test_an_eviction_policy_that_drops_sessions_is_reported(
    own_redis: RedisServer,
    clock: Clock,
    policy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own_redis.configure(maxmemory_policy=policy)
    async with opened(own_redis.url, clock) as store:
        health = await store.health()
    assert health.ok
    told = [text for text in health.warnings if "noeviction" in text]
    assert bool(told) == (policy != "noeviction")
    assert all(policy in text for text in told)
    assert ("noeviction" in caplog.text) == (policy != "noeviction")


async def test_a_server_without_a_log_is_reported(
    own_redis: RedisServer, own_store: Store
) -> None:
    assert (await own_store.health()).warnings == ()
    own_redis.configure(appendonly="no")
    (warning,) = (await own_store.health()).warnings
    assert "appendonly" in warning


@pytest.mark.parametrize(
    ("setting", "value"), [("maxmemory", "0"), ("appendfsync", "no")]
)
async def test_what_may_lose_sessions_later_is_reported(
    own_redis: RedisServer, own_store: Store, setting: str, value: str
) -> None:
    own_redis.configure(**{setting: value})
    health = await own_store.health()
    assert health.ok
    (warning,) = health.warnings
    assert setting in warning


def test_what_a_server_says_of_itself_is_judged() -> None:
    """Fields of ``INFO``: of other versions, and where a disk is full."""
    fine = {
        "redis_version": "7.0.15",
        "maxmemory": 1 << 30,
        "maxmemory_policy": "noeviction",
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
    }
    judged = redis_health.judged
    assert judged(fine, "everysec") == StoreHealth(True, "redis 7.0.15")
    assert judged(fine, None).warnings == ()
    broken = judged(fine | {"aof_last_write_status": "err"}, "always")
    assert not broken.ok and "refuses writes" in broken.detail
    for change_, told in (
        ({"redis_version": "6.0.16"}, "6.2"),
        ({"rdb_last_bgsave_status": "err"}, "snapshot"),
    ):
        (warning,) = judged(fine | change_, "everysec").warnings
        assert told in warning
    assert judged(fine | {"redis_version": "6.2.1"}, "everysec").warnings == ()
    assert judged(fine | {"redis_version": "255.255.255"}, None).warnings == ()


async def test_wrong_credentials_are_named_and_not_shown(
    own_redis: RedisServer, clock: Clock
) -> None:
    own_redis.configure(requirepass="right")
    url = f"redis://:wrong@127.0.0.1:{own_redis.port}/0"
    async with opened(url, clock) as store:
        with pytest.raises(StoreUnavailable, match="credentials") as refused:
            await store.load("t", "s")
    assert "wrong" not in str(refused.value)


async def test_a_read_only_replica_is_reported(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    await own_store.commit("t", "s", change(0, expires_at=clock.now + 600))
    with own_redis.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    assert not (await own_store.health()).ok
    with pytest.raises(StoreUnavailable):
        await own_store.commit("t", "s", change(1, expires_at=clock.now + 600))
