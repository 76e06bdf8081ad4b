"""Two readings of one clock, so that a clock that jumps takes no session along.

Lifetimes are kept in seconds since 1970, since processes, machines and restarts have
nothing else in common. But that clock is set by people and programs: it may jump by an
hour or by a day, forwards and back. Beside it runs one that nobody sets. Where the two
disagree, whether a session has expired is asked of the one that is behind, and how long
it is to live is told by the one that is ahead. So a session in use outlives a jump in
either direction, and at worst one that nobody uses is kept too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# What time servers correct in small steps is followed; more is taken for a jump.
STEP_SECONDS = 2.0


def _since_boot() -> float:
    # Unlike the monotonic clock of Linux it runs on while the machine sleeps.
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class SteadyClock:
    """Wall time beside time that only passes.

    Args:
        wall: seconds since 1970, which may jump.
        steady: seconds since any moment, which do not.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = _since_boot,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def early(self) -> float:
        """The reading that is behind: for asking whether something has expired."""
        return min(self._readings())

    def late(self) -> float:
        """The reading that is ahead: for telling until when something lives."""
        return max(self._readings())

    def _readings(self) -> tuple[float, float]:
        wall = self._wall()
        kept = self._steady() + self._offset
        if abs(wall - kept) <= STEP_SECONDS:
            self._offset += wall - kept
            kept = wall
        return wall, kept
