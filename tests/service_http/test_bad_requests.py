"""Every wrong request is its own typed problem, and changes nothing."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.service_http.bad_requests import CASES, Wrong
from tests.service_http.bodies import JSON, STATES, json_bytes, new_session


@pytest.fixture(scope="module")
def sessions(http: httpx.Client) -> dict[str, str]:
    """Sessions in every state that a request may meet."""
    sid = new_session(http)
    put(http, sid, 1)
    gone = new_session(http)
    assert http.delete(f"/v1/sessions/{gone}").status_code == 204
    old = new_session(http, keep_analyses=1, initial_ensemble=STATES)
    put(http, old, 1)
    put(http, old, 2)
    return {"sid": sid, "gone": gone, "old": old}


def put(http: httpx.Client, sid: str, k: int) -> None:
    """Assimilate one cycle."""
    path = f"/v1/sessions/{sid}/cycles/{k}"
    assert http.put(path, content=json_bytes(), headers=JSON).status_code == 201


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_is_refused_for_its_own_reason(
    http: httpx.Client, sessions: dict[str, str], case: Wrong
) -> None:
    views = [
        http.get(f"/v1/sessions/{sessions[name]}").json() for name in ("sid", "old")
    ]
    count = len(http.get("/v1/sessions?limit=1000").json()["sessions"])
    path = case.path.format(**sessions)
    answer = http.request(case.method, path, content=case.body, headers=case.headers)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{case.slug}"
    pointers = [item["pointer"] for item in problem["errors"]]
    assert pointers[:1] == ([] if case.pointer is None else [case.pointer])
    assert all(item["remedy"] for item in problem["errors"])
    # No library's words, which no caller has to know.
    assert not re.search("Value error|Input should|unable to", answer.text)
    assert {name: problem.get(name) for name in case.members} == case.members
    after = [
        http.get(f"/v1/sessions/{sessions[name]}").json() for name in ("sid", "old")
    ]
    assert after == views
    assert len(http.get("/v1/sessions?limit=1000").json()["sessions"]) == count


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_a_refusal_lists_what_is_offered(http: httpx.Client) -> None:
    refused = http.post("/v1/analyses", json={}, headers={"Accept": "image/png"})
    assert "application/x-npy" in refused.json()["offered"]
    unread = http.post("/v1/analyses", content=b"x", headers={"Content-Type": "a/b"})
    assert unread.json()["offered"] == ["application/json", "multipart/form-data"]
    assert unread.headers["accept-post"] == "application/json, multipart/form-data"
    packed = http.post(
        "/v1/analyses", content=b"x", headers={**JSON, "Content-Encoding": "gzip"}
    )
    assert packed.headers["accept-encoding"] == "identity"


def test_a_method_refused_lists_those_allowed(
    http: httpx.Client, sessions: dict[str, str]
) -> None:
    path = f"/v1/sessions/{sessions['sid']}"
    for method, where, allowed in (
        ("DELETE", "/v1/analyses", "POST"),
        ("PUT", "/v1/sessions", "GET, HEAD, POST"),
        ("POST", path, "DELETE, GET, HEAD, PATCH"),
        ("POST", f"{path}/cycles/1", "GET, HEAD, PUT"),
        ("POST", "/docs", "GET"),
    ):
        answer = http.request(method, where)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed


def test_a_wrong_body_is_told_before_a_stale_condition(
    http: httpx.Client, sessions: dict[str, str]
) -> None:
    answer = http.patch(
        f"/v1/sessions/{sessions['sid']}",
        json={"ttl_seconds": -1},
        headers={"If-Match": '"99"'},
    )
    assert answer.status_code == 422
