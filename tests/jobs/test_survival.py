"""Killed in the middle: the job ends right, once, with the bytes of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.media.bodies import encode_body
from tests.jobs.conftest import ASYNC, ended, long_body, submitted
from tests.service_http.bodies import ensemble, json_bytes, new_session
from tests.support.redis import RedisServer
from tests.support.servers import PATIENCE, Server

Start = Callable[..., Server]
# Busy machines are slow to start services, and these tests start many.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
# A cycle that computes for two or three seconds.
OPTIONS = {
    "sampler": "rk45",
    "preconditioner": "none",
    "scaling": "none",
    "shrink": False,
    "state_bandwidth": 0.2,
    "measurement_bandwidth": 1e6,
    "max_bandwidth": 20.0,
    "n_samples": 1000,
}
DX, DY = 20, 2


@pytest.fixture(params=["sqlite", "redis"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts services over one store, of each kind."""
    url = f"sqlite:///{tmp_path}/sessions.sqlite"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("own_redis")
        url = redis.url
    with ExitStack() as stack:

        def started(**settings: str) -> Server:
            folder = tmp_path / f"service-{time.monotonic_ns()}"
            folder.mkdir()
            common = {"STORE_URL": url, "JOB_LEASE_SECONDS": "2"}
            server = Server(folder, **{**common, **settings}).start()
            stack.callback(server.stop)
            return server

        yield started


def client(server: Server) -> httpx.Client:
    """A plain HTTP client."""
    return httpx.Client(base_url=server.url, timeout=PATIENCE)


def lasting(seed: int = 1) -> tuple[dict[str, str], bytes]:
    """A cycle or an analysis that takes long enough to be killed in the middle."""
    arrays = ensemble(1000, DX, DY)
    kind, body = encode_body(arrays, {"options": OPTIONS})
    return {"Content-Type": kind}, body


def running(http: httpx.Client, job: str) -> None:
    """Wait until somebody works on a job."""
    end = time.monotonic() + PATIENCE
    while http.get(f"/v1/jobs/{job}").json()["status"] == "accepted":
        assert time.monotonic() < end
        time.sleep(0.02)


def sessions(http: httpx.Client) -> tuple[str, str]:
    """Addresses of the first cycle of two sessions that are alike."""
    a, b = (
        new_session(http, state_dim=DX, measurement_dim=DY, seed=7) for _ in range(2)
    )
    return f"/v1/sessions/{a}/cycles/1", f"/v1/sessions/{b}/cycles/1"


def test_a_restart_in_the_middle(start: Start) -> None:
    server = start()
    headers, body = lasting()
    with client(server) as http:
        path, twin = sessions(http)
        waited = http.put(twin, content=body, headers=headers)
        assert waited.status_code == 201, waited.text
        job = http.put(path, content=body, headers=headers | ASYNC).json()["jobID"]
        behind = submitted(http, json_bytes(seed=1))
        running(http, job)
    server.kill()
    with client(start()) as http:
        # What waited is there, and waits for nobody.
        assert ended(http, behind)["attempt"] == 1
        done = ended(http, job)
        assert (done["status"], done["attempt"]) == ("successful", 2)
        assert http.get(f"/v1/jobs/{job}/results").content == waited.content
        assert http.get(path).json()["cycle"] == 1


def test_a_restart_in_order_loses_no_time(start: Start) -> None:
    server = start(JOB_LEASE_SECONDS="600", SHUTDOWN_SECONDS="1")
    with client(server) as http:
        headers, body = long_body()
        job = submitted(http, body, headers)
        running(http, job)
    server.stop()
    with client(start(JOB_LEASE_SECONDS="600")) as http:
        running(http, job)
        end = time.monotonic() + 20
        while http.get(f"/v1/jobs/{job}").json()["attempt"] != 1:
            assert time.monotonic() < end
        http.delete(f"/v1/jobs/{job}")


def test_a_job_that_kills_its_workers_fails_in_the_end(start: Start) -> None:
    headers, body = long_body()
    server = start(JOB_ATTEMPTS="1", JOB_LEASE_SECONDS="1")
    with client(server) as http:
        job = submitted(http, body, headers)
        running(http, job)
    server.kill()
    with client(start(JOB_ATTEMPTS="1", JOB_LEASE_SECONDS="1")) as http:
        assert ended(http, job)["status"] == "failed"
        result = http.get(f"/v1/jobs/{job}/results")
        assert result.status_code == 500
        assert result.json()["type"] == "/problems/job-abandoned"


def test_another_service_takes_over_and_both_tell_of_it(start: Start) -> None:
    one, two = start(), start(JOB_WORKERS="0")
    headers, body = lasting()
    with client(two) as http:
        path, twin = sessions(http)
        waited = http.put(twin, content=body, headers=headers)
        job = http.put(path, content=body, headers=headers | ASYNC).json()["jobID"]
        running(http, job)
        with client(one) as other:
            assert other.get(f"/v1/jobs/{job}").json()["jobID"] == job
        one.kill()
        three = start()
        done = ended(http, job)
        assert (done["status"], done["attempt"]) == ("successful", 2)
        with client(three) as other:
            result = other.get(f"/v1/jobs/{job}/results")
        assert result.content == waited.content


def test_a_worker_that_comes_back_too_late_changes_nothing(start: Start) -> None:
    import os
    import signal

    one = start()
    headers, body = lasting()
    two = start(JOB_WORKERS="0")
    with client(two) as http:
        job = submitted(http, body, headers)
        running(http, job)
        # It stands still with its job for longer than the lease, as a machine does
        # that sleeps, and then goes on.
        os.kill(one.pid, signal.SIGSTOP)
        try:
            three = start()
            done = ended(http, job)
        finally:
            os.kill(one.pid, signal.SIGCONT)
        assert (done["status"], done["attempt"]) == ("successful", 2)
        result = http.get(f"/v1/jobs/{job}/results").content
        with client(one) as late:
            ended(late, submitted(late, json_bytes()))
        assert http.get(f"/v1/jobs/{job}").json() == done
        assert http.get(f"/v1/jobs/{job}/results").content == result
        three.stop()
