"""Time and memory of calls, fairly on a busy machine.

Times are processor seconds of this process (user and system) of several rounds in which
the sides alternate: what others do on the machine then hits all sides alike. Every side
is timed equally often, for the best of more runs is better. Memory is the highest that
Python and NumPy held beyond what was there before.
"""

from __future__ import annotations

import ctypes
import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[], Any]

# Of glibc's <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
# Calls shorter than this are run once untimed in each round: caches warm.
SHORT = 0.1
# Where all calls are short, each is timed several times in a round.
ROUND = 0.06
MOST_REPEATS = 10
# So often at least, whatever it takes.
FEWEST = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of the timed runs of one side."""

    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The shortest."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.seconds)


def keep_heap() -> bool:
    """Have this process keep freed memory, whoever freed it.

    Large temporaries otherwise go back to the system and come again page by page, which
    costs those the most that make many of them. Only glibc can be told.

    Returns:
        Whether it was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def processor_seconds(call: Call) -> float:
    """Processor time of one call, all threads together."""
    start = time.process_time()
    call()
    return time.process_time() - start


def wall_seconds(call: Call) -> float:
    """Time on the wall of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(
    calls: Mapping[str, Call],
    *,
    rounds: int = 5,
    budget: float = 15.0,
    clock: Callable[[Call], float] = processor_seconds,
) -> dict[str, Timing]:
    """Times of all sides, as many of each.

    Args:
        calls: by name.
        rounds: at most so many.
        budget: seconds for all sides together; 3 rounds there are in any case, where
            more than that are allowed.
        clock: what a time is.
    """
    # What is done once per process is nobody's cost; it also tells how long they take.
    once = {name: clock(call) for name, call in calls.items()}
    repeats = max(1, min(MOST_REPEATS, int(ROUND / max(1e-6, *once.values()))))
    whole = sum(seconds * (repeats + (seconds < SHORT)) for seconds in once.values())
    rounds = min(rounds, max(FEWEST, int(budget / max(whole, 1e-6))))
    found = {name: Timing() for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if once[name] < SHORT:
                call()
            found[name].seconds.extend(clock(call) for _ in range(repeats))
    return found


def side_by_side(
    calls: Mapping[str, Call],
    *,
    rounds: int = 5,
    budget: float = 15.0,
    clock: Callable[[Call], float] = processor_seconds,
) -> dict[str, float]:
    """The best time of each side out of equally many; see :func:`timed`."""
    found = timed(calls, rounds=rounds, budget=budget, clock=clock)
    return {name: timing.best for name, timing in found.items()}


def peak_bytes(call: Call) -> int:
    """The most that one call held at a time, its result included."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
