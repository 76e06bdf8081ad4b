"""Every bad body is its own typed problem, and changes nothing."""

from __future__ import annotations

import httpx
import pytest

from tests.service_http.bad_bodies import CASES, Bad
from tests.service_http.bodies import JSON, STATES, json_bytes, new_session


@pytest.fixture(scope="module")
def session(http: httpx.Client) -> str:
    """A session that stands at cycle 1."""
    sid = new_session(http, initial_ensemble=STATES)
    done = http.put(f"/v1/sessions/{sid}/cycles/1", content=json_bytes(), headers=JSON)
    assert done.status_code == 201, done.text
    return sid


def snapshot(http: httpx.Client, sid: str) -> tuple[object, ...]:
    """All of a session that a failed request might have touched."""
    view = http.get(f"/v1/sessions/{sid}")
    samples = http.get(
        f"/v1/sessions/{sid}/cycles/1/analysis", headers={"Accept": "application/x-npy"}
    )
    cycles = http.get(f"/v1/sessions/{sid}/cycles")
    assert samples.status_code == cycles.status_code == 200
    return view.headers["etag"], view.json(), samples.content, cycles.json()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_is_refused_for_its_own_reason(
    http: httpx.Client, session: str, case: Bad
) -> None:
    before = snapshot(http, session)
    cycle = http.put(
        f"/v1/sessions/{session}/cycles/2", content=case.body, headers=case.headers
    )
    alone = http.post("/v1/analyses", content=case.body, headers=case.headers)
    for answer in (cycle, alone):
        assert_problem(answer, case)
    assert snapshot(http, session) == before


def assert_problem(answer: httpx.Response, case: Bad) -> None:
    """The answer is this problem, complete and without the client's arrays."""
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{case.slug}"
    assert problem["status"] == case.status
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["title"] and problem["detail"]
    pointers = [item["pointer"] for item in problem["errors"]]
    assert pointers[:1] == ([] if case.pointer is None else [case.pointer])
    assert all(
        item["code"] and item["message"] and item["remedy"]
        for item in problem["errors"]
    )
    assert len(answer.content) < 2000


def test_the_table_is_long_enough_and_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60


def test_the_body_they_were_spoilt_from_is_good(http: httpx.Client) -> None:
    sid = new_session(http)
    done = http.put(f"/v1/sessions/{sid}/cycles/1", content=json_bytes(), headers=JSON)
    assert done.status_code == 201


def test_all_missing_arrays_are_named_at_once(http: httpx.Client) -> None:
    answer = http.post("/v1/analyses", json={})
    pointers = [item["pointer"] for item in answer.json()["errors"]]
    assert pointers == ["/forecast_states", "/simulated_measurements", "/observation"]
