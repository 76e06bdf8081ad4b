"""An analysis in a thread, which cannot be killed but can be asked to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from service.compute.progress import share_of
from service.progress import report

T = TypeVar("T")


class _StoppedError(Exception):
    """Nobody waits for the analysis any more."""


async def stoppable(function: Callable[..., T], *args: Any) -> T:
    """Run something that tells its progress; told to stop, it ends at the next part.

    Whoever waits goes on waiting until it has ended: its turn is taken as long as it
    uses a processor.

    Args:
        function: takes what is given and, last, a function to tell its progress.
        args: what is given.
    """
    stop = threading.Event()

    def tell(stage: str, done: int, total: int) -> None:
        if stop.is_set():
            raise _StoppedError
        report(share_of(stage, done, total), stage)

    pool = ThreadPoolExecutor(1, thread_name_prefix="analysis")
    context = copy_context()
    future = pool.submit(lambda: context.run(function, *args, tell))
    pool.shutdown(wait=False)
    try:
        return await asyncio.wrap_future(future)
    except anyio.get_cancelled_exc_class():
        stop.set()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(wait, (future,))
        raise
