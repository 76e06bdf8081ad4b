"""The two large analyses through Dask: two workers, each a process of its own.

Each runs in one process first; then through the cluster, with progress; the localized
one once more, with a worker killed in the middle. Bytes are compared, memory is the
most that each process has held. What a part costs on its way is measured by parts that
do nothing and answer with so many bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.one import ERROR, KERNELS, Waves, cloud, peak_mib
from service.compute import Compute
from service.progress import listening
from service.settings import Settings
from service.stored.beneath import Beneath
from service.stored.jobs import StoredJob
from service.stored.sources import open_source
from service.stored.targets import beside
from tests.scale.cluster import Cluster, filled, running

# Numbers that a part answers with, how many such parts, and whether that is held out.
ANSWERS = ((1, 300, False), (2**18, 60, False), (2**19, 40, True), (2**20, 40, False))
# A small analysis that leaves the service all the same: what it takes is its start.
SMALL = 2000

Size = tuple[str, int, int]
HERE, DASK = "one process", "Dask, two workers"


@dataclass(slots=True)
class Run:
    """One analysis at one place.

    Attributes:
        what: sizes.
        size: kind, N and dx.
        where: the place.
        seconds: on the wall.
        progress: reports that came.
        digest: of the result.
        peaks: MiB at most, by process.
    """

    what: str
    size: Size
    where: str
    seconds: float
    progress: int
    digest: str
    peaks: dict[str, float]


def demonstrations(short: bool) -> Iterator[Run]:
    """All runs, as they end."""
    members = 3000 if short else 20_000
    dimension = 50_000 if short else 1_000_000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size: Size = ("sampled", members, 40)
        with running(folder) as cluster:
            for where in ("processes", cluster.setting):
                yield _run(size, where, cluster, _sampled(members))
        job, size = _stored(folder, dimension), ("blocks", 100, dimension)
        with running(folder) as cluster:
            for where in ("processes", cluster.setting):
                yield _run(size, where, cluster, job)
            yield _run(size, cluster.setting, cluster, job, kill=True)


def starts() -> list[float]:
    """Seconds on the wall of next to nothing: in one process, and through Dask.

    The least of five, each with workers that have done nothing yet: what else a machine
    does can only add to it.
    """
    found = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as place, running(Path(place)) as cluster:
            both = ("processes", cluster.setting)
            size: Size = ("sampled", SMALL, 40)
            call = _sampled(SMALL)
            found.append([_run(size, at, cluster, call).seconds for at in both])
    return [float(value) for value in np.min(found, axis=0)]


def _sampled(members: int) -> Callable[[Compute], Any]:
    triple = cloud(members, 40, 1)

    async def call(compute: Compute) -> str:
        found = await compute.analyse(*triple, KERNELS, 1)
        return hashlib.sha256(found.samples.tobytes()).hexdigest()

    return call


def _stored(folder: Path, dimension: int) -> Callable[[Compute], Any]:
    states = Waves((100, dimension))
    _write(folder / "states.npy", states)
    simulated, observed, local = states.measured()
    place, result = (
        Beneath(folder.resolve(), (name,)) for name in ("states.npy", "result.npy")
    )
    job = StoredJob(
        states=open_source(place, None, "/forecast_states"),
        simulated=simulated,
        observation=observed,
        localization={
            "state_coordinates": local.state_coordinates,
            "measurement_coordinates": local.measurement_coordinates,
            "radius": local.radius,
        },
        options={"measurement_error": ERROR},
        seed=1,
        result=result,
        side=beside(result),
        overwrite=True,
    )

    async def call(compute: Compute) -> str:
        return (await compute.analyse_stored(job)).digest

    return call


def _write(file: Path, states: Waves) -> None:
    array = np.lib.format.open_memmap(
        file, mode="w+", dtype=np.float64, shape=states.shape
    )
    for begin in range(0, states.shape[1], 8192):
        columns = slice(begin, min(begin + 8192, states.shape[1]))
        array[:, columns] = states.read(columns)
    array.flush()


def _run(
    size: Size,
    where: str,
    cluster: Cluster,
    call: Callable[[Compute], Any],
    *,
    kill: bool = False,
) -> Run:
    told: list[float] = []
    what = f"N = {size[1]}, dx = {size[2]}"
    what += ", localized, in files" if size[0] == "blocks" else ""

    def hear(share: float, stage: str) -> None:
        told.append(share)
        if kill and len(told) == 3:
            cluster.workers[0].kill()

    settings = Settings(store_url="unused", compute=where, deadline_seconds=3000.0)
    start = time.perf_counter()
    with listening(hear):
        digest, child = asyncio.run(_watched(call(Compute(settings))))
    if kill and cluster.workers[0].poll() is None:
        raise RuntimeError(f"{what}: it ended before a worker could be killed")
    name = HERE if where == "processes" else DASK
    name += ", one killed in the middle" if kill else ""
    peaks = {"preparing process": child}
    if where != "processes":
        alive = [worker for worker in cluster.workers if worker.poll() is None]
        peaks["worker"] = max(peak_mib(worker.pid) for worker in alive)
        peaks["scheduler"] = peak_mib(cluster.scheduler.pid)
    return Run(what, size, name, time.perf_counter() - start, len(told), digest, peaks)


async def _watched(work: Any) -> tuple[str, float]:
    """The digest, and the most that the process which prepared has held."""
    known = set(_children())
    task, most = asyncio.create_task(work), 0.0
    while not task.done():
        await asyncio.wait({task}, timeout=0.2)
        most = max([most, *(peak_mib(pid) for pid in set(_children()) - known)])
    return await task, most


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    found = " ".join((task / "children").read_text() for task in tasks)
    return [int(pid) for pid in found.split()]


@contextmanager
def _crew() -> Iterator[tuple[Any, Cluster]]:
    from service.compute.cluster import OnCluster, forget
    from service.places import place_of

    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cluster:
        place = place_of(Settings(store_url="unused", compute=cluster.setting))
        try:
            yield OnCluster(place, lambda *told: None), cluster
        finally:
            forget(place)


def part_seconds() -> list[dict[str, Any]]:
    """Processor seconds of scheduler and of who asks, by the bytes of the answer."""
    rows = []
    with _crew() as (crew, cluster):
        for numbers, count, held in ANSWERS:
            parts = [(0.0, numbers)] * count
            list(crew("filled", filled, None, iter(parts[:8]), 8))
            before = _ticks(cluster.scheduler.pid), time.process_time()
            list(crew("filled", filled, None, iter(parts), count))
            spent = {
                "scheduler": (_ticks(cluster.scheduler.pid) - before[0])
                / os.sysconf("SC_CLK_TCK"),
                "asking": time.process_time() - before[1],
            }
            rows += [
                {
                    "cost": cost,
                    "bytes": 8 * numbers,
                    "measured": value / count,
                    "held out": held,
                }
                for cost, value in spent.items()
            ]
    return rows


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
