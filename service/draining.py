"""Going in order: told to stop, say so, finish what runs, and only then end.

::

    SIGTERM   /readyz answers 503, streams end, new requests are still answered
    ...       for `drain_seconds`, so that a proxy has time to turn elsewhere
    then      no new connections; what runs may finish, for `shutdown_seconds`
    Ctrl+C    the same at once; a second signal does not wait either

It works under any server that stops on a signal: the server's own handler is called
when the time has come.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Draining:
    """Whether the service is about to end, and when.

    Args:
        stopping: set at the first signal; streams and long polls watch it.
        seconds: between the first SIGTERM and the server's own reaction to it.
    """

    def __init__(self, stopping: asyncio.Event, seconds: float) -> None:
        self._stopping = stopping
        self._seconds = seconds
        self._handlers: dict[int, Any] = {}
        self._told = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Come before the server's handlers of signals for the length of a block."""
        if threading.current_thread() is not threading.main_thread():
            # Signals come to the main thread alone; an application elsewhere is
            # stopped by whoever started it.
            yield
            return
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._heard)
        try:
            yield
        finally:
            for heard, handler in self._handlers.items():
                if signal.getsignal(heard) == self._heard:
                    signal.signal(heard, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        at_once = number == signal.SIGINT or self._told or not self._seconds
        self._told = True
        # A handler interrupts anything, the loop's own work included.
        self._loop.call_soon_threadsafe(self._stopping.set)
        if at_once:
            self._pass_on(number, frame)
        else:
            self._loop.call_soon_threadsafe(
                self._loop.call_later, self._seconds, self._pass_on, number, None
            )

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        handler = self._handlers[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, handler)
            signal.raise_signal(number)
