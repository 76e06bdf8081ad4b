"""How much more two processes get done than one: what a second processor is worth.

Each does nothing but the products and exponentials of the sampling, for the same time.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import floor

ROUNDS = 3
MEMBERS, DIMENSION, EVALUATIONS = 1000, 3, 1


def gain(seconds: float, rounds: int = ROUNDS) -> float:
    """Work of two processes together over that of one alone, the median of rounds."""
    with ExitStack() as stack:
        both = [stack.enter_context(_process()) for _ in range(2)]
        for one in both:
            _told(one)  # it is ready
        pairs = [
            (_done(both[:1], seconds), _done(both, seconds)) for _ in range(rounds)
        ]
    return statistics.median(two / one for one, two in pairs)


def said(seconds: float, rounds: int = ROUNDS) -> str:
    """As a sentence, measured now."""
    times = gain(seconds, rounds)
    return (
        "Two processes that each do nothing but the products and exponentials of "
        f"the sampling get **{times:.2f} times** as much done together as one alone."
    )


def _process() -> subprocess.Popen[str]:
    """Ends when nothing can be said to it any more."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cores"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process of products has ended")
    return line


def _done(processes: Sequence[subprocess.Popen[str]], seconds: float) -> int:
    """Calls that these end together in so long."""
    for one in processes:
        assert one.stdin is not None
        one.stdin.write(f"{seconds}\n")
        one.stdin.flush()
    return sum(int(_told(one)) for one in processes)


def main() -> None:
    """One of the processes: so many seconds a line, so many calls a line."""
    run = floor.products(MEMBERS, MEMBERS, DIMENSION, EVALUATIONS)
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        end, done = time.perf_counter() + float(line), 0
        while time.perf_counter() < end:
            run()
            done += 1
        print(done, flush=True)


if __name__ == "__main__":
    main()
