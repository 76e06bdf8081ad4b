"""Keep long byte work away from the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

Result = TypeVar("Result")

# About 0.3 ms of hashing: below that, a thread costs more than it saves.
_INLINE_BYTES = 1 << 18
# Reading one entry of a list takes about as long as hashing so many bytes.
ENTRY_BYTES = 10_000
# Reading or writing a byte of JSON takes about as long as hashing so many.
JSON_COST = 8
# A byte that was compressed may be a hundred of JSON.
PACKED_COST = 64
# Longer JSON goes to a thread.
INLINE_JSON = _INLINE_BYTES // JSON_COST


async def off_loop(size: int, work: Callable[[], Result]) -> Result:
    """Run ``work`` here when it handles few bytes, in a thread when many.

    Args:
        size: bytes that ``work`` goes through.
        work: hashing, packing or checking; must not touch shared state.
    """
    if size <= _INLINE_BYTES:
        return work()
    return await anyio.to_thread.run_sync(work)
