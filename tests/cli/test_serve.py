"""``ccdm serve``: says where it is, answers there, and ends when told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import PATIENCE, Ccdm, surroundings


class Served:
    """A running ``ccdm serve`` and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.url = self.wait_for(r"Listening on\s+(\S+)").replace(
            "0.0.0.0", "127.0.0.1"
        )
        httpx.get(f"{self.url}/livez", timeout=PATIENCE).raise_for_status()

    @property
    def said(self) -> str:
        """Everything it wrote so far."""
        return self._log.read_text()

    def wait_for(self, pattern: str) -> str:
        """The first group of a pattern, as soon as it was written."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(pattern, self.said):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(self.said)


@contextmanager
def served(folder: Path, *words: str, **environment: str) -> Iterator[Served]:
    """``ccdm serve`` for the length of a block."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", *words],
            env=surroundings(folder / "home") | environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield Served(process, log)
    finally:
        process.kill()
        process.wait(PATIENCE)


def test_it_says_where_it_is_and_answers_there(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/here.sqlite"
    with served(tmp_path, "--store", store) as running:
        assert f"{tmp_path}/here.sqlite" in running.said
        assert f"{running.url}/docs" in running.said
        assert f"{running.url}/dashboard" in running.said
        assert "API key" not in running.said
        assert httpx.get(f"{running.url}/docs", timeout=PATIENCE).status_code == 200
        ready = httpx.get(f"{running.url}/readyz", timeout=PATIENCE).json()
        assert ready["status"] == "ready"
    assert (tmp_path / "here.sqlite").exists()


def test_by_default_sessions_are_in_the_user_s_data_folder(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        assert str(tmp_path / "home" / "ccdm") in running.said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_when_told_to(tmp_path: Path, workers: str) -> None:
    with served(tmp_path, "--workers", workers) as running:
        for _ in range(6):
            assert httpx.get(f"{running.url}/readyz", timeout=PATIENCE).is_success
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(30)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/livez", timeout=5)


def test_a_killed_service_frees_its_port_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        port = running.url.rpartition(":")[2]
        # Worker processes are up by now; none may hold on to the socket.
        running.wait_for(r'("event": "store")')
        time.sleep(1.0)
        running.process.kill()
        running.process.wait(PATIENCE)
        with socket.socket() as taker:
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind(("127.0.0.1", int(port)))
            taker.listen()


def test_beyond_loopback_a_key_is_made_once_and_asked_for(tmp_path: Path) -> None:
    body = {
        "forecast_states": [[0.0], [1.0], [2.0]],
        "simulated_measurements": [[0.0], [1.0], [2.0]],
        "observation": [1.0],
    }
    with served(tmp_path, "--host", "0.0.0.0") as running:
        key = running.wait_for(r"API key\s+(ccdm_\S+)")
        address = f"{running.url}/v1/analyses"
        assert httpx.post(address, json=body, timeout=PATIENCE).status_code == 401
    with served(tmp_path, "--host", "0.0.0.0") as running:
        address = f"{running.url}/v1/analyses"
        headers = {"Authorization": f"Bearer {key}"}
        done = httpx.post(address, json=body, headers=headers, timeout=PATIENCE)
        assert done.status_code == 200
        assert "API key       required" in running.said
        assert key not in running.said
    kept = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert kept
    assert not any(key.encode() in file.read_bytes() for file in kept)


def test_what_keeps_it_from_starting_is_told(ccdm: Ccdm, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ccdm("serve", "--port", port, code=1)
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    done = ccdm("serve", code=2, CCDM_MAX_MEMBERS="many")
    assert "CCDM_MAX_MEMBERS" in done.stderr
    done = ccdm("serve", "--port", "0", code=2, CCDM_API_KEYS="a b")
    assert "API keys" in done.stderr
    done = ccdm("serve", "--port", "0", code=2, CCDM_MAX_QUEUE="1")
    assert "CCDM_MAX_QUEUE is no setting" in done.stderr
    assert "CCDM_MAX_QUEUED" in done.stderr
    done = ccdm("serve", "--port", "0", code=2, CCDM_API_KEY="for-clients-alone")
    assert "CCDM_API_KEYS" in done.stderr
    short = {"CCDM_API_KEYS": "team:fifteen-letters"[:-1]}
    done = ccdm("serve", "--port", "0", "--host", "0.0.0.0", code=2, **short)
    assert "fewer than 16 characters" in done.stderr
    assert "fifteen" not in done.stderr
    done = ccdm("serve", "--store", "oracle://somewhere", code=2)
    assert "store" in done.stderr


def test_passwords_of_stores_are_not_shown(tmp_path: Path) -> None:
    with served(tmp_path, "--store", "redis://me:hunter2@127.0.0.1:1/0") as running:
        assert "hunter2" not in running.said
        assert "redis://me:***@127.0.0.1:1/0" in running.said


def test_blas_is_capped_before_numpy_is_loaded() -> None:
    code = (
        "import sys, service.cli\n"
        "assert 'numpy' not in sys.modules\n"
        "service.cli.cap_threads()\n"
        "import numpy, threadpoolctl\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    )
    environment = surroundings(Path(os.devnull))
    for asked, got in ((None, "{1}"), ("2", "{2}")):
        own = {} if asked is None else {"OPENBLAS_NUM_THREADS": asked}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | own,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stdout.strip() == got, done.stderr
