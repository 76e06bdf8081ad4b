"""``ccdm worker`` beside a service, killed and cut off in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.jobs.conftest import ASYNC, ended
from tests.jobs.test_survival import Start, client, lasting, running, sessions, start
from tests.support.redis import RedisServer, free_port
from tests.support.servers import PATIENCE, Server, started_worker

__all__ = ["start"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Work = Callable[[Server], subprocess.Popen[bytes]]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Starts workers on the store of a service."""
    with ExitStack() as stack:
        yield lambda server: started_worker(stack, tmp_path, server.settings)


def submitted_cycle(http: httpx.Client) -> tuple[str, bytes]:
    """A cycle as a job, and the answer that it would have had."""
    headers, body = lasting()
    path, twin = sessions(http)
    waited = http.put(twin, content=body, headers=headers)
    answer = http.put(path, content=body, headers=headers | ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()["jobID"], waited.content


def test_a_worker_killed_in_the_middle(start: Start, work: Work) -> None:
    server = start(JOB_WORKERS="0")
    with client(server) as http:
        job, waited = submitted_cycle(http)
        time.sleep(1.5)
        # The service itself leaves it alone.
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "accepted"
        first = work(server)
        running(http, job)
        first.kill()
        work(server)
        done = ended(http, job)
        assert (done["status"], done["attempt"]) == ("successful", 2)
        assert http.get(f"/v1/jobs/{job}/results").content == waited


def test_a_worker_that_is_told_to_stop_hands_over(
    start: Start, work: Work, tmp_path: Path
) -> None:
    server = start(JOB_WORKERS="0", JOB_LEASE_SECONDS="600")
    with client(server) as http:
        job, waited = submitted_cycle(http)
        first = work(server)
        running(http, job)
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE) == 0
        work(server)
        done = ended(http, job)
        assert (done["status"], done["attempt"]) == ("successful", 1)
        assert http.get(f"/v1/jobs/{job}/results").content == waited
        log, end = tmp_path / "worker.log", time.monotonic() + PATIENCE

        def told(status: str) -> int:
            lines = [line for line in log.read_text().splitlines() if line[:1] == "{"]
            facts = [json.loads(line) for line in lines]
            wanted = {"event": "job", "job": job, "kind": "cycle", "tenant": "default"}
            return sum(
                wanted.items() | {("status", status)} <= found.items()
                for found in facts
            )

        while not told("successful"):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        # Taken by both, ended by one; each in a line.
        assert told("running") == 2


def test_a_worker_shows_how_it_is(tmp_path: Path) -> None:
    port = free_port()
    settings = {"STORE_URL": f"sqlite:///{tmp_path}/s.sqlite"}
    with ExitStack() as stack:
        started_worker(stack, tmp_path, settings, "--metrics-port", str(port))
        end, text = time.monotonic() + PATIENCE, ""
        while "ccdm_store_called_seconds_count" not in text:
            assert time.monotonic() < end, (tmp_path / "worker.log").read_text()
            time.sleep(0.2)
            with suppress(httpx.TransportError):
                text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert "ccdm_jobs_due 0.0" in text and "ccdm_build_info" in text


def test_redis_restarted_in_the_middle(
    own_redis: RedisServer, tmp_path: Path, work: Work
) -> None:
    own_redis.configure(appendfsync="always")
    settings = {"STORE_URL": own_redis.url, "JOB_WORKERS": "0"}
    server = Server(tmp_path, **settings, JOB_LEASE_SECONDS="3").start()
    try:
        with client(server) as http:
            job, waited = submitted_cycle(http)
            work(server)
            running(http, job)
            own_redis.kill()
            time.sleep(1.0)
            assert http.get(f"/v1/jobs/{job}").status_code == 503
            own_redis.start()
            end = time.monotonic() + PATIENCE
            while http.get(f"/v1/jobs/{job}").status_code == 503:
                assert time.monotonic() < end
                time.sleep(0.2)
            assert ended(http, job)["status"] == "successful"
            assert http.get(f"/v1/jobs/{job}/results").content == waited
    finally:
        server.stop()
