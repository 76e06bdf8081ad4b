"""Two services on one Redis behind nginx: no request minds which of them answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest

from reliability.races import race
from tests.jobs.conftest import ASYNC, ended, long_body, submitted
from tests.service_http.bodies import JSON, json_bytes, new_session
from tests.support.nginx import check, find_nginx, proxied, written
from tests.support.redis import RedisServer
from tests.support.servers import PATIENCE, Server, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_nginx() is None, reason="needs nginx: apt-get install nginx"
    ),
]


@dataclass
class Replicas:
    """A proxy, and what is behind it."""

    url: str
    servers: list[Server]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Two services on one Redis, with one worker for jobs each."""
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis", appendonly="yes"))
        servers = []
        for number in range(2):
            own = folder / str(number)
            own.mkdir()
            settings = {"STORE_URL": redis.url, "HEARTBEAT_SECONDS": "1"}
            servers.append(stack.enter_context(serving(own, **settings)))
        urls = [server.url for server in servers]
        yield Replicas(stack.enter_context(proxied(folder / "nginx", urls)), servers)


@pytest.fixture
def http(replicas: Replicas) -> Iterator[httpx.Client]:
    """A client of the proxy; every request over a connection of its own."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=replicas.url, timeout=PATIENCE, limits=limits) as client:
        yield client


def test_the_configuration_is_one(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    path = written(tmp_path, urls, 3)
    found = check(path)
    assert found.returncode == 0, found.stderr
    path.write_text(path.read_text().replace("least_conn", "leastconn"))
    assert check(path).returncode != 0


def test_both_answer_and_cycles_go_to_either(
    http: httpx.Client, replicas: Replicas
) -> None:
    path = f"/v1/sessions/{new_session(http)}/cycles"
    before = [_answered(server) for server in replicas.servers]
    first: dict[int, bytes] = {}
    for k in range(1, 9):
        answer = http.put(f"{path}/{k}", content=json_bytes(), headers=JSON)
        assert answer.status_code == 201, answer.text
        first[k] = answer.content
    after = [_answered(server) for server in replicas.servers]
    assert all(b < a for b, a in zip(before, after, strict=True)), (before, after)
    for k, content in first.items():
        for server in replicas.servers:
            again = httpx.put(
                f"{server.url}{path}/{k}", content=json_bytes(), headers=JSON
            )
            assert (again.status_code, again.content) == (200, content)
            other = httpx.put(
                f"{server.url}{path}/{k}",
                content=json_bytes(observation=[9.0]),
                headers=JSON,
            )
            assert other.status_code == 409


def _answered(server: Server) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    lines = [line for line in text.splitlines() if 'method="PUT"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_exactly_one_result_each_round(replicas: Replicas) -> None:
    found = await race([replicas.url], "redis", 20, 4)
    assert (found.requests, found.results) == (80, 4)
    assert found.replays == found.conflicts == 38
    assert (found.others, found.not_one, found.different) == (0, 0, 0)


def test_a_job_is_seen_from_both_and_events_come_at_once(
    http: httpx.Client, replicas: Replicas
) -> None:
    headers, body = long_body()
    job = submitted(http, body, headers)
    with http.stream("GET", f"/v1/jobs/{job}/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        view = orjson.loads(next(lines)[6:])
        while view["status"] != "running":
            view = orjson.loads(next(lines)[6:])
        for server in replicas.servers:
            found = httpx.get(f"{server.url}/v1/jobs/{job}").json()
            assert found["status"] == "running"
        asked = time.monotonic()
        # By the one that does not run it, as often as not.
        assert http.delete(f"/v1/jobs/{job}").status_code == 200
        assert orjson.loads(next(lines)[6:])["status"] == "dismissed"
        assert time.monotonic() - asked < 5
    same = f"/v1/sessions/{new_session(http)}/cycles/1"
    jobs = {
        http.put(same, content=json_bytes(), headers=JSON | ASYNC).json().get("jobID")
        for _ in range(2)
    }
    (only,) = jobs - {None}
    assert ended(http, only)["status"] == "successful"


def test_it_is_the_service_that_refuses(http: httpx.Client) -> None:
    body = b" " * (65 * 2**20)
    answer = http.post("/v1/analyses", content=body, headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["limit_name"] == "max_body_bytes"


# The last one: it leaves one service fewer.
def test_one_of_them_is_killed(http: httpx.Client, replicas: Replicas) -> None:
    path = f"/v1/sessions/{new_session(http)}/cycles"
    for k in range(1, 9):
        if k == 4:
            replicas.servers[0].kill()
        answer = http.put(f"{path}/{k}", content=json_bytes(), headers=JSON)
        assert answer.status_code in (200, 201), answer.text
    assert http.get(path).json()["current_cycle"] == 8
