"""Four processes that may die under a job on a cluster: it ends right, and once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.media.bodies import encode_body
from tests.jobs.conftest import ASYNC, ended
from tests.scale.cluster import Cluster, running
from tests.service_http.bodies import new_session
from tests.support.redis import RedisServer
from tests.support.servers import PATIENCE, Server, serving, started_worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

pytest.importorskip("distributed")

DX, MEMBERS = 5, 5000
# Kernels as given, for a cycle of some seconds on a fast machine, in parts.
OPTIONS: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 3.0,
    "shrink": False,
    "n_samples": 100_000,
}


def cycle() -> tuple[dict[str, str], bytes]:
    rng = np.random.default_rng(11)
    states = rng.standard_normal((MEMBERS, DX))
    arrays = {
        "forecast_states": states,
        "simulated_measurements": states[:, :1] + rng.standard_normal((MEMBERS, 1)),
        "observation": np.array([0.3]),
    }
    kind, body = encode_body(arrays, {"options": OPTIONS})
    return {"Content-Type": kind}, body


class Place:
    """A Redis, a cluster of two workers, and services and queue workers on both."""

    def __init__(self, folder: Path, redis: RedisServer, cluster: Cluster) -> None:
        self.folder, self.redis, self.cluster = folder, redis, cluster
        self._stack = ExitStack()
        self._started = 0

    @property
    def settings(self) -> dict[str, str]:
        return {
            "STORE_URL": self.redis.url,
            "COMPUTE": self.cluster.setting,
            "JOB_LEASE_SECONDS": "5",
        }

    def service(self, slots: int) -> Server:
        """One more service, doing so many jobs itself."""
        self._started += 1
        own = self.folder / f"service-{self._started}"
        own.mkdir()
        server = Server(own, **self.settings, JOB_WORKERS=str(slots)).start()
        self._stack.callback(server.stop)
        return server

    def worker(self) -> subprocess.Popen[bytes]:
        """One more ``ccdm worker``."""
        return started_worker(self._stack, self.folder, self.settings)

    def close(self) -> None:
        """End what was started here."""
        self._stack.close()


@pytest.fixture(scope="module")
def common(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RedisServer, Cluster]]:
    folder = tmp_path_factory.mktemp("survival")
    settings = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(folder / "redis", **settings) as redis, running(folder) as cluster:
        yield redis, cluster


@pytest.fixture
def place(tmp_path: Path, common: tuple[RedisServer, Cluster]) -> Iterator[Place]:
    place = Place(tmp_path, *common)
    try:
        yield place
    finally:
        place.close()


Victim = tuple[Server, Callable[[], Server], int]


@pytest.fixture(scope="module")
def expected(
    common: tuple[RedisServer, Cluster], tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The answer of a service that has no cluster."""
    headers, body = cycle()
    with (
        serving(tmp_path_factory.mktemp("alone"), STORE_URL=common[0].url) as server,
        httpx.Client(base_url=server.url, timeout=2 * PATIENCE) as http,
    ):
        answer = http.put(f"{cycles(http)}/1", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.content


def cycles(http: httpx.Client) -> str:
    """Address of the cycles of a new session, all alike."""
    return f"/v1/sessions/{new_session(http, state_dim=DX, measurement_dim=1)}/cycles"


def a_worker_of_the_cluster(place: Place) -> Victim:
    server, victim = place.service(0), place.cluster.add_worker()
    place.worker()

    def lose() -> Server:
        victim.kill()
        return server

    return server, lose, 1


def the_worker_of_the_queue(place: Place) -> Victim:
    server, victim = place.service(0), place.worker()

    def lose() -> Server:
        victim.kill()
        place.worker()
        return server

    return server, lose, 2


def one_of_two_services(place: Place) -> Victim:
    """The one that does the job; the other one tells of it, a worker goes on."""
    one, two = place.service(1), place.service(0)

    def lose() -> Server:
        one.kill()
        place.worker()
        return two

    return one, lose, 2


def redis_for_a_second(place: Place) -> Victim:
    server = place.service(0)
    place.worker()

    def lose() -> Server:
        place.redis.kill()
        time.sleep(1.0)
        place.redis.start()
        return server

    return server, lose, 1


def in_the_middle(http: httpx.Client, job: str) -> None:
    end = time.monotonic() + 2 * PATIENCE
    while not 0 < (told := http.get(f"/v1/jobs/{job}").json())["progress"] < 90:
        assert told["status"] in ("accepted", "running"), "it ended too soon to be hit"
        assert time.monotonic() < end
        time.sleep(0.05)


def back(http: httpx.Client, job: str) -> None:
    end = time.monotonic() + PATIENCE
    while http.get(f"/v1/jobs/{job}").status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.parametrize(
    "victim",
    [
        a_worker_of_the_cluster,
        the_worker_of_the_queue,
        one_of_two_services,
        redis_for_a_second,
    ],
)
def test_a_job_ends_right_and_once_without(
    victim: Callable[[Place], Victim], place: Place, expected: bytes
) -> None:
    server, lose, attempts = victim(place)
    headers, body = cycle()
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        path = cycles(http)
        asked = http.put(f"{path}/1", content=body, headers=headers | ASYNC)
        job = asked.json()["jobID"]
        in_the_middle(http, job)
    with httpx.Client(base_url=lose().url, timeout=PATIENCE) as http:
        back(http, job)
        done = ended(http, job)
        assert (done["status"], done["attempt"]) == ("successful", attempts), done
        assert http.get(f"/v1/jobs/{job}/results").content == expected
        again = http.put(f"{path}/1", content=body, headers=headers)
        assert (again.status_code, again.content) == (200, expected)
        assert http.get(path).json()["current_cycle"] == 1
