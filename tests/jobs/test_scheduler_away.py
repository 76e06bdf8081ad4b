"""A service whose Dask scheduler is away: who waits for it, and who is told."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.cli.demo.processes import free_port
from service.media.bodies import encode_body
from tests.cli.conftest import Ccdm, ccdm
from tests.jobs.conftest import ended, submitted
from tests.service_http.bodies import JSON, ensemble, json_bytes
from tests.support.servers import PATIENCE, Server, serving

__all__ = ["ccdm"]
pytest.importorskip("distributed")
KEYS = {name: f"{name}-sixteen-characters-long" for name in "ab"}


@pytest.fixture(scope="module")
def port() -> int:
    """Where nobody listens."""
    return free_port()


@pytest.fixture(scope="module")
def server(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one worker for jobs, of two tenants."""
    keys = ",".join(f"{name}+read+write:{secret}" for name, secret in KEYS.items())
    settings = {"COMPUTE": f"dask://127.0.0.1:{port}", "API_KEYS": keys}
    with serving(tmp_path_factory.mktemp("away"), **settings) as running:
        yield running


def in_parts() -> tuple[dict[str, str], bytes]:
    """An analysis of several parts, which a scheduler would be given."""
    arrays = ensemble(3000, 10, 1)
    options = {
        "preconditioner": "none",
        "state_bandwidth": 0.4,
        "measurement_bandwidth": 3.0,
        "shrink": False,
        "n_samples": 20_000,
    }
    media, body = encode_body(arrays, {"options": options, "seed": 1})
    return {"Content-Type": media}, body


def client(server: Server, tenant: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEYS[tenant]}"}
    return httpx.Client(base_url=server.url, timeout=PATIENCE, headers=headers)


@pytest.mark.slow
def test_a_large_job_waits_out_of_the_way_and_says_for_what(
    server: Server, port: int
) -> None:
    with client(server, "a") as a, client(server, "b") as b:
        headers, body = in_parts()
        large = submitted(a, body, headers)
        while a.get(f"/v1/jobs/{large}").json()["status"] == "accepted":
            time.sleep(0.02)
        assert ended(b, submitted(b, json_bytes(), JSON))["status"] == "successful"
        view = a.get(f"/v1/jobs/{large}").json()
        assert view["status"] == "running"
        assert view["message"].startswith("waiting: The Dask scheduler or its workers")
        # Where it is concerns nobody but the operator.
        assert str(port) not in view["message"]
        a.delete(f"/v1/jobs/{large}").raise_for_status()


def test_readiness_names_the_scheduler_and_goes_on(server: Server, port: int) -> None:
    answer = httpx.get(f"{server.url}/readyz", timeout=PATIENCE)
    ready = answer.json()
    assert (answer.status_code, ready["status"]) == (200, "degraded")
    found = ready["checks"][-1]
    assert (found["name"], found["ok"]) == ("compute", False)
    assert "The Dask scheduler is away" in found["detail"]
    # Anybody may ask; where it is concerns nobody but the operator.
    assert str(port) not in answer.text


def test_readiness_once_something_listens_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        where = f"dask://127.0.0.1:{listening.getsockname()[1]}"
        with serving(tmp_path, COMPUTE=where) as server:
            ready = httpx.get(f"{server.url}/readyz", timeout=PATIENCE).json()
    assert (ready["status"], ready["checks"][-1]["ok"]) == ("ready", True)


@pytest.mark.slow
def test_check_looks_at_the_scheduler(ccdm: Ccdm, port: int, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/s.sqlite"
    where = f"dask://127.0.0.1:{port}"
    done = ccdm("check", "--store", store, code=1, CCDM_COMPUTE=where)
    found = re.search(r"^failed\s+compute\s.*is\s+away", done.stdout, re.M)
    assert found, done.stdout
    assert "1 failed" in done.stdout
