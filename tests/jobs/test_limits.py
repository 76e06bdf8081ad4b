"""How long jobs may run, and how long they are kept."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from tests.jobs.conftest import ended, long_body, submitted
from tests.service_http.bodies import json_bytes
from tests.support.servers import PATIENCE, serving


def test_jobs_have_their_time(tmp_path: Path) -> None:
    settings = {"JOB_DEADLINE_SECONDS": "1", "JOB_TTL_SECONDS": "2"}
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
