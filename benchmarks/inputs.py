"""What it costs to keep the inputs of cycles, so that they can be made again.

Run as ``python -m benchmarks.inputs``. Puts cycles into both stores with an analysis
that takes no time, and tells the shortest and the median time of a cycle, and the bytes
that the session takes with two analyses kept.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.sessions import Sessions, SessionSpec
from service.stores import open_store
from tests.support.redis import RedisServer

Array = npt.NDArray[np.float64]
CYCLES = 12
SIZES = ((100, 40), (1000, 1000))
MEASUREMENTS = 20


@dataclass(frozen=True)
class Nothing:
    """An analysis that gives the forecast back."""

    samples: Array
    diagnostics: dict[str, Any] = field(default_factory=dict)


async def analyse(states: Array, *_: Any) -> Nothing:
    """No work at all."""
    return Nothing(states)


async def seconds(
    url: str, kept: int, members: int, dx: int
) -> tuple[list[float], int]:
    """Seconds of each cycle, and bytes kept at the end."""
    store = open_store(url)
    await store.open()
    sessions = Sessions(store, analyse, keep_inputs=kept)
    spec = SessionSpec(
        state_dim=dx, measurement_dim=MEASUREMENTS, keep_analyses=2, seed=1
    )
    sid = (await sessions.create("t", spec)).id
    random = np.random.default_rng(0)
    found = []
    for k in range(1, CYCLES + 1):
        states = random.standard_normal((members, dx))
        simulated = states[:, :MEASUREMENTS].copy()
        start = time.perf_counter()
        await sessions.put_cycle("t", sid, k, states, simulated, simulated[0].copy())
        found.append(time.perf_counter() - start)
    usage = await store.usage("t")
    await store.delete("t", sid)
    await store.close()
    return found, usage.bytes


async def compare(folder: Path, server: RedisServer) -> None:
    """One line for each store, size and number of inputs kept."""
    for members, dx in SIZES:
        for url in (f"sqlite:///{folder}/sessions.sqlite", server.url):
            for kept in (0, 1):
                found, size = await seconds(url, kept, members, dx)
                print(
                    f"{url.partition(':')[0]:6}  {members} x {dx}  inputs {kept}  "
                    f"least {1e3 * min(found):.1f} ms  "
                    f"median {1e3 * float(np.median(found)):.1f} ms  "
                    f"{size / 1e6:.2f} MB"
                )


def main() -> None:
    """Both stores, on this machine."""
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder) / "redis", appendonly="yes") as server,
    ):
        asyncio.run(compare(Path(folder), server))


if __name__ == "__main__":
    main()
