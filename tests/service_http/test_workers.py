"""Worker processes: killed with their work, and never left behind."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.service_http.bodies import JSON, json_bytes
from tests.service_http.heavy import heavy, until_idle, workers
from tests.support.servers import PATIENCE, Server, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/task").exists(), reason="reads /proc to see processes"
    ),
]


def children(pid: int) -> list[int]:
    """Worker processes of a service."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = " ".join((task / "children").read_text() for task in tasks)
    return [int(item) for item in found.split()]


def until_running(server: Server) -> None:
    """Wait until the one worker works."""
    end = time.monotonic() + PATIENCE
    while not workers(server).startswith("1 of 1 running"):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_work_stops_when_its_client_leaves(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_RUNNING="1") as patient:
        with pytest.raises(httpx.ReadTimeout):
            heavy(patient, timeout=1.0)
        # The deadline is five minutes away; only the client's leaving can end it.
        until_idle(patient, 5.0)
        assert "failure" not in patient.log.read_text()


def test_a_worker_that_dies_takes_only_its_request_along(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_RUNNING="1") as server, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(heavy, server)
        until_running(server)
        killed: set[int] = set()
        # The first is replaced; when that dies too, the client is told to come back.
        while not pending.done():
            for worker in set(children(server.pid)) - killed:
                killed.add(worker)
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.02)
        answer = pending.result(PATIENCE)
        assert len(killed) >= 2
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/too-busy"
        assert answer.headers["retry-after"] == "1"
        until_idle(server, 5.0)
        done = httpx.post(
            f"{server.url}/v1/analyses",
            content=json_bytes(),
            headers=JSON,
            timeout=PATIENCE,
        )
        assert done.status_code == 200


def test_workers_end_with_a_service_that_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_RUNNING="1") as server, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(heavy, server)
        until_running(server)
        # Time enough for the job to reach a worker that had to be started first.
        time.sleep(2.0)
        left = children(server.pid)
        assert left
        server.kill()
        with pytest.raises(httpx.TransportError):
            pending.result(PATIENCE)
        end = time.monotonic() + 10.0
        while any(_computes(pid) for pid in left):
            assert time.monotonic() < end, "a worker computes for nobody"
            time.sleep(0.1)


def _computes(pid: int) -> bool:
    """Whether a process lives; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
