"""Connections to Redis: deadlines, second tries, the breaker, and what errors mean.

redis-py's own timeouts are per read and its retries are per command. Here one deadline
holds for one operation, its retries included, and grows with the bytes it moves. Every
operation is one that may be sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    OutOfMemoryError,
    RedisError,
    TimeoutError,
)

from service.stores.breaker import Breaker, BreakerOpen
from service.stores.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from service.stores.places import without_password
from service.stores.redis_sentinel import close_sentinels, is_sentinel, sentinel_client

Result = TypeVar("Result")
Client = redis.asyncio.Redis

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 2.0
TURN_SECONDS = 5.0
BYTES_PER_SECOND = 10e6
# Megabytes share one line, and one process that takes them in: what moves more than
# this waits for others that do, so that it has the time it is given to itself.
LARGE_BYTES = 1 << 20
LARGE_TURN_SECONDS = 60.0
_LARGE_AT_ONCE = 2
TRIES = 3
RETRY_AFTER_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_CONNECTIONS = 32
_log = logging.getLogger(__name__)

# An expired deadline is an OSError too.
_NO_ANSWER = (ConnectionError, TimeoutError, OSError)


class RedisLink:
    """A pool of connections to one server.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, or ``redis+sentinel://``.
        breaker: shared by all operations.
    """

    def __init__(self, url: str, breaker: Breaker | None = None) -> None:
        self._breaker = breaker or Breaker()
        self._address = without_password(url)
        self._away = False
        self._client: Client = _client(url)
        # Not every kind of pool lets callers wait for a connection.
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        # The sentinels are asked over connections of their own.
        await close_sentinels(self._client)

    async def call(
        self,
        work: Callable[[Client, int], Awaitable[Result]],
        *,
        moved_bytes: int = 0,
    ) -> Result:
        """Run ``work(client, number of this try)`` until it answers.

        Args:
            work: sends one operation, which may be sent again.
            moved_bytes: bytes that go over the wire, roughly.

        Raises:
            StoreUnavailable: without an answer before the deadline.
            StoreBusy: when so much is asked here that this did not get its turn.
            StoreFull: when the server is out of memory.
        """
        if moved_bytes > LARGE_BYTES:
            async with _turn(self._large, LARGE_TURN_SECONDS, "too much is moved"):
                seconds = _LARGE_AT_ONCE * moved_bytes / BYTES_PER_SECOND
                # Too slow for so many bytes is not away: smaller calls tell that.
                return await self._call(work, seconds, (asyncio.TimeoutError,))
        return await self._call(work, moved_bytes / BYTES_PER_SECOND)

    async def _call(
        self,
        work: Callable[[Client, int], Awaitable[Result]],
        seconds: float,
        unsaid: tuple[type[Exception], ...] = (),
    ) -> Result:
        """Run ``work`` within so many seconds beyond those of any answer."""
        try:
            # Waiting here says nothing about the server: no failure of the breaker's.
            async with _turn(self._turns, TURN_SECONDS, "all connections are in use"):
                with self._breaker.guard(_NO_ANSWER, unsaid):
                    async with asyncio.timeout(ANSWER_SECONDS + seconds):
                        result = await self._tries(work)
            self._note()
            return result
        except BreakerOpen as error:
            wait = max(error.wait, RETRY_AFTER_SECONDS)
            raise StoreUnavailable("Redis does not answer", wait) from None
        except (RedisError, OSError) as error:
            self._note(error)
            raise translated(error) from error

    def _note(self, error: Exception | None = None) -> None:
        """Say in the log where nobody answers, once for each time; nowhere else."""
        away = isinstance(error, _NO_ANSWER) and not isinstance(
            error, AuthenticationError
        )
        if away and not self._away:
            _log.warning("Redis at %s does not answer", self._address)
        self._away = away

    async def probe(self, work: Callable[[Client], Awaitable[Result]]) -> Result:
        """Run ``work`` once, breaker or not: for asking how the server is."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                result = await work(self._client)
        except (RedisError, OSError) as error:
            self._note(error)
            raise translated(error) from error
        self._note()
        self._breaker.close()
        return result

    async def _tries(self, work: Callable[[Client, int], Awaitable[Result]]) -> Result:
        for number in range(TRIES - 1):
            try:
                return await work(self._client, number)
            except AuthenticationError:
                raise
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS * 2**number)
        return await work(self._client, TRIES - 1)


@asynccontextmanager
async def _turn(
    turns: asyncio.Semaphore, seconds: float, why: str
) -> AsyncIterator[None]:
    """Wait for a turn, not for ever, and have it for the length of a block."""
    try:
        async with asyncio.timeout(seconds):
            await turns.acquire()
    except OSError:  # what an expired timeout is, too
        raise StoreBusy(why, 1.0) from None
    try:
        yield
    finally:
        turns.release()


async def ask(client: Client, *command: Any) -> Any:
    """Send one command."""
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def ask_all(client: Client, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send several commands in one round trip; errors are among the answers."""
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    return list(await pipe.execute(raise_on_error=False))


def _client(url: str) -> Client:
    if is_sentinel(url):
        return sentinel_client(url, _settings())
    settings: dict[str, Any] = {
        **_settings(),
        "max_connections": _CONNECTIONS,
        "timeout": ANSWER_SECONDS,
    }
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, **settings)
    return redis.asyncio.Redis.from_pool(pool)


def _settings() -> dict[str, Any]:
    """What every connection is told."""
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        # The deadline of the whole operation is the one that counts.
        "socket_timeout": None,
        "socket_read_size": 1 << 20,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,
    }


def translated(error: Exception) -> StoreError:
    """What an error of redis-py means to the caller of a store.

    Messages of the client are not passed on: they may quote addresses and data.
    """
    # Before Redis 7 a script passes the refusal on as an error of its own.
    if isinstance(error, OutOfMemoryError) or "-OOM " in str(error):
        return StoreFull("Redis has reached its maxmemory")
    if isinstance(error, AuthenticationError):
        return StoreUnavailable("Redis refuses the credentials", RETRY_AFTER_SECONDS)
    if isinstance(error, _NO_ANSWER):
        return StoreUnavailable("Redis does not answer", RETRY_AFTER_SECONDS)
    kind = type(error).__name__
    return StoreUnavailable(f"Redis refuses ({kind})", RETRY_AFTER_SECONDS)
