"""The proxy of the tests, for code without an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.proxy import Proxy

PATIENCE = 30.0


class Line:
    """A line between clients and a port, that can be made worse at any time.

    Attributes:
        port: where it listens.
        proxy: the proxy itself; change it through :meth:`set`.
    """

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy = proxy
        self._loop = loop

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.proxy.port

    @property
    def url(self) -> str:
        """The same as an address, for clients of the service behind it."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, **changes: object) -> None:
        """Change attributes of the proxy, between two of its steps."""

        def change() -> None:
            for name, value in changes.items():
                setattr(self.proxy, name, value)

        self._run(change)

    def hold(self) -> None:
        """Let nothing through any more, as a black hole would."""
        self._run(self.proxy.gate.clear)

    def release(self) -> None:
        """Let everything through again."""
        self._run(self.proxy.gate.set)

    def _run(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def step() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(step)
        done.wait(PATIENCE)


@contextmanager
def line_to(port: int) -> Iterator[Line]:
    """A proxy in a thread, for the length of a block."""
    ready: list[Line] = []
    started, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with Proxy(port) as proxy:
            ready.append(Line(proxy, asyncio.get_running_loop()))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    started.wait(PATIENCE)
    try:
        yield ready[0]
    finally:
        ready[0]._loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
