"""What this process asks of a Dask scheduler, for as long as that answers.

Dask's own executor can wait for ever: where the scheduler goes away while a result is
on its way, the error ends the task that fetches it, and nobody tells who waits for the
result. Here whatever fetches, fails or is cancelled ends the future itself, and who
waits looks around meanwhile: at the connection, and whether the scheduler, asked for
next to nothing, says anything at all. Silence is counted while this side listens: its
event loop may be busy for long with writing what all parts need.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Executor, Future, wait
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

# How often who waits looks whether the connection is still there.
LOOK_SECONDS = 0.5
# How often the scheduler is asked whether it is; and how long it may say nothing. It
# handles one message at a time, and a large one takes a while. An event loop that was
# busy has listened for no more than one of these steps, however long it was.
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 20.0
LISTEN_SECONDS = 0.5


class Link(Executor):
    """One client of a scheduler, as an executor whose futures always end.

    A result stays with the worker that has it until it is to be brought: one slow part
    must not have all those behind it wait in the memory of this process.

    Args:
        client: Dask's, connected, with an event loop in a thread of its own.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._wanted: WeakKeyDictionary[Future[Any], asyncio.Event] = (
            WeakKeyDictionary()
        )
        self._beat: Future[Any] | None = None
        self._asked = 0.0

    def submit(  # type: ignore[override]
        self, work: Callable[..., T], /, *args: Any
    ) -> Future[T]:
        """The future of ``work(*args)`` on one of the workers, once it is brought."""
        wanted = asyncio.Event()
        future = self._started(self._done(work, args, wanted))
        self._wanted[future] = wanted
        return future

    def bring(self, future: Future[Any]) -> None:
        """Have a result sent here as soon as it is there."""
        wanted = self._wanted.pop(future, None)
        if wanted is not None:
            with suppress(RuntimeError):  # closed: who waits for it will hear
                self._client.loop.asyncio_loop.call_soon_threadsafe(wanted.set)

    def shared(self, common: Any, seconds: float) -> Any:
        """``common`` sent to every worker: what stands for it among arguments.

        Raises:
            OSError: when the scheduler is gone, or has no workers for so long.
        """
        options = {"broadcast": True, "hash": False, "timeout": seconds}
        return self.wait(self._called(self._client.scatter, common, **options))

    def threads(self) -> int:
        """How many the workers have together.

        Raises:
            OSError: when the scheduler is gone.
        """
        return sum(self.wait(self._called(self._client.nthreads)).values())

    def everywhere(self, ask: Callable[[], Any], seconds: float) -> dict[str, Any]:
        """What each worker answers by its address, or the error it has instead.

        Args:
            ask: sent as it is, not as a name: they may not have its module.
            seconds: after which those that say nothing are no workers.

        Raises:
            OSError: when the scheduler is gone, or somebody says nothing for so long.
        """

        async def asked() -> dict[str, Any]:
            asking = self._client.run(ask, on_error="return")
            found: dict[str, Any] = await asyncio.wait_for(asking, seconds)
            return found

        return self.wait(self._started(asked()))

    def wait(self, future: Future[T]) -> T:
        """The result, or the error, of something asked for here.

        Raises:
            CancelledError: when what it needs was lost with the workers.
            OSError: when the scheduler is gone, or silent.
        """
        while not wait([future], LOOK_SECONDS).done:
            self._look()
        try:
            return future.result()
        except Exception as error:
            if not self._connected():
                raise _lost() from error
            raise

    def _connected(self) -> bool:
        return bool(self._client.status == "running")

    def _look(self) -> None:
        """Notice that the scheduler is gone, or silent."""
        if not self._connected():
            raise _lost()
        if self._beat is not None:
            if not self._beat.done():
                return
            self._beat.result()
        if time.monotonic() - self._asked > BEAT_SECONDS:
            self._asked = time.monotonic()
            self._beat = self._started(self._heard())

    async def _heard(self) -> None:
        """The scheduler answers something.

        Raises:
            OSError: when it does not, for as long as it may be silent.
        """
        answer = asyncio.ensure_future(self._client.nthreads(workers=[]))
        answer.add_done_callback(_seen)
        for _ in range(math.ceil(SILENCE_SECONDS / LISTEN_SECONDS)):
            if (await asyncio.wait([answer], timeout=LISTEN_SECONDS))[0]:
                answer.result()
                return
        answer.cancel()
        raise TimeoutError(f"silent for {SILENCE_SECONDS:g} seconds")

    def _called(self, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The future of something that Dask's client does in its event loop."""

        async def asked() -> Any:
            return await ask(*args, **options)

        return self._started(asked())

    def _started(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            return asyncio.run_coroutine_threadsafe(
                work, self._client.loop.asyncio_loop
            )
        except RuntimeError:  # closed, and its loop with it
            work.close()
            raise _lost() from None

    async def _done(
        self, work: Callable[..., T], args: tuple[Any, ...], wanted: asyncio.Event
    ) -> T:
        # Once: an error that a part raises it would raise again.
        part = self._client.submit(work, *args, pure=False, retries=0)
        fetched: Any = asyncio.ensure_future(_result(part, wanted))
        fetched.add_done_callback(_seen)
        try:
            # What is fetched together hangs together: only the scheduler may end it.
            found: T = await asyncio.shield(fetched)
        except CancelledError:  # Dask's; as one of asyncio's it ends the future
            raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            with suppress(Exception):
                await self._client.cancel([part])
            raise
        return found


async def _result(part: Any, wanted: asyncio.Event) -> Any:
    await wanted.wait()
    return await part.result()


def _seen(fetched: asyncio.Future[Any]) -> None:
    """Let asyncio not complain about an error that nobody waits for."""
    if not fetched.cancelled():
        fetched.exception()


def _lost() -> ConnectionError:
    return ConnectionError("the connection to the scheduler was lost")
