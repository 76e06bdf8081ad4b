"""How long jobs may run, and how long they are kept."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.media.bodies import encode_body
from service.settings import Settings
from tests.jobs.conftest import ASYNC, ended, long_body, submitted
from tests.service_http.bodies import JSON, ensemble, json_bytes, new_session
from tests.support.servers import PATIENCE, serving


def test_jobs_have_their_time(tmp_path: Path) -> None:
    settings = {
        "JOB_DEADLINE_SECONDS": "1",
        "JOB_TTL_SECONDS": "2",
        "JOB_LEASE_SECONDS": "1",
    }
    with (
        serving(tmp_path, **settings) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        headers, body = long_body()
        late = submitted(http, body, headers)
        assert ended(http, late)["status"] == "failed"
        result = http.get(f"/v1/jobs/{late}/results")
        assert result.json()["type"] == "/problems/deadline-exceeded"
        done = submitted(http, json_bytes())
        assert ended(http, done)["status"] == "successful"
        time.sleep(2.5)
        gone = http.get(f"/v1/jobs/{done}/results")
        assert (gone.status_code, gone.json()["reason"]) == (410, "expired")
        assert http.get("/v1/jobs").json()["jobs"] == []


def test_a_job_is_not_kept_for_less_than_a_lease() -> None:
    with pytest.raises(ValidationError, match="CCDM_JOB_TTL_SECONDS, 2: a job"):
        Settings(store_url="sqlite:///unused", job_ttl_seconds=2)


def test_a_client_may_give_a_job_less_time(tmp_path: Path) -> None:
    soon = {"Ccdm-Timeout": "0.5"}
    with (
        serving(tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        headers, body = long_body()
        late = submitted(http, body, headers | soon)
        place = f"/v1/sessions/{new_session(http)}"
        cycle = http.put(
            f"{place}/cycles/1", content=json_bytes(), headers=JSON | ASYNC | soon
        )
        assert cycle.status_code == 202, cycle.text
        assert ended(http, late)["status"] == "failed"
        problem = http.get(f"/v1/jobs/{late}/results").json()
        assert problem["type"] == "/problems/deadline-exceeded"
        assert "within 0.5 seconds" in problem["detail"]
        # The time of one that waits for its turn does not run.
        assert ended(http, cycle.json()["jobID"])["status"] == "successful"
        bad = JSON | ASYNC | {"Ccdm-Timeout": "soon"}
        refused = http.post("/v1/analyses", content=json_bytes(), headers=bad)
        assert refused.status_code == 422


def test_a_long_job_does_not_make_requests_wait_for_its_end(tmp_path: Path) -> None:
    with (
        serving(tmp_path, MAX_RUNNING="1") as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        headers, body = long_body()
        job = submitted(http, body, headers)
        while http.get(f"/v1/jobs/{job}").json()["status"] != "running":
            time.sleep(0.05)
        time.sleep(0.5)
        kind, larger = encode_body(ensemble(1000, 10, 2), {})
        for type_, content in ((JSON["Content-Type"], json_bytes()), (kind, larger)):
            answer = http.post(
                "/v1/analyses",
                content=content,
                headers={"Content-Type": type_, "Ccdm-Timeout": "30"},
            )
            assert answer.status_code == 200, answer.text
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"
        http.delete(f"/v1/jobs/{job}")


def test_jobs_of_a_tenant_have_a_room_of_their_own(tmp_path: Path) -> None:
    settings = {"MAX_TENANT_BYTES": "4000", "JOB_WORKERS": "0"}
    with (
        serving(tmp_path, **settings) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        jobs: list[str] = []
        post = lambda: http.post(  # noqa: E731
            "/v1/analyses", content=json_bytes(), headers=JSON | ASYNC
        )
        while (answer := post()).status_code == 202:
            jobs.append(answer.json()["jobID"])
            assert len(jobs) < 50
        assert answer.status_code == 507
        problem = answer.json()
        assert problem["limit_name"] == "max_tenant_bytes"
        assert "bytes of jobs" in problem["detail"]
        for told in (problem["detail"], problem["remedy"]):
            assert "Delete jobs" in told
            assert "sessions" not in told
        # Sessions are not counted with them.
        assert new_session(http)
        for _ in ("dismiss", "delete"):
            http.delete(f"/v1/jobs/{jobs[0]}").raise_for_status()
        assert post().status_code == 202
