"""What happens to sessions when Redis is full, away, slow, restarted or misset."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from service.stores import (
    Outcome,
    SessionGone,
    Store,
    StoreFull,
    StoreUnavailable,
    open_store,
)
from service.stores.redis_keys import PIECE_BYTES, Keys
from service.stores.redis_link import translated
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer, free_port
from tests.support.stores import Clock, change

MB = 1 << 20


@asynccontextmanager
async def opened(url: str, clock: Clock) -> AsyncIterator[Store]:
    """A store at an address."""
    store = open_store(url, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(own_redis: RedisServer, clock: Clock) -> AsyncIterator[Store]:
    """A store on a server of its own."""
    async with opened(own_redis.url, clock) as store:
        yield store


async def _refused_within(
    seconds: float, work: Callable[[], Awaitable[object]]
) -> None:
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await work()
    assert time.monotonic() - start < seconds
    assert refused.value.retry_after == 2.0


async def test_out_of_memory_leaves_the_old_state_and_a_way_out(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await store.commit(
        "t", "s", change(0, b"1", expires_at=end, blobs={"b": bytes(MB)})
    )
    await store.commit(
        "t", "big", change(0, expires_at=end, blobs={"b": bytes(16 * MB)})
    )
    own_redis.configure(maxmemory=24 * MB)
    for size in (14 * MB, 30 * MB):
        grown = change(
            1, b"2", expires_at=end, records={"r": b"2"}, blobs={"b": bytes(size)}
        )
        with pytest.raises(StoreFull, match="maxmemory"):
            await store.commit("t", "s", grown)
    assert (await store.load("t", "s")).meta == b"1"
    assert await store.blob("t", "s", "b") == bytes(MB)
    assert await store.records("t", "s", ["r"]) == [None]
    assert await store.delete("t", "big") is Outcome.APPLIED
    with own_redis.client() as client:
        pieces = client.keys("ccdm1:*:2-*")
    assert pieces == [], "pieces of refused commits are taken back"
    await _until_there_is_room(store, end)


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
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await store.commit("t", "s", change(0, b"1", expires_at=end, blobs={"b": b"1"}))
    own_redis.configure(maxmemory=1)
    for change_of in ({"blobs": {"b": b"2"}}, {"drop_blobs": ("b",)}, {}):
        with pytest.raises(StoreFull):
            item = change(1, b"2", expires_at=end, **change_of)  # type: ignore[arg-type]
            await store.commit("t", "s", item)
    with pytest.raises(StoreFull):
        await store.commit("t", "new", change(0, expires_at=end))
    with pytest.raises(StoreFull):
        await store.touch("t", "s", end + 60)
    loaded = await store.load("t", "s")
    assert (loaded.version, loaded.meta, loaded.expires_at) == (1, b"1", end)
    assert await store.blob("t", "s", "b") == b"1"
    assert await store.delete("t", "s") is Outcome.APPLIED
    with pytest.raises(SessionGone, match="deleted"):
        await store.load("t", "s")


async def test_a_server_that_is_down_is_reported_at_once_and_noticed_when_back(
    own_redis: RedisServer, clock: Clock
) -> None:
    own_redis.configure(appendfsync="always")
    async with opened(own_redis.url, clock) as store:
        begun = change(0, b"1", expires_at=clock.now + 600)
        await store.commit("t", "s", begun)
        own_redis.kill()
        for _ in range(5):
            await _refused_within(1.0, lambda: store.load("t", "s"))
            late = change(1, expires_at=clock.now + 600, blobs={"b": b"x"})
            await _refused_within(1.0, lambda item=late: store.commit("t", "s", item))  # type: ignore[misc]
        assert not (await store.health()).ok
        own_redis.start()
        await _recovered(store)
        assert (await store.load("t", "s")).meta == b"1"
        assert (await store.health()).ok


async def _recovered(store: Store) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            await store.load("t", "s")
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_store_opens_before_its_server(clock: Clock) -> None:
    async with opened(f"redis://127.0.0.1:{free_port()}/0", clock) as store:
        health = await store.health()
        assert (health.ok, health.detail) == (
            False,
            "redis: The session store is not available: Redis does not answer.",
        )
        await _refused_within(1.0, lambda: store.load("t", "s"))


@pytest.mark.slow
async def test_a_server_that_accepts_and_says_nothing_costs_two_seconds(
    clock: Clock,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        store = open_store(url, clock=clock)
        start = time.monotonic()
        await store.open()
        for _ in range(3):
            await _refused_within(2.5, lambda: store.load("t", "s"))
        assert time.monotonic() - start > 6.0
        # By now it is not worth waiting for.
        for _ in range(10):
            await _refused_within(0.5, lambda: store.load("t", "s"))
        await store.close()


async def test_an_address_that_swallows_packets_costs_two_seconds(clock: Clock) -> None:
    with socket.socket() as full:
        # A queue of no pending connections, filled: the kernel drops further ones.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        plugs = [socket.socket() for _ in range(3)]
        for plug in plugs:
            plug.setblocking(False)
            plug.connect_ex(full.getsockname())
        async with opened(
            f"redis://127.0.0.1:{full.getsockname()[1]}/0", clock
        ) as store:
            await _refused_within(2.5, lambda: store.load("t", "s"))
        for plug in plugs:
            plug.close()


async def test_scripts_that_were_flushed_are_sent_again(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    with own_redis.client() as client:
        client.script_flush()
        await store.commit("t", "s", change(0, b"1", expires_at=end))
        client.script_flush()
        second = change(1, b"2", expires_at=end, blobs={"b": b"2"})
        assert await store.commit("t", "s", second) is Outcome.APPLIED
        client.script_flush()
        await store.touch("t", "s", end + 5)
        client.script_flush()
        assert await store.delete("t", "s", expected_version=2) is Outcome.APPLIED


async def test_a_lost_reply_does_not_look_like_a_conflict(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 600
        for version in range(3):
            proxy.lose_reply_to = b"EVALSHA" if version else b"EVAL"
            item = change(version, b"m%d" % version, expires_at=end, blobs={"b": b"1"})
            assert await store.commit("t", "s", item) in (
                Outcome.ALREADY,
                # The first reply that was lost was that the script is not known.
                Outcome.APPLIED if version == 0 else Outcome.ALREADY,
            )
            assert (await store.load("t", "s")).version == version + 1
            assert await store.blob("t", "s", "b") == b"1"
        proxy.lose_reply_to = b"SET"
        third = change(3, expires_at=end, blobs={"b": b"2"})
        assert await store.commit("t", "s", third) is Outcome.APPLIED
        proxy.lose_reply_to = b"EVALSHA"
        assert await store.delete("t", "s") is Outcome.APPLIED
        assert proxy.lost == 5


async def test_commits_cost_few_round_trips(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, expires_at=end))
        await store.touch("t", "s", end + 1)
        before = proxy.round_trips
        await store.load("t", "s")
        assert proxy.round_trips - before == 1
        grown = change(1, expires_at=end, records={"r": b"1"}, blobs={"b": bytes(9999)})
        await store.commit("t", "s", grown)
        assert proxy.round_trips - before == 3
        await store.touch("t", "s", end + 2)
        assert proxy.round_trips - before == 4
        await store.blob("t", "s", "b")
        assert proxy.round_trips - before == 6


async def test_touching_is_one_command_however_many_keys_there_are(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    blobs = {f"b{number}": bytes(10) for number in range(12)}
    begun = change(0, expires_at=clock.now + 600, records={"r": b"1"}, blobs=blobs)
    await store.commit("t", "s", begun)
    await store.touch("t", "s", clock.now + 700)
    before = own_redis.command_calls()
    await store.touch("t", "s", clock.now + 7000)
    after = own_redis.command_calls()
    assert after["evalsha"] - before["evalsha"] == 1
    with own_redis.client() as client:
        keys = list(client.keys("ccdm1:{t:s}*"))
        assert len(keys) == 3 + 12
        assert all(client.ttl(key) > 7000 for key in keys)


async def test_every_key_of_a_session_expires(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 1000
    begun = change(0, expires_at=end, records={"r": b"1"}, blobs={"b": b"1"})
    await store.commit("t", "s", begun)
    head = Keys.of("t", "s").head.encode()
    with own_redis.client() as client:
        lives = {key: client.ttl(key) for key in client.keys("ccdm1:{t:s}*")}
    assert len(lives) == 4
    assert 1000 + 86_400 <= lives.pop(head) <= 1000 + 86_400 + 600
    assert all(1000 <= seconds <= 1600 for seconds in lives.values())
    await store.delete("t", "s")
    with own_redis.client() as client:
        assert client.keys("ccdm1:{t:s}*") == [head]
        assert 86_000 < client.ttl(head) <= 86_400
        assert client.zcard("ccdm1:{t}:sessions") == 0


async def test_pieces_of_a_commit_that_never_comes_expire(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 90_000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.silent = True
        lost = change(1, expires_at=end, blobs={"b": bytes(100)})
        with pytest.raises(StoreUnavailable):
            await store.commit("t", "s", lost)
    with own_redis.client() as client:
        (piece,) = client.keys("ccdm1:{t:s}:2-*")
        assert 0 < client.ttl(piece) <= 600


async def test_a_lost_race_leaves_no_pieces(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    await store.commit("t", "s", change(0, expires_at=end, blobs={"b": b"kept"}))
    for expected in (0, 5):
        late = change(expected, expires_at=end, blobs={"b": bytes(PIECE_BYTES * 2)})
        assert await store.commit("t", "s", late) is Outcome.CONFLICT
    await store.delete("t", "s")
    late = change(1, expires_at=end, blobs={"b": bytes(10)})
    with pytest.raises(SessionGone):
        await store.commit("t", "s", late)
    with own_redis.client() as client:
        assert client.keys("ccdm1:{t:s}:*") == []


async def test_a_second_try_that_lost_its_race_keeps_what_the_first_has_brought(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with (
        Proxy(own_redis.port) as proxy,
        opened(proxy.url, clock) as store,
        opened(own_redis.url, clock) as other,
    ):
        end = clock.now + 6000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.lose_reply_to, proxy.shut_after_loss = b"EVALSHA", True

        async def meanwhile() -> Outcome:
            while proxy.lost == 0:
                await asyncio.sleep(0.001)
            try:
                return await other.commit("t", "s", change(2, expires_at=end))
            finally:
                proxy.gate.set()

        item = change(1, expires_at=end, blobs={"b": bytes(100)})
        outcomes = await asyncio.gather(store.commit("t", "s", item), meanwhile())
        # That its first try has succeeded cannot be seen any more.
        assert outcomes == [Outcome.CONFLICT, Outcome.APPLIED]
        assert (await store.load("t", "s")).version == 3
        assert await store.blob("t", "s", "b") == bytes(100)


async def test_what_is_delivered_late_does_not_shorten_lives(
    own_redis: RedisServer, clock: Clock
) -> None:
    async with Proxy(own_redis.port) as proxy, opened(proxy.url, clock) as store:
        end = clock.now + 6000
        await store.commit("t", "s", change(0, expires_at=end))
        proxy.heard.clear()
        item = change(1, expires_at=end, blobs={"b": bytes(100)})
        await store.commit("t", "s", item)
        assert await store.commit("t", "s", item) is Outcome.ALREADY
        said = bytes(proxy.heard)
    assert said.count(b"SET") == 2
    with socket.create_connection(("127.0.0.1", own_redis.port)) as late:
        late.sendall(said)
        late.settimeout(5)
        assert late.recv(1000)
    with own_redis.client() as client:
        (piece,) = client.keys("ccdm1:{t:s}:2-*")
        assert client.ttl(piece) > 5000


async def test_pieces_that_vanish_before_the_flip_are_noticed(
    own_redis: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(own_redis.url, clock) as store:
        end = clock.now + 600
        await store.commit("t", "s", change(0, b"1", expires_at=end))
        # As good as an eviction: the pieces live for a second, the flip is late.
        monkeypatch.setattr("service.stores.redis._UPLOAD_SECONDS", 1)
        arguments = store._arguments  # type: ignore[attr-defined]

        def late(*given: object) -> object:
            time.sleep(1.3)
            return arguments(*given)

        monkeypatch.setattr(store, "_arguments", late)
        with pytest.raises(StoreUnavailable, match="dropped"):
            await store.commit("t", "s", change(1, expires_at=end, blobs={"b": b"1"}))
        assert (await store.load("t", "s")).version == 1


async def test_a_call_that_was_given_up_does_not_answer_the_next_one(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    blobs = {name: secrets.token_bytes(MB) for name in "abcdef"}
    await store.commit("t", "s", change(0, expires_at=end, blobs=blobs))

    async def given_up(name: str, after: float) -> None:
        task = asyncio.create_task(store.blob("t", "s", name))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for step in range(40):
        await asyncio.gather(*(given_up(name, step * 2e-4) for name in "abcdef"))
        for name, blob in blobs.items():
            assert await store.blob("t", "s", name) == blob
        assert (await store.load("t", "s")).version == 1


async def test_pieces_that_nothing_refers_to_are_taken_away(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    end = clock.now + 600
    blobs = {"old": bytes(2 * PIECE_BYTES), "changed": bytes(2 * PIECE_BYTES)}
    await store.commit("t", "s", change(0, expires_at=end, blobs=blobs))
    second = change(1, expires_at=end, blobs={"changed": b"c"}, drop_blobs=("old",))
    await store.commit("t", "s", second)
    with own_redis.client() as client:
        assert len(client.keys("ccdm1:{t:s}:1-*")) == 0
        assert len(client.keys("ccdm1:{t:s}:2-*")) == 1


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
    own_redis: RedisServer, store: Store
) -> None:
    assert (await store.health()).warnings == ()
    own_redis.configure(appendonly="no")
    (warning,) = (await store.health()).warnings
    assert "appendonly" in warning


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
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    await store.commit("t", "s", change(0, expires_at=clock.now + 600))
    with own_redis.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    assert not (await store.health()).ok
    with pytest.raises(StoreUnavailable):
        await store.commit("t", "s", change(1, expires_at=clock.now + 600))


async def test_names_without_a_session_leave_the_list_in_time(
    own_redis: RedisServer, store: Store, clock: Clock
) -> None:
    with own_redis.client() as client:
        client.zadd("ccdm1:{t}:sessions", {f"dead{number}": 0 for number in range(50)})
        for number in range(40):
            item = change(0, expires_at=clock.now + 600)
            await store.commit("t", f"s{number}", item)
        assert client.zcard("ccdm1:{t}:sessions") < 40 + 25
        page = await store.list("t", after=None, limit=100)
        assert len(page.sessions) == 40
        assert client.zcard("ccdm1:{t}:sessions") == 40


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
