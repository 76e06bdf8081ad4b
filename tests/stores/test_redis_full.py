"""What happens to sessions when Redis has no memory left."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from service.stores import (
    Outcome,
    SessionGone,
    Store,
    StoreFull,
    StoreUnavailable,
)
from service.stores.redis_link import translated
from tests.support.redis import RedisServer
from tests.support.stores import Clock, change

MB = 1 << 20


async def test_out_of_memory_leaves_the_old_state_and_a_way_out(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await own_store.commit(
        "t", "s", change(0, b"1", expires_at=end, blobs={"b": bytes(MB)})
    )
    await own_store.commit(
        "t", "big", change(0, expires_at=end, blobs={"b": bytes(16 * MB)})
    )
    own_redis.configure(maxmemory=24 * MB)
    for size in (14 * MB, 30 * MB):
        grown = change(
            1, b"2", expires_at=end, records={"r": b"2"}, blobs={"b": bytes(size)}
        )
        with pytest.raises(StoreFull, match="maxmemory"):
            await own_store.commit("t", "s", grown)
    assert (await own_store.load("t", "s")).meta == b"1"
    assert await own_store.blob("t", "s", "b") == bytes(MB)
    assert await own_store.records("t", "s", ["r"]) == [None]
    assert await own_store.delete("t", "big") is Outcome.APPLIED
    with own_redis.client() as client:
        pieces = client.keys("ccdm1:*:2-*")
    assert pieces == [], "pieces of refused commits are taken back"
    await _until_there_is_room(own_store, end)


async def _until_there_is_room(store: Store, end: float) -> None:
    # Redis frees large values in a thread of its own.
    for _ in range(50):
        try:
            grown = change(1, b"2", expires_at=end, blobs={"b": bytes(6 * MB)})
            assert await store.commit("t", "s", grown) is Outcome.APPLIED
        except StoreFull:
            await asyncio.sleep(0.1)
        else:
            break
    assert await store.blob("t", "s", "b") == bytes(6 * MB)


async def test_no_memory_at_all_refuses_every_write_and_allows_reads_and_deletes(
    own_redis: RedisServer, own_store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await own_store.commit("t", "s", change(0, b"1", expires_at=end, blobs={"b": b"1"}))
    own_redis.configure(maxmemory=1)
    for change_of in ({"blobs": {"b": b"2"}}, {"drop_blobs": ("b",)}, {}):
        with pytest.raises(StoreFull):
            item = change(1, b"2", expires_at=end, **change_of)  # type: ignore[arg-type]
            await own_store.commit("t", "s", item)
    with pytest.raises(StoreFull):
        await own_store.commit("t", "new", change(0, expires_at=end))
    with pytest.raises(StoreFull):
        await own_store.touch("t", "s", end + 60)
    with own_redis.client() as client:
        assert client.keys("ccdm1:*:2-*") == []
    loaded = await own_store.load("t", "s")
    assert (loaded.version, loaded.meta, loaded.expires_at) == (1, b"1", end)
    assert await own_store.blob("t", "s", "b") == b"1"
    assert await own_store.delete("t", "s") is Outcome.APPLIED
    with pytest.raises(SessionGone, match="deleted"):
        await own_store.load("t", "s")


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        # As Redis 6 says it when the command was in a script.
        ResponseError(
            "Error running script (call to f_6b1bf486): @user_script:12: "
            "-OOM command not allowed when used memory > 'maxmemory'."
        ),
    ],
)
def test_out_of_memory_is_known_in_the_words_of_every_version(
    error: ResponseError,
) -> None:
    assert isinstance(translated(error), StoreFull)


def test_other_refusals_of_scripts_are_not_taken_for_a_full_store() -> None:
    error = ResponseError("Error running script: @user_script:1: -READONLY replica")
    assert isinstance(translated(error), StoreUnavailable)
