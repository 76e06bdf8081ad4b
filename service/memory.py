"""Give memory back to the system when a crowd has gone.

Bodies and answers of some megabytes that many clients hold at a time leave glibc's
heap large and empty behind them: it keeps what lies below the last piece in use. What
was held is looked at every second, and when most of a crowd has gone the heap is
trimmed (``malloc_trim``, some milliseconds). The largest pieces are kept out of it from
the start. Other C libraries do without.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from typing import cast

import anyio

SECONDS = 1.0
# A heap that has grown by less is not worth a look.
WORTH_BYTES = 32 * 2**20
# Pieces of so many bytes are asked of the system and go back to it one by one. glibc
# begins with 128 KiB and raises that to 32 MiB as such pieces are freed, and the limit
# above which the end of the heap goes back to twice as much.
ALONE_BYTES = 4 * 2**20
KEPT_BYTES = 16 * 2**20
# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_apart() -> None:
    """Keep the largest pieces out of the heap; once in a process."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, ALONE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


async def give_back(held: Callable[[], int]) -> None:
    """Trim the heap, whenever much less is held than was, until cancelled.

    Args:
        held: bytes of bodies and answers now.
    """
    trim = _trim()
    if trim is None:
        return
    most = 0
    while True:
        await anyio.sleep(SECONDS)
        now = held()
        most = max(most, now)
        if most - now >= WORTH_BYTES and now <= most // 4:
            trim(0)
            most = now


@cache
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of the C library, where it has one."""
    try:
        return cast(Callable[[int], int], ctypes.CDLL(None).malloc_trim)
    except (OSError, AttributeError):
        return None
