"""``CCDM_COMPUTE``: what it may be, and what becomes of it."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from service.compute import Compute
from service.compute.crews import crew
from service.compute.progress import Writer, followed, share_of
from service.compute.threads import stoppable
from service.compute.work import run_job
from service.errors import DeadlineExceededError
from service.places import Place, place_of
from service.settings import Settings


def settings(**given: object) -> Settings:
    return Settings(store_url="sqlite:///unused", **given)  # type: ignore[arg-type]


def test_the_default_is_processes() -> None:
    assert place_of(settings()).kind == "processes"


def test_a_scheduler_is_named_with_its_port_and_perhaps_its_certificates() -> None:
    assert place_of(settings(compute="dask://10.1.2.3:8786")).address == (
        "tcp://10.1.2.3:8786"
    )
    files = {f"dask_{kind}_file": Path(f"/{kind}") for kind in ("ca", "cert", "key")}
    found = place_of(settings(compute="dask+tls://scheduler:8786", **files))
    assert found.address == "tls://scheduler:8786"
    assert found.certificates == (Path("/ca"), Path("/cert"), Path("/key"))


@pytest.mark.parametrize(
    "wrong",
    ["", "dask", "dask://host", "http://host:1", "dask://h:99999", "dask://u@h:1/x"],
)
def test_anything_else_is_refused_with_what_is_wanted(wrong: str) -> None:
    with pytest.raises(ValidationError, match="dask://host:port"):
        settings(compute=wrong)


def steps(count: int, tell: object) -> int:
    for done in range(count):
        time.sleep(0.02)
        tell("sampling", done + 1, count)  # type: ignore[operator]
    return count


async def test_a_thread_stops_at_the_next_part() -> None:
    assert await stoppable(steps, 3) == 3
    workers = Compute(settings(compute="threads", deadline_seconds=0.3))
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError), workers.in_time():
        await stoppable(steps, 10_000)
    assert time.monotonic() - began < 20.0


async def test_an_adaptive_solution_stops_at_the_next_evaluation() -> None:
    drawn = np.random.default_rng(0).normal(size=(1000, 4))
    options = {"sampler": "rk45", "preconditioner": "none", "state_bandwidth": 0.5}
    job = (drawn, drawn[:, :2], np.zeros(2), options, 1, Place("threads"))
    told: list[str] = []

    class Stopped(Exception):
        pass

    def tell(stage: str, done: int, total: int) -> None:
        told.append(stage)
        if len(told) == 5:
            raise Stopped

    with pytest.raises(Stopped):
        run_job(*job, tell)
    assert told == ["solving"] * 5


async def test_what_a_thread_raises_comes_home() -> None:
    def fails(tell: object) -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        await stoppable(fails)


async def test_progress_comes_through_a_file_and_never_goes_back() -> None:
    heard: list[tuple[float, str]] = []
    async with followed(lambda *told: heard.append(told)) as file:
        writer = Writer(file)
        for stage, done in (("updating", 2), ("searching", 1), ("updating", 4)):
            writer(stage, done, 4)
            await asyncio.sleep(0.4)
        writer.close()
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    assert heard[-1] == (share_of("updating", 4, 4), "updating")
    assert not Path(file).exists()


def meeting(barrier: threading.Barrier, part: int) -> int:
    """Work that three do at the same time, or nobody."""
    barrier.wait(10.0)
    return 2 * part


def test_threads_of_a_process_share_its_parts() -> None:
    place = place_of(settings(analysis_threads=3))
    assert (place.kind, place.threads) == ("processes", 3)
    with crew(place, lambda stage, done, total: None) as doing:
        results = doing("meeting", meeting, threading.Barrier(3), iter(range(6)), 6)
        assert list(results) == [0, 2, 4, 6, 8, 10]


def test_a_place_can_be_sent_to_a_process() -> None:
    import pickle

    place = Place("dask", "tcp://h:1")
    assert pickle.loads(pickle.dumps(place)) == place
