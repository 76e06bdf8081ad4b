"""Calls of worker processes whose answers are their own, whatever the pipe holds.

A worker of anyio's answers whatever it takes for a request. When it cannot read one to
its end, for want of memory say, it answers with that error and takes the rest for the
next request: it never gets on, or its answers are those to earlier calls from then on.
So a worker that drops a call half read ends itself, calls and answers have numbers, and
a worker whose place in its pipe is in doubt is ended from here.
"""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

import anyio
import anyio.to_process
from anyio import BrokenWorkerProcess

T = TypeVar("T")
_numbers = itertools.count()


class Reply(NamedTuple):
    """What a call came to.

    Attributes:
        number: of the call.
        failed: whether it raised what is told.
        content: the pickle of the result, or of the exception.
    """

    number: int
    failed: bool
    content: bytes


async def ask(
    function: Callable[..., T],
    args: tuple[Any, ...],
    *,
    limiter: anyio.CapacityLimiter,
    cancellable: bool,
) -> T:
    """``function(*args)`` in a worker process of anyio's.

    Args:
        function: can be pickled.
        args: can be pickled.
        limiter: of the processes.
        cancellable: whether cancelling kills the process.

    Raises:
        BrokenWorkerProcess, ProcessLookupError: when the process has died, or was
            ended because its answer was none to this call.
        MemoryError, OSError: where the call could not be read, or no process started.
    """
    number = next(_numbers)
    # A pickle in a pickle: what cannot be written is raised before anything is sent,
    # and what cannot be loaded is raised after all of it was read.
    call = pickle.dumps((function, args), 5)
    try:
        reply = await anyio.to_process.run_sync(
            _CALL, number, call, cancellable=cancellable, limiter=limiter
        )
    except (BrokenWorkerProcess, ProcessLookupError):
        raise  # anyio has ended it
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # None of the function's, which come in a reply: the worker's own, at the pipe.
        await _end_last()
        if isinstance(error, (MemoryError, OSError)):
            raise
        raise BrokenWorkerProcess("a worker could not read its call") from error
    if not isinstance(reply, Reply) or reply.number != number:
        await _end_last()
        raise BrokenWorkerProcess("a worker answered another call")
    found = pickle.loads(reply.content)
    if reply.failed:
        raise found
    return cast(T, found)


class _Reader:
    """In the worker, while it reads a call. Dropped before that, it ends the worker.

    It comes before the arguments, so it is there when there is no memory for them.
    """

    def __init__(self) -> None:
        self._done = False

    def __call__(self, number: int, call: bytes) -> Reply:
        self._done = True
        return _answer(number, call)

    def __del__(self) -> None:
        if not self._done:
            os._exit(1)


class _Call:
    """What is sent for a reader, which must not come to be here."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Reader, ()


_CALL = cast(Callable[[int, bytes], Reply], _Call())


def _answer(number: int, call: bytes) -> Reply:
    """The answer to a call that was read to its end."""
    try:
        function, args = pickle.loads(call)
        return Reply(number, False, pickle.dumps(function(*args), 5))
    except Exception as error:
        return Reply(number, True, _told(error))


def _told(error: Exception) -> bytes:
    try:
        return pickle.dumps(error, 5)
    except Exception as instead:
        return pickle.dumps(instead, 5)


async def _end_last() -> None:
    """End the worker that anyio has just taken back.

    It is the last of the idle ones as long as nobody else has run, and between its
    answer and this nothing waits. A process number in the reply would do for fewer
    cases: an error at the pipe brings none, and anyio would hand out a process that was
    killed behind its back until it hears of that. The names are private ones of
    anyio's: without them the numbers still keep answers apart, and a test fails.
    """
    module: Any = anyio.to_process
    try:
        workers = module._process_pool_workers.get()
        process, _ = module._process_pool_idle_workers.get().pop()
    except (AttributeError, LookupError):
        return  # none: no process could be started
    workers.discard(process)
    with anyio.CancelScope(shield=True):
        with suppress(ProcessLookupError):
            process.kill()
        await process.aclose()
