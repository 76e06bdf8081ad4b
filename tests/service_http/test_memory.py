"""Memory that a crowd leaves behind goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import anyio
import pytest

from service import memory

MB = 2**20


@pytest.mark.parametrize(
    ("sizes", "trims"),
    [
        ([0, 10, 0, 10, 0], 0),  # too little to look
        ([0, 64, 64, 60, 30], 0),  # the crowd is still there
        ([0, 64, 10, 0, 0], 1),
        ([0, 64, 0, 64, 0], 2),
    ],
)
def test_the_heap_is_trimmed_when_a_crowd_has_gone(
    sizes: list[int], trims: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    told = iter(sizes)
    monkeypatch.setattr(memory, "SECONDS", 0.001)
    monkeypatch.setattr(memory, "_trim", lambda: calls.append)

    async def look() -> None:
        async with anyio.create_task_group() as group:

            def held() -> int:
                size = next(told, None)
                if size is None:
                    group.cancel_scope.cancel()
                return MB * (size or 0) if size is not None else MB * sizes[-1]

            group.start_soon(memory.give_back, held)

    anyio.run(look)
    assert len(calls) == trims


GROW = """
import sys
from service import memory
before = [bytearray(1 << 20) for _ in range(1)]
# Pieces below the largest that the system hands out by themselves, and one on top.
crowd = [bytearray(100_000) for _ in range(2000)]
top = bytearray(100_000)
del crowd
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
full = resident()
memory._trim()(0)
print(full - resident())
"""


APART = """
import sys
from service import memory
if sys.argv[1] == "apart":
    memory.keep_apart()
first = bytearray(16 << 20)
del first  # by itself glibc would from now on keep pieces of this size in its heap
crowd, between = [], []
for _ in range(30):
    crowd.append(bytearray(5 << 20))
    between.append(bytearray(100_000))
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
full = resident()
crowd.clear()
print(full - resident())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs glibc, which is told so"
)
def test_large_pieces_go_back_one_by_one() -> None:
    """As they do not by themselves: what is in use lies between them."""
    given = {}
    for how in ("apart", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", APART, how],
            capture_output=True,
            text=True,
            check=True,
        )
        given[how] = int(done.stdout)
    assert given["apart"] > 140 * MB
    assert given["plain"] < 20 * MB


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs glibc, whose heap is trimmed"
)
def test_trimming_returns_what_lies_below_a_piece_in_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROW], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 100 * MB
