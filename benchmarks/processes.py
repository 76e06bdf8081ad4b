"""What a service spends and holds: its process and all that it started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processor_seconds(pid: int) -> float:
    """User and system time of a process and of those under it so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(_ticks(one) for one in family(pid)) / ticks


def resident_mib(pid: int) -> tuple[float, float]:
    """Resident memory of a process, and of all under it together.

    Pages that several of them share count for each.
    """
    own, *others = (_resident(one) for one in family(pid))
    return own, sum(others)


def family(pid: int) -> list[int]:
    """A process and all under it, itself first."""
    found = [pid]
    for child in _children(pid):
        found += family(child)
    return found


def _children(pid: int) -> Iterator[int]:
    """Those that any of its threads started."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            yield from map(int, thread.read_text().split())


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it has ended
        return 0
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _resident(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0
