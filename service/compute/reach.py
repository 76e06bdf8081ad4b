"""Whether the Dask scheduler is there: what was found last, and a knock at its port.

Connecting to a scheduler that is away takes seconds of a process; so once it was found
away, a bare connection is tried first, until one succeeds. Nothing is said through it:
a scheduler whose machine is there and that says nothing is found by who works with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.errors import ClusterUnavailableError
from service.places import Place

KNOCK_SECONDS = 2.0
# Probes come often, and each knock may be a line in the scheduler's log.
FRESH_SECONDS = 5.0
RETRY_SECONDS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """How the place was when somebody last looked.

    Attributes:
        ok: whether it answers.
        detail: the same in words.
        warnings: what the last analysis there found wrong.
    """

    ok: bool
    detail: str
    warnings: tuple[str, ...] = ()


class Reach:
    """What this process knows of the scheduler.

    Args:
        place: names it; of another kind, all of this is nothing.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lost = ""
        self._knocked: tuple[float, str] | None = None
        self._turn = asyncio.Lock()

    async def check(self) -> None:
        """Refuse at once what would find the scheduler still away.

        Raises:
            ClusterUnavailableError: then.
        """
        reason = await self._knock() if self._lost else ""
        if reason:
            told = f"{reason}. Nothing has been stored."
            raise ClusterUnavailableError(told, RETRY_SECONDS)

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Remember how the work in this block finds the scheduler."""
        try:
            yield
        except ClusterUnavailableError as error:
            if not self._lost:
                _log.warning("%s", error.detail)
            self._lost = error.detail
            raise
        if self._lost:
            _log.warning("The Dask scheduler does its work again.")
        self._lost = ""

    async def look(self) -> Found | None:
        """How it is now; ``None`` where no scheduler is named."""
        if self._place.kind != "dask":
            return None
        async with self._turn:
            now = time.monotonic()
            if self._knocked is None or now - self._knocked[0] > FRESH_SECONDS:
                self._knocked = now, await self._knock()
        reason = self._knocked[1]
        if reason:
            told = f"{reason}: large analyses wait or are refused, small ones go on"
            return Found(False, told)
        warnings = (f"last time: {self._lost}",) if self._lost else ()
        return Found(True, f"{self._place.address} answers", warnings)

    async def _knock(self) -> str:
        """Why its port does not open; empty when it does."""
        where = urlsplit(self._place.address)
        try:
            async with asyncio.timeout(KNOCK_SECONDS):
                _, writer = await asyncio.open_connection(where.hostname, where.port)
        except (OSError, TimeoutError) as error:
            kind = type(error).__name__
            return f"The Dask scheduler at {self._place.address} is away: {kind}"
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return ""
