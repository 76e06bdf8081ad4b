"""A service over each store, and jobs of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.service_http.bodies import JSON
from tests.service_http.heavy import HEAVY
from tests.support.redis import RedisServer, own_redis, redis_server
from tests.support.servers import PATIENCE, Server, serving
from tests.support.stores import KINDS

__all__ = ["own_redis", "redis_server"]
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service with one worker for jobs."""
    settings = {}
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        with redis.client() as client:
            client.flushall()
        settings["STORE_URL"] = redis.url
    with serving(tmp_path_factory.mktemp("jobs"), **settings) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """A plain HTTP client of that service."""
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def busy(http: httpx.Client) -> Iterator[str]:
    """A job that keeps the worker busy for a while; it is dismissed in the end."""
    headers, body = long_body()
    job = submitted(http, body, headers)
    while http.get(f"/v1/jobs/{job}").json()["status"] == "accepted":
        time.sleep(0.02)
    yield job
    http.delete(f"/v1/jobs/{job}")


def long_body() -> tuple[dict[str, str], bytes]:
    """An analysis that takes longer than anybody waits."""
    return {"Content-Type": HEAVY[0]}, HEAVY[1]


def submitted(http: httpx.Client, body: bytes, headers: dict[str, str] = JSON) -> str:
    """The id of a new job."""
    answer = http.post("/v1/analyses", content=body, headers=headers | ASYNC)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["jobID"])


def ended(http: httpx.Client, job: str) -> dict[str, object]:
    """A job once it has ended."""
    end = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < end:
        view = http.get(f"/v1/jobs/{job}").json()
        if view["status"] not in ("accepted", "running"):
            return dict(view)
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {view}")
