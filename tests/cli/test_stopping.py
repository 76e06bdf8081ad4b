"""Ending in order, and never leaving anything behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import PATIENCE
from tests.cli.test_serve import Served, served
from tests.service_http.heavy import HEAVY

pytestmark = pytest.mark.alone


def heavy(running: Served, seconds: float) -> httpx.Response:
    """An analysis that runs until its own deadline."""
    headers = {"Content-Type": HEAVY[0], "Ccdm-Timeout": f"{seconds:g}"}
    return httpx.post(
        f"{running.url}/v1/analyses",
        content=HEAVY[1],
        headers=headers,
        timeout=PATIENCE,
    )


def until_running(running: Served) -> None:
    """Wait until a worker works."""
    end = time.monotonic() + PATIENCE
    while " 1 of " not in f" {ready(running).json()['checks'][1]['detail']}":
        assert time.monotonic() < end
        time.sleep(0.02)


def ready(running: Served) -> httpx.Response:
    """What /readyz says."""
    return httpx.get(f"{running.url}/readyz", timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_running_requests_finish_while_readiness_is_withdrawn(
    tmp_path: Path, workers: str
) -> None:
    with (
        served(tmp_path, "--workers", workers, CCDM_DRAIN_SECONDS="1.5") as running,
        ThreadPoolExecutor(1) as pool,
    ):
        pending = pool.submit(heavy, running, 4.0)
        if workers == "1":
            until_running(running)
        else:
            time.sleep(2.0)
        running.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        while ready(running).status_code == 200:
            assert time.monotonic() < told + 1.0, "readiness is not withdrawn"
        checks = {item["name"]: item for item in ready(running).json()["checks"]}
        assert not checks["service"]["ok"] and checks["store"]["ok"]
        # New requests are still answered.
        assert httpx.get(f"{running.url}/livez", timeout=PATIENCE).status_code == 200
        # What ran is answered, though the port is closed by then.
        assert pending.result(PATIENCE).status_code == 504
        running.process.wait(PATIENCE)
        assert "Traceback" not in running.said


@pytest.mark.slow
def test_what_does_not_finish_is_cut_off(tmp_path: Path) -> None:
    limits = {"CCDM_DRAIN_SECONDS": "0", "CCDM_SHUTDOWN_SECONDS": "1"}
    with served(tmp_path, **limits) as running, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(heavy, running, 60.0)
        until_running(running)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(15)
        with pytest.raises(httpx.HTTPError):
            pending.result(PATIENCE).raise_for_status()


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with served(tmp_path, CCDM_DRAIN_SECONDS="60") as running:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(15)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_workers_of_a_killed_service_free_its_port(tmp_path: Path) -> None:
    with served(tmp_path, "--workers", "2") as running:
        for _ in range(6):
            assert ready(running).is_success
        port = int(running.url.rpartition(":")[2])
        family = descendants(running.process.pid)
        assert len(family) >= 2
        running.process.kill()
        running.process.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while left := [pid for pid in family if alive(pid)]:
            assert time.monotonic() < end, f"{left} go on"
            time.sleep(0.05)
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind(("127.0.0.1", port))
            taker.listen()


def descendants(pid: int) -> list[int]:
    """Children of a process, theirs, and so on."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
