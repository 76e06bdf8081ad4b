"""What every store promises, asked of each of them."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from service.stores import Outcome, SessionGone, SessionNotFound, Store
from tests.support.stores import Clock, OpenStore, change

DAY = 86_400.0


async def test_a_created_session_is_read_back(store: Store, clock: Clock) -> None:
    end = clock.now + 60
    begun = change(0, b"first", expires_at=end, records={"r": b"1"}, blobs={"b": b"2"})
    assert await store.commit("t", "s", begun) is Outcome.APPLIED
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.meta, loaded.expires_at) == (1, b"first", end)
    assert await store.records("t", "s", ["r", "none"]) == [b"1", None]
    assert bytes(await store.blob("t", "s", "b") or b"") == b"2"
    assert await store.blob("t", "s", "none") is None


async def test_a_commit_replaces_adds_and_drops(store: Store, clock: Clock) -> None:
    end = clock.now + 60
    blobs = {"old": b"o" * 10, "same": b"s", "changed": b"before"}
    first = change(0, b"1", expires_at=end, records={"a": b"1"}, blobs=blobs)
    await store.commit("t", "s", first)
    second = change(
        1,
        b"2" * 5000,
        expires_at=end + 5,
        records={"b": b"2" * 5000},
        blobs={"new": b"n", "changed": b"after"},
        drop_blobs=("old", "never"),
    )
    assert await store.commit("t", "s", second) is Outcome.APPLIED
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.meta) == (2, b"2" * 5000)
    assert loaded.expires_at == end + 5
    assert await store.records("t", "s", ["a", "b"]) == [b"1", b"2" * 5000]
    found = {
        name: await store.blob("t", "s", name)
        for name in ("old", "same", "changed", "new")
    }
    assert found.pop("old") is None
    assert found == {"same": b"s", "changed": b"after", "new": b"n"}


async def test_the_wrong_version_changes_nothing(store: Store, clock: Clock) -> None:
    end = clock.now + 60
    await store.commit("t", "s", change(0, b"1", expires_at=end, blobs={"b": b"1"}))
    for expected in (0, 2, 7):
        late = change(
            expected,
            b"x",
            expires_at=end + 1,
            records={"r": b"x"},
            blobs={"b": b"x"},
            drop_blobs=("b",),
        )
        assert await store.commit("t", "s", late) is Outcome.CONFLICT
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.meta, loaded.expires_at) == (1, b"1", end)
    assert await store.records("t", "s", ["r"]) == [None]
    assert await store.blob("t", "s", "b") == b"1"


async def test_the_same_change_twice_is_applied_once(
    store: Store, clock: Clock
) -> None:
    end = clock.now + 60
    blobs = {"b": b"1", "kept": b"kept"}
    first = change(0, b"1", expires_at=end, blobs=blobs)
    assert await store.commit("t", "s", first) is Outcome.APPLIED
    assert await store.commit("t", "s", first) is Outcome.ALREADY
    second = change(1, b"2", expires_at=end, blobs={"b": b"2"})
    assert await store.commit("t", "s", second) is Outcome.APPLIED
    assert await store.commit("t", "s", second) is Outcome.ALREADY
    assert await store.commit("t", "s", first) is Outcome.CONFLICT
    assert (await store.load("t", "s")).version == 2
    assert await store.blob("t", "s", "b") == b"2"
    assert await store.blob("t", "s", "kept") == b"kept"


async def test_what_is_not_there_is_not_found(store: Store, clock: Clock) -> None:
    with pytest.raises(SessionNotFound):
        await store.load("t", "s")
    with pytest.raises(SessionNotFound):
        await store.commit("t", "s", change(1, expires_at=clock.now + 60))
    with pytest.raises(SessionNotFound):
        await store.touch("t", "s", clock.now + 60)
    with pytest.raises(SessionNotFound):
        await store.delete("t", "s")
    assert await store.records("t", "s", ["r"]) == [None]
    assert await store.records("t", "s", []) == []
    assert await store.blob("t", "s", "b") is None


async def test_a_deleted_session_is_gone_for_a_day(store: Store, clock: Clock) -> None:
    begun = change(0, expires_at=clock.now + 60, records={"r": b"1"}, blobs={"b": b"1"})
    await store.commit("t", "s", begun)
    assert await store.delete("t", "s", expected_version=2) is Outcome.CONFLICT
    assert await store.delete("t", "s", expected_version=1) is Outcome.APPLIED
    for _ in range(2):
        with pytest.raises(SessionGone, match="deleted"):
            await store.load("t", "s")
        with pytest.raises(SessionGone, match="deleted"):
            await store.commit("t", "s", change(1, expires_at=clock.now + DAY))
        with pytest.raises(SessionGone, match="deleted"):
            await store.touch("t", "s", clock.now + DAY)
        with pytest.raises(SessionGone, match="deleted"):
            await store.delete("t", "s")
        assert await store.records("t", "s", ["r"]) == [None]
        assert await store.blob("t", "s", "b") is None
        assert (await store.list("t", after=None, limit=10)).sessions == []
        clock.advance(DAY - 120)


async def test_an_expired_session_is_gone(store: Store, clock: Clock) -> None:
    begun = change(0, expires_at=clock.now + 60, blobs={"b": b"1"})
    await store.commit("t", "s", begun)
    clock.advance(59)
    assert (await store.load("t", "s")).version == 1
    clock.advance(1)
    with pytest.raises(SessionGone, match="expired"):
        await store.load("t", "s")
    with pytest.raises(SessionGone, match="expired"):
        await store.commit("t", "s", change(1, expires_at=clock.now + 60))
    with pytest.raises(SessionGone, match="expired"):
        await store.touch("t", "s", clock.now + 60)
    with pytest.raises(SessionGone, match="expired"):
        await store.delete("t", "s")
    assert (await store.list("t", after=None, limit=10)).sessions == []


async def test_use_keeps_a_session_alive(store: Store, clock: Clock) -> None:
    await store.commit("t", "s", change(0, expires_at=clock.now + 60))
    for _ in range(3):
        clock.advance(50)
        await store.touch("t", "s", clock.now + 60)
    # Whoever read an older, shorter lifetime may be late.
    await store.touch("t", "s", clock.now + 30)
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.expires_at) == (1, clock.now + 60)


async def test_tenants_do_not_see_each_other(store: Store, clock: Clock) -> None:
    # Names that would collide if keys were glued together carelessly.
    places = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a/b", "c"),
        ("a}", "{c"),
        ("", "c"),
        ("ä", "c"),
    ]
    for number, (tenant, sid) in enumerate(places):
        begun = change(
            0,
            str(number).encode(),
            expires_at=clock.now + 60,
            records={"r": str(number).encode()},
            blobs={"b": str(number).encode()},
        )
        assert await store.commit(tenant, sid, begun) is Outcome.APPLIED
    for number, (tenant, sid) in enumerate(places):
        expected = str(number).encode()
        assert (await store.load(tenant, sid)).meta == expected
        assert await store.records(tenant, sid, ["r"]) == [expected]
        assert await store.blob(tenant, sid, "b") == expected
        listed = await store.list(tenant, after=None, limit=10)
        assert [name for name, _ in listed.sessions] == [sid]
    await store.delete("a", "b:c")
    with pytest.raises(SessionNotFound):
        await store.load("b", "c")
    assert (await store.load("a:b", "c")).meta == b"1"


async def test_pages_cover_all_live_sessions_once(store: Store, clock: Clock) -> None:
    names = [f"s{number:02}" for number in range(23)]
    for name in reversed(names):
        short = name in ("s00", "s11", "s22")
        end = clock.now + (30 if short else 60)
        await store.commit("t", name, change(0, name.encode(), expires_at=end))
    await store.delete("t", "s05")
    clock.advance(40)
    live = [name for name in names if name not in ("s00", "s05", "s11", "s22")]
    for limit in (1, 5, 19, 20, 100):
        seen: list[str] = []
        after = None
        while True:
            page = await store.list("t", after=after, limit=limit)
            assert len(page.sessions) <= limit
            assert all(sid.encode() == found.meta for sid, found in page.sessions)
            seen += [sid for sid, _ in page.sessions]
            after = page.next
            if after is None:
                break
        assert seen == live


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 32, (4 << 20) + 1, 64 << 20])
async def test_blobs_of_any_size_come_back(
    store: Store, clock: Clock, size: int
) -> None:
    blob = secrets.token_bytes(size)
    await store.commit("t", "s", change(0, expires_at=clock.now + 60))
    grown = change(1, expires_at=clock.now + 60, blobs={"b": blob})
    assert await store.commit("t", "s", grown) is Outcome.APPLIED
    found = await store.blob("t", "s", "b")
    assert found is not None
    assert bytes(found) == blob


async def test_one_of_many_writers_wins(open_another: OpenStore, clock: Clock) -> None:
    stores = [await open_another() for _ in range(3)]
    await stores[0].commit("t", "s", change(0, expires_at=clock.now + 60))
    for version in range(1, 6):
        changes = [
            change(
                version,
                str(writer).encode(),
                expires_at=clock.now + 60,
                records={f"r{version}": str(writer).encode()},
                blobs={"b": str(writer).encode() * 1000},
            )
            for writer in range(24)
        ]
        outcomes = await asyncio.gather(
            *(
                stores[writer % 3].commit("t", "s", item)
                for writer, item in enumerate(changes)
            )
        )
        assert outcomes.count(Outcome.APPLIED) == 1
        assert outcomes.count(Outcome.CONFLICT) == 23
        winner = str(outcomes.index(Outcome.APPLIED)).encode()
        loaded = await stores[1].load("t", "s")
        assert (loaded.version, loaded.meta) == (version + 1, winner)
        assert await stores[2].records("t", "s", [f"r{version}"]) == [winner]
        assert await stores[0].blob("t", "s", "b") == winner * 1000


async def test_readers_see_before_or_after(
    open_another: OpenStore, clock: Clock
) -> None:
    writer, reader = await open_another(), await open_another()
    await writer.commit(
        "t", "s", change(0, expires_at=clock.now + 60, blobs={"b": bytes(5 << 20)})
    )
    done = asyncio.Event()

    async def write() -> None:
        for version in range(1, 9):
            blob = bytes([version]) * (5 << 20)
            item = change(version, expires_at=clock.now + 60, blobs={"b": blob})
            assert await writer.commit("t", "s", item) is Outcome.APPLIED
        done.set()

    async def read() -> int:
        newest = 0
        while not done.is_set():
            blob = await reader.blob("t", "s", "b")
            assert blob is not None
            assert bytes(blob) == bytes([blob[0]]) * (5 << 20)
            assert blob[0] >= newest
            newest = blob[0]
        return newest

    _, newest = await asyncio.gather(write(), read())
    assert newest > 0


async def test_a_closed_store_says_so(store: Store) -> None:
    from service.stores import StoreUnavailable

    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.load("t", "s")
    assert not (await store.health()).ok
    await store.open()
    assert (await store.health()).ok
