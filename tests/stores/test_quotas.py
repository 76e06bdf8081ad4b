"""What a tenant keeps is counted, and no more is taken than its quota allows."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.stores import (
    Outcome,
    Quota,
    QuotaExceeded,
    SessionGone,
    SessionNotFound,
    Store,
    Usage,
)
from service.stores.codec import HEADER_BYTES
from service.stores.protocol import Part, PartLimits, Putting
from tests.support.redis import RedisServer
from tests.support.stores import Clock, OpenStore, change, opened

MB = 1 << 20
OVERHEAD = 1000


async def test_usage_counts_live_sessions_and_their_bytes(
    store: Store, clock: Clock
) -> None:
    assert await store.usage("t") == Usage(0, 0)
    end = clock.now + 60
    blobs = {"a": bytes(1000), "b": bytes(500)}
    begun = change(0, b"{}", expires_at=end, records={"r": b"12"}, blobs=blobs)
    await store.commit("t", "s", begun)
    exact = 2 + 2 + 1500 + 4 * HEADER_BYTES
    assert await store.usage("t") == Usage(1, exact)
    second = change(
        1,
        b"{  }",
        expires_at=end,
        records={"r": b"1", "q": b"12345"},
        blobs={"a": bytes(10)},
        drop_blobs=("b", "none"),
    )
    assert await store.commit("t", "s", second) is Outcome.APPLIED
    assert await store.commit("t", "s", second) is Outcome.ALREADY
    exact = 4 + 1 + 5 + 10 + 4 * HEADER_BYTES
    assert await store.usage("t") == Usage(1, exact)
    await store.commit("t", "late", change(0, b"{}", expires_at=clock.now + 10))
    await store.commit("u", "s", change(0, b"{}", expires_at=end))
    small = 2 + HEADER_BYTES
    assert await store.usage("t") == Usage(2, exact + small)
    clock.advance(11)
    assert await store.usage("t") == Usage(1, exact)
    await store.delete("t", "s")
    assert await store.usage("t") == Usage(0, 0)
    assert await store.usage("u") == Usage(1, small)


async def test_a_refused_change_is_not_counted(store: Store, clock: Clock) -> None:
    end = clock.now + 60
    await store.commit("t", "s", change(0, b"{}", expires_at=end))
    before = await store.usage("t")
    late = change(7, b"{}", expires_at=end, blobs={"b": bytes(1000)})
    assert await store.commit("t", "s", late) is Outcome.CONFLICT
    assert await store.usage("t") == before


async def test_no_more_sessions_than_the_quota(store: Store, clock: Clock) -> None:
    quota = Quota(sessions=2)
    for number, seconds in enumerate((60, 10)):
        item = change(0, expires_at=clock.now + seconds, quota=quota)
        assert await store.commit("t", f"s{number}", item) is Outcome.APPLIED
    item = change(0, b"x", expires_at=clock.now + 60, quota=quota, blobs={"b": b"1"})
    with pytest.raises(QuotaExceeded) as refused:
        await store.commit("t", "s2", item)
    error = refused.value
    assert (error.what, error.limit, error.used) == ("sessions", 2, 2)
    # Sessions that are there go on, another tenant begins, and what expires or is
    # deleted makes room.
    more = change(1, expires_at=clock.now + 60, quota=quota)
    assert await store.commit("t", "s0", more) is Outcome.APPLIED
    other = change(0, expires_at=clock.now + 60, quota=quota)
    assert await store.commit("u", "s", other) is Outcome.APPLIED
    clock.advance(11)
    assert await store.commit("t", "s2", item) is Outcome.APPLIED
    assert await store.commit("t", "s2", item) is Outcome.ALREADY
    await store.delete("t", "s0")
    third = change(0, expires_at=clock.now + 60, quota=quota)
    assert await store.commit("t", "s3", third) is Outcome.APPLIED


async def test_no_more_bytes_than_the_quota_and_less_is_always_taken(
    store: Store, clock: Clock
) -> None:
    end = clock.now + 60
    quota = Quota(bytes=2 * MB + OVERHEAD)
    blobs = {"a": bytes(MB), "b": bytes(MB // 2)}
    await store.commit("t", "s", change(0, expires_at=end, blobs=blobs, quota=quota))
    used = (await store.usage("t")).bytes
    grown = change(1, b"2", expires_at=end, blobs={"c": bytes(MB)}, quota=quota)
    with pytest.raises(QuotaExceeded) as refused:
        await store.commit("t", "s", grown)
    error = refused.value
    assert (error.what, error.limit, error.used) == ("bytes", quota.bytes, used)
    loaded = await store.load("t", "s")
    assert (loaded.version, await store.blob("t", "s", "c")) == (1, None)
    swapped = change(
        *(1, b"2"),
        expires_at=end,
        blobs={"c": bytes(MB)},
        drop_blobs=("a",),
        quota=quota,
    )
    assert await store.commit("t", "s", swapped) is Outcome.APPLIED
    # The operator has lowered the quota: what makes a session smaller still goes.
    tight = Quota(bytes=1000)
    smaller = change(2, expires_at=end, drop_blobs=("b",), quota=tight)
    assert await store.commit("t", "s", smaller) is Outcome.APPLIED
    with pytest.raises(QuotaExceeded):
        late = change(3, expires_at=end, records={"r": bytes(9)}, quota=tight)
        await store.commit("t", "s", late)


async def test_many_at_once_do_not_slip_past_a_quota(
    open_another: OpenStore, clock: Clock
) -> None:
    stores = [await open_another() for _ in range(3)]
    # Small, so that a busy machine does not take the store for lost.
    size = MB // 16
    quota = Quota(sessions=5, bytes=8 * (size + OVERHEAD))

    async def begin(number: int) -> bool:
        item = change(
            0, expires_at=clock.now + 60, blobs={"b": bytes(size)}, quota=quota
        )
        try:
            return (
                await stores[number % 3].commit("t", f"s{number}", item)
                is Outcome.APPLIED
            )
        except QuotaExceeded:
            return False

    begun = await asyncio.gather(*(begin(number) for number in range(30)))
    assert sum(begun) == 5

    async def grow(number: int) -> bool:
        item = change(
            1, expires_at=clock.now + 60, blobs={"c": bytes(size)}, quota=quota
        )
        try:
            return await stores[number % 3].commit("t", f"s{number}", item) is (
                Outcome.APPLIED
            )
        except QuotaExceeded:
            return False

    there = [number for number, done in enumerate(begun) if done]
    grown = await asyncio.gather(*(grow(number) for number in there))
    assert sum(grown) == 3
    usage = await stores[0].usage("t")
    assert usage.sessions == 5
    assert 8 * size < usage.bytes <= 8 * (size + OVERHEAD)


async def put_part(
    store: Store, name: str, size: int, quota: Quota | None = None
) -> Putting:
    """A part of so many bytes beside session ``s``."""
    part, limits = Part(name, name, bytes(size)), PartLimits(100, 1 << 30)
    return await store.put_part(
        "t", "s", part, expected_version=1, limits=limits, quota=quota
    )


async def test_parts_are_counted_until_they_are_taken_away(
    store: Store, clock: Clock
) -> None:
    end = clock.now + 60
    await store.commit("t", "s", change(0, expires_at=end))
    before = (await store.usage("t")).bytes
    assert await put_part(store, "a", 1000) is Putting.ADDED
    assert await put_part(store, "a", 1000) is Putting.SAME
    assert await put_part(store, "b", 500) is Putting.ADDED
    assert await store.usage("t") == Usage(1, before + 1500)
    quota = Quota(bytes=before + 2000)
    with pytest.raises(QuotaExceeded) as refused:
        await put_part(store, "c", 501, quota)
    assert (refused.value.what, refused.value.used) == ("bytes", before + 1500)
    assert [part.name for part in await store.parts("t", "s")] == ["a", "b"]
    assert await put_part(store, "c", 500, quota) is Putting.ADDED
    grown = change(0, expires_at=end, quota=quota)
    with pytest.raises(QuotaExceeded):
        await store.commit("t", "other", grown)
    await store.drop_part("t", "s", "b", expected_version=1)
    assert await store.usage("t") == Usage(1, before + 1500)
    assert await store.commit("t", "other", grown) is Outcome.APPLIED
    await store.delete("t", "other")
    taking = replace(change(1, expires_at=end), drop_parts=True)
    assert await store.commit("t", "s", taking) is Outcome.APPLIED
    assert await store.usage("t") == Usage(1, before)


async def test_data_of_expired_sessions_make_room_in_a_quota(
    store: Store, clock: Clock
) -> None:
    quota = Quota(bytes=3 * MB)
    for number in range(3):
        short = change(
            0, expires_at=clock.now + 1, blobs={"b": bytes(MB - 500)}, quota=quota
        )
        await store.commit("t", f"s{number}", short)
        clock.advance(2)

    async def there() -> list[bool]:
        found = [await store.blob("t", f"s{number}", "b") for number in range(3)]
        return [blob is not None for blob in found]

    # They stay for a while, in case it was the clock that was wrong.
    assert await store.usage("t") == Usage(0, 0)
    assert await there() == [True, True, True]
    more = change(0, expires_at=clock.now + 60, blobs={"b": bytes(MB)}, quota=quota)
    assert await store.commit("t", "more", more) is Outcome.APPLIED
    assert await there() == [False, True, True]
    with pytest.raises(SessionGone):
        await store.load("t", "s0")
    part = Part("a", "a", bytes(2 * MB - 500))
    limits = PartLimits(100, 1 << 30)
    arguments = {"expected_version": 1, "limits": limits, "quota": quota}
    assert await store.put_part("t", "more", part, **arguments) is Putting.ADDED  # type: ignore[arg-type]
    assert await there() == [False, False, False]


@pytest.mark.parametrize("ended", ["deleted", "expired"])
async def test_so_many_tombstones_of_a_tenant_are_kept(
    store_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    if ended == "expired" and store_url.startswith("sqlite"):
        pytest.skip("their data stay for a day, and they are tombstones no longer")
    for module in ("sqlite_rows", "redis_scripts"):
        monkeypatch.setattr(f"service.stores.{module}.MOST_TOMBSTONES", 3)
    async with opened(store_url, clock) as store:
        await store.commit("u", "s", change(0, expires_at=clock.now + 60))
        await store.delete("u", "s")
        for number in range(8):
            item = change(0, expires_at=clock.now + 60)
            await store.commit("t", f"s{number}", item)
            if ended == "deleted":
                await store.delete("t", f"s{number}")
            # Data of expired sessions stay for a while, should the clock be wrong.
            clock.advance(1 if ended == "deleted" else 2 * 3600)
        await store.commit("t", "last", change(0, expires_at=clock.now + 60))
        await store.commit("t", "last", change(1, expires_at=clock.now + 60))
        for number in range(8):
            # The last one or two were buried after the last look.
            with pytest.raises((SessionGone, SessionNotFound)) as found:
                await store.load("t", f"s{number}")
            if number not in (3, 4):
                expected = SessionGone if number > 4 else SessionNotFound
                assert found.type is expected, number
        await store.load("t", "last")
        with pytest.raises(SessionGone):
            await store.load("u", "s")


async def test_a_session_that_is_in_no_account_is_measured_by_its_next_commit(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with opened(own_redis.url, clock) as store:
        end = clock.now + 60
        first = change(0, expires_at=end, records={"r": b"1"}, blobs={"b": bytes(999)})
        await store.commit("t", "s", first)
        before = await store.usage("t")
        with own_redis.client() as client:
            client.delete("ccdm1:{t}:ends", "ccdm1:{t}:sizes")
        assert await store.usage("t") == Usage(0, 0)
        await store.commit("t", "s", change(1, expires_at=end))
        assert await store.usage("t") == before
        with own_redis.client() as client:
            assert 0 < client.ttl("ccdm1:{t}:ends") <= 2 * 86_400
            assert client.hget("ccdm1:{t}:sizes", "") == b"%d" % before.bytes
