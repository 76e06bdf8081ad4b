"""The life of a job, over both stores: as the API tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from service.media.bodies import encode_body
from service.media.npy import decode_npy
from tests.jobs.conftest import ASYNC, ended, submitted
from tests.service_http.bodies import JSON, STATES, ensemble, json_bytes, new_session
from tests.service_http.heavy import HEAVY
from tests.support.servers import PATIENCE, Server, serving

NPY = {"Accept": "application/x-npy"}


def test_an_analysis_gives_the_bytes_of_the_answer(http: httpx.Client) -> None:
    body = json_bytes(seed=3)
    waited = http.post("/v1/analyses", content=body, headers=JSON)
    answer = http.post("/v1/analyses", content=body, headers=JSON | ASYNC)
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['jobID']}"
    assert (job["status"], job["progress"], job["type"]) == ("accepted", 0, "process")
    done = ended(http, job["jobID"])
    assert (done["status"], done["progress"]) == ("successful", 100)
    assert done["attempt"] == 1
    assert done["created"] <= done["started"] <= done["finished"] <= done["updated"]
    where = f"/v1/jobs/{job['jobID']}/results"
    assert where in [link["href"] for link in done["links"]]
    result = http.get(where)
    assert (result.status_code, result.content) == (200, waited.content)
    assert result.headers["ccdm-seed"] == "3"
    binary = http.post("/v1/analyses", content=body, headers=JSON | NPY)
    assert http.get(where, headers=NPY).content == binary.content
    assert http.get(where, headers={"Accept": "image/png"}).status_code == 406


def test_a_seed_is_drawn_once(http: httpx.Client) -> None:
    job = submitted(http, json_bytes())
    ended(http, job)
    result = http.get(f"/v1/jobs/{job}/results").json()
    seed = result["diagnostics"]["seed"]
    again = http.post("/v1/analyses", content=json_bytes(seed=seed), headers=JSON)
    assert again.json()["analysis_samples"] == result["analysis_samples"]


def test_a_cycle_goes_through_its_session(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http, seed=7)}/cycles"
    twin = f"/v1/sessions/{new_session(http, seed=7)}/cycles"
    waited = http.put(f"{twin}/1", content=json_bytes(), headers=JSON)
    answer = http.put(f"{path}/1", content=json_bytes(), headers=JSON | ASYNC)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["processID"], job["cycle"]) == ("cycle", 1)
    assert ended(http, job["jobID"])["status"] == "successful"
    result = http.get(f"/v1/jobs/{job['jobID']}/results")
    assert result.content == waited.content
    # Now there is nothing to wait for: the answer comes at once.
    again = http.put(f"{path}/1", content=json_bytes(), headers=JSON | ASYNC)
    assert (again.status_code, again.content) == (200, waited.content)
    assert again.headers["ccdm-replayed"] == "true"
    assert "preference-applied" not in again.headers
    other = json_bytes(observation=[9.0])
    refused = http.put(f"{path}/1", content=other, headers=JSON | ASYNC)
    assert (refused.status_code, refused.json()["current_cycle"]) == (409, 1)
    early = http.put(f"{path}/3", content=json_bytes(), headers=JSON | ASYNC)
    assert early.status_code == 409


def test_a_gathered_cycle_can_be_a_job(http: httpx.Client) -> None:
    sid = new_session(http, initial_ensemble=STATES)
    path = f"/v1/sessions/{sid}/cycles/1"
    for member, state in enumerate(STATES):
        sent = {"forecast_state": state, "simulated_measurement": [state[0]]}
        assert http.put(f"{path}/members/{member}", json=sent).status_code == 201
    answer = http.put(path, json={"observation": [1.5]}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert ended(http, answer.json()["jobID"])["status"] == "successful"
    assert http.get(path).status_code == 200


def test_two_bodies_for_one_cycle_end_as_one_cycle(
    http: httpx.Client, busy: str
) -> None:
    path = f"/v1/sessions/{new_session(http)}/cycles/1"
    bodies = (json_bytes(), json_bytes(observation=[9.0]), json_bytes())
    jobs = [
        http.put(path, content=body, headers=JSON | ASYNC).json()["jobID"]
        for body in bodies
    ]
    # The same body again is the same job.
    assert jobs[0] == jobs[2] != jobs[1]
    http.delete(f"/v1/jobs/{busy}")
    states = [ended(http, job)["status"] for job in jobs]
    assert states == ["successful", "failed", "successful"]
    problem = http.get(f"/v1/jobs/{jobs[1]}/results")
    assert problem.status_code == 409
    assert problem.json()["type"] == "/problems/cycle-conflict"


def test_a_put_that_waits_overtakes_the_job(http: httpx.Client, busy: str) -> None:
    path = f"/v1/sessions/{new_session(http)}/cycles/1"
    job = http.put(path, content=json_bytes(), headers=JSON | ASYNC).json()["jobID"]
    waited = http.put(path, content=json_bytes(), headers=JSON)
    assert waited.status_code == 201
    http.delete(f"/v1/jobs/{busy}")
    assert ended(http, job)["status"] == "successful"
    assert http.get(f"/v1/jobs/{job}/results").content == waited.content


def test_a_failure_is_the_problem_of_the_answer(http: httpx.Client) -> None:
    body = json_bytes(simulated_measurements=[[1.0]])
    waited = http.post("/v1/analyses", content=body, headers=JSON)
    job = submitted(http, body)
    done = ended(http, job)
    assert done["status"] == "failed" and done["message"] == waited.json()["detail"]
    result = http.get(f"/v1/jobs/{job}/results")
    assert result.status_code == waited.status_code == 422
    assert result.headers["content-type"] == "application/problem+json"
    for member in ("type", "title", "status", "detail", "errors"):
        assert result.json()[member] == waited.json()[member]


def test_a_result_that_is_not_ready(http: httpx.Client, busy: str) -> None:
    job = submitted(http, json_bytes())
    answer = http.get(f"/v1/jobs/{job}/results")
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/result-not-ready"
    assert answer.json()["job_status"] == "accepted"
    assert int(answer.headers["retry-after"]) >= 1


def test_dismissing_what_waits_and_what_runs(http: httpx.Client, busy: str) -> None:
    waits = submitted(http, json_bytes())
    for job in (waits, busy):
        answer = http.delete(f"/v1/jobs/{job}")
        assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
        assert http.get(f"/v1/jobs/{job}").json()["status"] == "dismissed"
        assert http.get(f"/v1/jobs/{job}/results").status_code == 410
    # The work has stopped: there is a worker for the next one.
    started = time.monotonic()
    assert ended(http, submitted(http, json_bytes()))["status"] == "successful"
    assert time.monotonic() - started < 15
    # What has ended is forgotten when it is dismissed once more.
    assert http.delete(f"/v1/jobs/{waits}").status_code == 200
    gone = http.get(f"/v1/jobs/{waits}")
    assert (gone.status_code, gone.json()["reason"]) == (410, "dismissed")


def test_a_cycle_whose_session_goes_is_stopped(http: httpx.Client) -> None:
    kind, body = HEAVY
    shape = {"state_dim": 40, "measurement_dim": 2}
    place = f"/v1/sessions/{new_session(http, **shape)}"
    headers = {"Content-Type": kind} | ASYNC
    answer = http.put(f"{place}/cycles/1", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job = answer.json()["jobID"]
    while http.get(f"/v1/jobs/{job}").json()["status"] == "accepted":
        time.sleep(0.02)
    http.delete(place).raise_for_status()
    begun = time.monotonic()
    assert ended(http, job)["status"] == "failed"
    # Of about a minute, on a busy machine more.
    assert time.monotonic() - begun < 15
    problem = http.get(f"/v1/jobs/{job}/results")
    assert problem.json()["type"] == "/problems/session-gone"


def test_progress_is_told(http: httpx.Client) -> None:
    options = {"sampler": "ode", "preconditioner": "none", "n_samples": 50_000}
    fixed = {"measurement_bandwidth": 1e6, "state_bandwidth": 0.2, "shrink": False}
    kind, body = encode_body(
        ensemble(1000, 20, 2), {"options": {**options, **fixed, "steps": 100}}
    )
    job = submitted(http, body, {"Content-Type": kind})
    end = time.monotonic() + PATIENCE
    while (view := http.get(f"/v1/jobs/{job}").json())["progress"] == 0:
        assert not view["finished"] and time.monotonic() < end
        time.sleep(0.1)
    assert 0 < view["progress"] < 100 and view["message"] == "sampling"
    http.delete(f"/v1/jobs/{job}")


def test_jobs_are_listed_in_order(http: httpx.Client) -> None:
    jobs = [submitted(http, json_bytes()) for _ in range(3)]
    listed: list[str] = []
    where: str | None = f"/v1/jobs?limit=2&after={jobs[0]}"
    while where:
        page = http.get(where)
        listed += [job["jobID"] for job in page.json()["jobs"]]
        where = page.links.get("next", {}).get("url")
    assert listed[: len(jobs)] == jobs[1:] and listed == sorted(listed)
    for job in jobs:
        ended(http, job)


def test_events_tell_until_the_end(http: httpx.Client, busy: str) -> None:
    job = submitted(http, json_bytes())
    told: list[dict[str, Any]] = []

    def follow() -> None:
        with http.stream("GET", f"/v1/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    told.append(orjson.loads(line[6:]))

    reader = threading.Thread(target=follow)
    reader.start()
    while not told:
        time.sleep(0.02)
    http.delete(f"/v1/jobs/{busy}")
    reader.join(PATIENCE)
    statuses = [view["status"] for view in told]
    assert statuses[0] == "accepted" and statuses[-1] == "successful"
    assert told[-1] == http.get(f"/v1/jobs/{job}").json()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/nobody", 404),
        ("GET", "/v1/jobs/no.body", 404),
        ("GET", "/v1/jobs/nobody/results", 404),
        ("GET", "/v1/jobs/nobody/events", 404),
        ("DELETE", "/v1/jobs/nobody", 404),
        ("GET", "/v1/jobs?limit=0", 422),
        ("GET", "/v1/jobs?limi=1", 422),
        ("POST", "/v1/jobs", 405),
    ],
)
def test_bad_requests(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"sampler": "none"}},
        {"observation": ...},
        {"options": {"n_samples": 10**7}},
    ],
)
def test_what_is_wrong_at_sight_is_refused_at_once(
    http: httpx.Client, changes: dict[str, Any]
) -> None:
    body = json_bytes(**changes)
    waited = http.post("/v1/analyses", content=body, headers=JSON)
    answer = http.post("/v1/analyses", content=body, headers=JSON | ASYNC)
    assert answer.status_code == waited.status_code >= 400
    assert answer.json()["errors"] == waited.json()["errors"]
    path = f"/v1/sessions/{new_session(http)}/cycles/1"
    assert http.put(path, content=body, headers=JSON | ASYNC).status_code >= 400


def test_preferences_are_read_as_the_standard_has_them(http: httpx.Client) -> None:
    for text in ("Respond-Async", "return=minimal , respond-async;wait=1"):
        headers = JSON | {"Prefer": text}
        answer = http.post("/v1/analyses", content=json_bytes(), headers=headers)
        assert answer.status_code == 202, text
        ended(http, answer.json()["jobID"])
    other = JSON | {"Prefer": "respond-asynchronously"}
    assert http.post("/v1/analyses", content=json_bytes(), headers=other).is_success


def test_metrics_tell_of_the_queue(http: httpx.Client, busy: str) -> None:
    job = submitted(http, json_bytes())
    time.sleep(1.5)
    text = http.get("/metrics").text
    assert "ccdm_jobs_waiting 1.0" in text and "ccdm_jobs_running 1.0" in text
    assert float(text.partition("\nccdm_jobs_open_oldest_seconds ")[2].split()[0]) > 1
    http.delete(f"/v1/jobs/{busy}")
    ended(http, job)
    text = http.get("/metrics").text
    assert 'ccdm_jobs_finished_total{status="dismissed"}' in text
    assert 'ccdm_jobs_finished_total{status="successful"}' in text


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Server]:
    settings = {
        "API_KEYS": "a:one,b:two",
        "MAX_TENANT_JOBS": "2",
        "MAX_JOBS": "3",
        "JOB_WORKERS": "0",
    }
    with serving(tmp_path, **settings) as server:
        yield server


def test_tenants_do_not_see_each_other_and_have_limits(limited: Server) -> None:
    def client(key: str) -> httpx.Client:
        headers = {"X-API-Key": key}
        return httpx.Client(base_url=limited.url, headers=headers, timeout=PATIENCE)

    with client("one") as one, client("two") as two:
        job = submitted(one, json_bytes())
        for method, path in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
            answer = two.request(method, f"/v1/jobs/{job}{path}")
            assert answer.json()["type"] == "/problems/no-such-job"
        assert two.get("/v1/jobs").json()["jobs"] == []
        submitted(one, json_bytes())
        third = one.post("/v1/analyses", content=json_bytes(), headers=JSON | ASYNC)
        assert third.status_code == 429
        assert third.json()["type"] == "/problems/too-many-jobs"
        assert "retry-after" in third.headers
        submitted(two, json_bytes())
        full = two.post("/v1/analyses", content=json_bytes(), headers=JSON | ASYNC)
        assert (full.status_code, full.json()["type"]) == (503, "/problems/too-busy")
        # A request that waits is not concerned.
        assert one.post("/v1/analyses", content=json_bytes(), headers=JSON).is_success
        one.delete(f"/v1/jobs/{job}")
        submitted(one, json_bytes())


def test_large_arrays_come_back_whole(http: httpx.Client) -> None:
    options = {"sampler": "exact", "preconditioner": "linear"}
    arrays = ensemble(2000, 300, 5)
    kind, body = encode_body(arrays, {"seed": 1, "options": options})
    headers = {"Content-Type": kind, **NPY}
    waited = http.post("/v1/analyses", content=body, headers=headers)
    job = submitted(http, body, headers)
    ended(http, job)
    result = http.get(f"/v1/jobs/{job}/results", headers=NPY)
    assert result.content == waited.content
    assert np.isfinite(decode_npy(result.content, "")).all()
