"""What a request costs, counted: round trips to the store and copies of bodies."""

from __future__ import annotations

import inspect
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

import anyio.to_thread
import httpx
import numpy as np
import pytest

from service.media.answers import encode_answer
from service.media.bodies import decode_body
from service.media.multipart import encode_multipart
from service.media.npy import encode_npy
from service.media.types import JSON, NPY, RAW, parse_media_type
from service.routers import analyses, cycles, downloads, sessions
from tests.service_http.bodies import ensemble, new_session
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.servers import PATIENCE, Server, in_process

MOST_ROUND_TRIPS = 2
# Nobody comes by to look after jobs.
ALONE = {"KEEP_ANALYSES": "2", "JOB_WORKERS": "0"}
NAMES = ("forecast_states", "simulated_measurements", "observation")


def multipart(arrays: dict[str, np.ndarray]) -> tuple[str, bytes]:
    return encode_multipart(
        [(k, "application/octet-stream", encode_npy(v)) for k, v in arrays.items()]
    )


async def test_a_cycle_over_http_costs_few_round_trips_to_redis(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    """Every one of a hundred members' arrays included, whatever the form."""
    kind, body = multipart(ensemble(100, 40, 20))
    async with Proxy(own_redis.port) as proxy:
        server = Server(tmp_path, STORE_URL=proxy.url, **ALONE)
        await anyio.to_thread.run_sync(server.start)
        try:
            fields = {"state_dim": 40, "measurement_dim": 20}
            with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
                session = await anyio.to_thread.run_sync(
                    lambda: new_session(http, **fields)
                )

                def put(k: int) -> int:
                    answer = http.put(
                        f"/v1/sessions/{session}/cycles/{k}",
                        content=body,
                        headers={"Content-Type": kind, "Accept": NPY},
                    )
                    return answer.status_code

                assert await anyio.to_thread.run_sync(put, 1) == 201
                trips = []
                for k in range(2, 7):
                    before = proxy.round_trips
                    assert await anyio.to_thread.run_sync(put, k) == 201
                    trips.append(proxy.round_trips - before)
                assert 0 < median(trips) <= MOST_ROUND_TRIPS, trips
        finally:
            await anyio.to_thread.run_sync(server.stop)


async def test_a_cycle_of_numbers_goes_through_a_thread_once(
    own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the analysis; to read, store or write its arrays takes less than that."""
    kind, body = multipart(ensemble(100, 40, 20))
    hops: list[str] = []
    run = anyio.to_thread.run_sync

    async def counted(function: Any, *args: Any, **how: Any) -> Any:
        hops.append(getattr(function, "__name__", repr(function)))
        return await run(function, *args, **how)

    async with in_process(tmp_path, store_url=own_redis.url, job_workers=0) as client:
        fields = {"state_dim": 40, "measurement_dim": 20}
        made = await client.post("/v1/sessions", json=fields)
        monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
        for form in (NPY, RAW):
            place = f"{made.headers['location']}/cycles/{1 + len(hops)}"
            headers = {"Content-Type": kind, "Accept": form}
            answer = await client.put(place, content=body, headers=headers)
            assert answer.status_code == 201, answer.text
        assert hops == ["run_job", "run_job"]


def peak(call: object) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert callable(call)
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_multipart_body_is_decoded_with_one_copy() -> None:
    """The arrays themselves, which are one copy: none beside it of the whole body."""
    arrays = ensemble(1000, 500, 20)
    kind, body = multipart(arrays)
    media = parse_media_type(kind)
    held = peak(lambda: decode_body(media, body, NAMES))
    assert held < 1.4 * len(body)


@pytest.mark.parametrize(("media_type", "times"), [(NPY, 1.1), (RAW, 1.1), (JSON, 5.4)])
def test_answers_are_encoded_with_few_copies(media_type: str, times: float) -> None:
    samples = np.random.default_rng(0).standard_normal((1000, 500))
    held = peak(
        lambda: encode_answer(media_type, samples, name="analysis_samples", facts={})
    )
    assert held < times * samples.nbytes


@pytest.mark.parametrize("routers", [analyses, cycles, downloads, sessions])
def test_no_dependency_of_an_endpoint_goes_through_a_thread(routers: Any) -> None:
    """A plain function would: it was four hops between threads for every request."""
    seen = 0
    for route in routers.router.routes:
        for dependency in route.dependant.dependencies:
            assert inspect.iscoroutinefunction(dependency.call), dependency.call
            seen += 1
    assert seen >= 3


@pytest.mark.parametrize("params", [1_000, 100_000])
async def test_much_json_beside_numbers_is_read_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: int
) -> None:
    """A hundred kilobytes of it can hold all others up for a hundredth of a second."""
    parts = [("params", JSON, b'{"seed": 1}' + b" " * params)]
    parts += [(name, NPY, encode_npy(it)) for name, it in ensemble(10, 2, 1).items()]
    kind, body = encode_multipart(parts)
    hops: list[str] = []
    run = anyio.to_thread.run_sync

    async def counted(function: Any, *args: Any, **how: Any) -> Any:
        hops.append(getattr(function, "__name__", repr(function)))
        return await run(function, *args, **how)

    async with in_process(tmp_path, job_workers=0) as client:
        monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
        headers = {"Content-Type": kind}
        answer = await client.post("/v1/analyses", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert any("decode_body" in hop for hop in hops) == (params > 16_000)
