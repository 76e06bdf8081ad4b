"""Large analyses through a real Dask cluster: same bytes, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.cli.demo.processes import free_port
from service.compute import AnalysisResult, Compute
from service.compute.reach import Reach
from service.errors import ClusterUnavailableError
from service.media.bodies import encode_body
from service.places import Place
from service.progress import listening
from service.settings import Settings
from tests.scale.cluster import Cluster, running
from tests.support.servers import PATIENCE, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

pytest.importorskip("distributed")

from service.compute.cluster import CONNECT_SECONDS, workers_of  # noqa: E402

MEMBERS = 3000
KERNELS: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 3.0,
    "shrink": False,
    "n_samples": 40_000,
}


def triple() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(11)
    states = rng.standard_normal((MEMBERS, 10))
    simulated = states[:, :1] + 0.5 * rng.standard_normal((MEMBERS, 1))
    return states, simulated, np.array([0.3])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def alone() -> AnalysisResult:
    return asyncio.run(analysed("processes"))


async def analysed(
    where: str, told: Any = None, deadline: float = 250.0, **changes: Any
) -> AnalysisResult:
    settings = Settings(
        store_url="sqlite:///unused", compute=where, deadline_seconds=deadline
    )
    with listening(told or (lambda share, stage: None)):
        options = {**KERNELS, **changes}
        return await Compute(settings).analyse(*triple(), options, 7)


def same(one: AnalysisResult, other: AnalysisResult) -> None:
    assert one.samples.tobytes() == other.samples.tobytes()
    assert one.diagnostics == other.diagnostics


async def test_every_place_gives_the_same_bytes_and_tells_how_far_it_is(
    cluster: Cluster, alone: AnalysisResult
) -> None:
    for where in ("threads", cluster.setting):
        shares: list[float] = []
        found = await analysed(where, lambda share, _, to=shares: to.append(share))
        same(found, alone)
        assert shares == sorted(shares)
        assert len(shares) >= 2  # told now and then, as time goes by


async def test_a_cluster_is_looked_at(cluster: Cluster) -> None:
    place = Place("dask", f"tcp://{cluster.address}")
    assert workers_of(place) == [1, 1]
    found = await Reach(place).look()
    assert found is not None
    assert (found.ok, found.warnings) == (True, ())


async def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    cluster: Cluster, alone: AnalysisResult
) -> None:
    victim = cluster.add_worker()
    killed: list[float] = []

    def kill(share: float, stage: str) -> None:
        if not killed:
            killed.append(share)
            os.kill(victim.pid, signal.SIGKILL)

    same(await analysed(cluster.setting, kill), alone)
    assert killed
    assert killed[0] < 0.9, "it was killed when all was done"


async def test_all_workers_may_go_when_another_comes(
    tmp_path: Path, alone: AnalysisResult
) -> None:
    """What they were sent is lost with them; it is sent again."""
    with running(tmp_path, workers=1) as small:
        killed: list[float] = []

        def replace(share: float, stage: str) -> None:
            if not killed:
                killed.append(share)
                small.workers[0].kill()
                small.add_worker()

        same(await analysed(small.setting, replace), alone)
        assert killed


async def test_a_lost_scheduler_is_a_problem_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as small:

        def lose(share: float, stage: str) -> None:
            small.scheduler.kill()

        with pytest.raises(ClusterUnavailableError) as caught:
            await analysed(small.setting, lose)
        assert caught.value.retry_after > 0
        with pytest.raises(ClusterUnavailableError):
            await analysed(small.setting)


def test_where_nobody_listens_it_is_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(ClusterUnavailableError, match="is away: Connection"):
        workers_of(Place("dask", f"tcp://127.0.0.1:{free_port()}"))
    assert time.monotonic() - began < CONNECT_SECONDS / 2


async def test_work_that_nobody_waits_for_leaves_the_cluster_too(
    cluster: Cluster,
) -> None:
    """A client that leaves, or a deadline, kills the process that asked for it."""
    from distributed import Client

    began = asyncio.Event()
    told = lambda share, stage: began.set()  # noqa: E731
    work = asyncio.create_task(
        analysed(cluster.setting, told, n_samples=400_000, sampler="sde", steps=20)
    )
    await asyncio.wait_for(began.wait(), PATIENCE)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    async with Client(cluster.address, asynchronous=True) as client:
        for _ in range(100):
            waiting = await client.run_on_scheduler(
                lambda dask_scheduler: len(dask_scheduler.tasks)
            )
            if not waiting:
                return
            await asyncio.sleep(0.1)
    pytest.fail(f"{waiting} parts are left that nobody waits for")


def test_over_http_a_scheduler_that_is_away_is_503_and_small_work_goes_on(
    tmp_path: Path,
) -> None:
    names = ("forecast_states", "simulated_measurements", "observation")
    whole = dict(zip(names, triple(), strict=True))
    few = {**whole, names[0]: whole[names[0]][:20], names[1]: whole[names[1]][:20]}
    small = encode_body(few, {})
    large = encode_body(whole, {"options": KERNELS, "seed": 7})
    with serving(tmp_path, COMPUTE="dask://127.0.0.1:9", MAX_RUNNING="1") as server:
        answers = [
            httpx.post(
                f"{server.url}/v1/analyses",
                content=body,
                headers={"Content-Type": kind},
                timeout=PATIENCE,
            )
            for kind, body in (large, small)
        ]
    assert [answer.status_code for answer in answers] == [503, 200]
    assert answers[0].json()["type"] == "/problems/cluster-unavailable"
    assert answers[0].headers["retry-after"] == "10"
