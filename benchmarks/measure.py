"""Time and memory of calls, fairly on a busy machine.

Times are processor seconds of this process (user and system), the best of several
rounds in which the sides alternate: what others do on the machine then hits all sides
alike. Memory is the highest that Python and NumPy held beyond what was there before.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[], Any]


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


def side_by_side(
    calls: Mapping[str, Call],
    *,
    rounds: int = 5,
    budget: float = 4.0,
    clock: Callable[[Call], float] = processor_seconds,
) -> dict[str, float]:
    """Best time of each call; those that ate their budget are not run again.

    Args:
        calls: by name.
        rounds: at most so many runs of each.
        budget: seconds for each name.
        clock: what a time is.
    """
    best = dict.fromkeys(calls, float("inf"))
    spent = dict.fromkeys(calls, 0.0)
    for _ in range(rounds):
        for name, call in calls.items():
            if spent[name] >= budget:
                continue
            # Short calls are repeated within a round: clocks tick, caches warm.
            seconds = clock(call)
            spent[name] += seconds
            for _ in range(min(10, int(0.02 / max(seconds, 1e-4)))):
                again = clock(call)
                spent[name] += again
                seconds = min(seconds, again)
            best[name] = min(best[name], seconds)
    return best


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
