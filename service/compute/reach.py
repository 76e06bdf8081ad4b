"""Whether somebody listens where the Dask scheduler should be: a knock at its port.

Nothing is said through that connection: a scheduler that is there and says nothing, or
has no workers, is found by who works with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass

from service.places import Place

KNOCK_SECONDS = 2.0
# Probes come often, and each knock may be a line in the scheduler's log.
FRESH_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """How the place was when it was last looked at.

    Attributes:
        ok: whether somebody listens there.
        detail: the same in words.
        warnings: none so far.
    """

    ok: bool
    detail: str
    warnings: tuple[str, ...] = ()


class Reach:
    """The scheduler, looked at every few seconds at most.

    Args:
        place: names it.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._found: tuple[float, Found] | None = None
        self._turn = asyncio.Lock()

    async def look(self) -> Found | None:
        """How it is; ``None`` where no scheduler is named."""
        if self._place.kind != "dask":
            return None
        async with self._turn:
            if self._found is None or time.monotonic() - self._found[0] > FRESH_SECONDS:
                found = await self._knock()
                self._found = time.monotonic(), found
        return self._found[1]

    async def _knock(self) -> Found:
        host, port = self._place.listens
        try:
            async with asyncio.timeout(KNOCK_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            # Anybody may read this: the address is for the log.
            if self._found is None or self._found[1].ok:
                _log.warning("no Dask scheduler at %s: %r", self._place.address, error)
            told = f"The Dask scheduler is away: {type(error).__name__}; "
            told += "large analyses wait or are refused"
            return Found(False, f"{told}, small ones go on")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return Found(True, "The Dask scheduler answers")
