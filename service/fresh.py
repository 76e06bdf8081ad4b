"""One answer for the many who ask at about the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """What a source said last, asked anew once it is old; one question at a time.

    An error of the source goes to who asked and is not kept.

    Args:
        ask: the source.
        seconds: how long its answer holds.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._found: tuple[float, T] | None = None
        self._turn = asyncio.Lock()

    async def look(self) -> T:
        """Its answer, at most so many seconds old."""
        async with self._turn:
            if self._found is None or time.monotonic() - self._found[0] > self._seconds:
                found = await self._ask()
                self._found = time.monotonic(), found
            return self._found[1]
