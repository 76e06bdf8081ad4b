"""How far an analysis has come, told by the process that does it.

It writes a few bytes into a file that the service reads now and then: cheap, and a
process that is killed in the middle leaves nothing to clean up but the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_log = logging.getLogger(__name__)
# Told the stage, the parts done and the parts in all.
Progress = Callable[[str, int, int], None]

LOOK_SECONDS = 0.25
_RECORD = struct.Struct("<d16s")
# Where in an analysis the parts of a stage stand; what comes before and after them
# is not cut into parts.
STAGES = {
    "sampling": (0.1, 0.95),
    # One evaluation after the other, as many as the tolerances demand.
    "solving": (0.1, 0.1),
    "screening": (0.0, 0.15),
    "searching": (0.15, 0.5),
    "updating": (0.5, 0.98),
}


def share_of(stage: str, done: int, total: int) -> float:
    """Share of the whole analysis, 0 to 1, when so many parts of a stage are done."""
    begin, end = STAGES.get(stage, (0.0, 1.0))
    return begin + (end - begin) * done / max(total, 1)


class Writer:
    """What the engine tells, into the file; it never goes back."""

    def __init__(self, file: str | None) -> None:
        self._handle = None if file is None else os.open(file, os.O_WRONLY)
        self._most = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note that so many parts of a stage are done."""
        self._most = max(self._most, share_of(stage, done, total))
        if self._handle is not None:
            os.pwrite(self._handle, _RECORD.pack(self._most, stage.encode()[:16]), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)


@asynccontextmanager
async def followed(tell: Callable[[float, str], None]) -> AsyncIterator[str]:
    """A file for the writer, looked at as long as the block lasts."""
    handle, name = tempfile.mkstemp(prefix="ccdm-progress-")
    looking = asyncio.create_task(_look(handle, tell))
    try:
        yield name
    finally:
        looking.cancel()
        try:
            with suppress(asyncio.CancelledError):
                await looking
        except Exception:
            # The analysis is what was asked for, not the word on how far it was.
            _log.exception("the progress of an analysis could not be told")
        finally:
            os.close(handle)
            with suppress(OSError):
                Path(name).unlink()


async def _look(handle: int, tell: Callable[[float, str], None]) -> None:
    before = b""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = os.pread(handle, _RECORD.size, 0)
        if len(found) == _RECORD.size and found != before:
            before = found
            share, stage = _RECORD.unpack(found)
            tell(share, stage.rstrip(b"\0").decode())
