"""Cycles: one result per number, the same for whoever asks again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from service.media.npy import decode_npy
from tests.service_http.bodies import (
    JSON,
    OBSERVATION,
    STATES,
    form,
    json_bytes,
    new_session,
)
from tests.support.servers import PATIENCE, Server

NPY = {"Accept": "application/x-npy"}
STARTING_OVER = {"learned_inflation": 1.0}


@pytest.fixture
def path(http: httpx.Client) -> str:
    """Address of the cycles of a new session."""
    names = {"states": ["height, m", "speed"]}
    sid = new_session(http, initial_ensemble=STATES, names=names)
    return f"/v1/sessions/{sid}/cycles"


def put(http: httpx.Client, path: str, k: int, **changes: object) -> httpx.Response:
    """PUT one cycle in JSON."""
    return http.put(f"{path}/{k}", content=json_bytes(**changes), headers=JSON)


def test_a_cycle_and_its_replay(http: httpx.Client, path: str) -> None:
    first = put(http, path, 1)
    assert first.status_code == 201, first.text
    assert first.headers["location"] == f"{path}/1"
    assert "ccdm-replayed" not in first.headers
    assert put(http, path, 2).status_code == 201
    again = put(http, path, 1)
    assert again.status_code == 200
    assert again.headers["ccdm-replayed"] == "true"
    assert again.content == first.content
    # The same arrays in npy are the same request.
    headers, body = form()
    binary = http.put(f"{path}/1", content=body, headers=headers)
    assert (binary.status_code, binary.content) == (200, first.content)


def test_a_session_repeats_itself_from_its_seed(http: httpx.Client) -> None:
    answers = [
        put(http, f"/v1/sessions/{new_session(http, seed=5)}/cycles", 1).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    other = put(http, f"/v1/sessions/{new_session(http, seed=6)}/cycles", 1).json()
    assert other["diagnostics"]["seed"] != answers[0]["diagnostics"]["seed"]


def test_options_of_a_cycle_lie_over_those_of_the_session(http: httpx.Client) -> None:
    sid = new_session(http, options={"n_samples": 7, "sampler": "exact"})
    path = f"/v1/sessions/{sid}/cycles"
    first = put(http, path, 1, options={"n_samples": 3}).json()
    assert len(first["analysis_samples"]) == 3
    assert first["diagnostics"]["sampler"] in ("exact", "shift")
    assert len(put(http, path, 2).json()["analysis_samples"]) == 7
    assert http.get(f"{path}/1").json()["options"] == {"n_samples": 3}


def test_every_media_type_has_the_same_numbers(http: httpx.Client, path: str) -> None:
    samples = np.array(put(http, path, 1).json()["analysis_samples"])
    where = f"{path}/1/analysis"
    npy = http.get(where, headers=NPY)
    raw = http.get(where, headers={"Accept": "application/octet-stream"})
    csv = http.get(where, headers={"Accept": "text/csv"})
    json = http.get(where)
    np.testing.assert_array_equal(decode_npy(npy.content, ""), samples)
    assert raw.headers["ccdm-shape"] == "5,2"
    assert raw.headers["ccdm-dtype"] == "<f8"
    np.testing.assert_array_equal(
        np.frombuffer(raw.content, "<f8").reshape(5, 2), samples
    )
    lines = csv.text.split("\r\n")
    assert lines[0] == '"height, m",speed' and lines[-1] == ""
    np.testing.assert_array_equal(
        [[float(item) for item in line.split(",")] for line in lines[1:-1]], samples
    )
    np.testing.assert_array_equal(json.json()["analysis_samples"], samples)
    assert json.json()["members"] == [0, 5]


def test_binary_answers_to_a_put(http: httpx.Client, path: str) -> None:
    answer = http.put(f"{path}/1", content=json_bytes(), headers={**JSON, **NPY})
    assert answer.headers["content-type"] == "application/x-npy"
    facts = http.get(f"{path}/1").json()
    assert answer.headers["ccdm-seed"] == str(facts["seed"])
    warnings = facts["diagnostics"]["warnings"]
    assert answer.headers["ccdm-warnings"] == str(len(warnings))
    kept = http.get(f"{path}/1/analysis", headers=NPY)
    assert kept.content == answer.content


@pytest.mark.parametrize(
    ("members", "start", "stop"),
    [
        ("0:2", 0, 2),
        (":3", 0, 3),
        ("3:", 3, 5),
        ("1:999", 1, 5),
        # One number is one member, wherever it stands.
        ("0", 0, 1),
        ("2", 2, 3),
        ("4", 4, 5),
    ],
)
def test_slices_of_members(
    http: httpx.Client, path: str, members: str, start: int, stop: int
) -> None:
    answer = http.get(f"{path}/0/analysis", params={"members": members}).json()
    assert answer["members"] == [start, stop]
    assert answer["analysis_samples"] == STATES[start:stop]


def test_minimal_answers_leave_the_samples_out(http: httpx.Client, path: str) -> None:
    headers = {**JSON, "Prefer": "handling=strict, return=minimal"}
    answer = http.put(f"{path}/1", content=json_bytes(), headers=headers)
    assert answer.headers["preference-applied"] == "return=minimal"
    assert sorted(answer.json()) == ["cycle", "diagnostics"]


def test_pages_of_cycles(http: httpx.Client, path: str) -> None:
    for k in range(1, 6):
        assert put(http, path, k).status_code == 201
    seen: list[int] = []
    url = f"{path}?limit=2"
    while url:
        answer = http.get(url)
        assert answer.json()["current_cycle"] == 5
        seen += [cycle["cycle"] for cycle in answer.json()["cycles"]]
        url = answer.links.get("next", {}).get("url", "")
    assert seen == [1, 2, 3, 4, 5]


def test_finished_cycles_have_tags_that_tell_forms_apart(
    http: httpx.Client, path: str
) -> None:
    put(http, path, 1)
    tags = set()
    for accept in ("application/json", "application/x-npy", "text/csv"):
        for more in ("", "?members=0:2"):
            where = f"{path}/1/analysis{more}"
            tag = http.get(where, headers={"Accept": accept}).headers["etag"]
            known = {"Accept": accept, "If-None-Match": tag}
            assert http.get(where, headers=known).status_code == 304
            tags.add(tag)
    assert len(tags) == 6
    tag = http.get(f"{path}/1").headers["etag"]
    assert http.get(f"{path}/1", headers={"If-None-Match": tag}).status_code == 304


def test_one_of_many_writers_wins(server: Server, http: httpx.Client) -> None:
    sid = new_session(http)
    path = f"/v1/sessions/{sid}/cycles"

    def write(value: float) -> httpx.Response:
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as own:
            return put(own, path, 1, observation=[value])

    values = [1.0, 1.1, 1.2, 1.3, 1.0, 1.1, 1.2, 1.3]
    with ThreadPoolExecutor(len(values)) as pool:
        answers = list(pool.map(write, values))
    by_status = {
        status: [a for a in answers if a.status_code == status]
        for status in (201, 200, 409)
    }
    # One wins, its twin is answered the same, the other six conflict.
    assert [len(found) for found in by_status.values()] == [1, 1, 6]
    assert by_status[200][0].content == by_status[201][0].content
    assert {a.json()["current_cycle"] for a in by_status[409]} == {1}


def test_failed_and_missing_data_go_through_when_meant(
    http: httpx.Client, path: str
) -> None:
    states = [*STATES[:4], [None, 1.0]]
    answer = put(
        http,
        path,
        1,
        forecast_states=states,
        observation=[None],
        options={"failed_members": "refill"},
    )
    assert answer.status_code == 201, answer.text
    facts = answer.json()["diagnostics"]
    assert facts["observation_status"] == ["missing"]
    assert facts["members_failed"][0]["member"] == 4
    samples = np.array(answer.json()["analysis_samples"], dtype=float)
    assert samples.shape == (5, 2) and np.isfinite(samples).all()


@pytest.mark.parametrize("inflation", [1e100, -1.0])
def test_an_analysis_that_fails_stores_nothing(
    http: httpx.Client, path: str, inflation: float
) -> None:
    """Samples that overflow are no analysis, and options may be wrong."""
    put(http, path, 1)
    session = path.removesuffix("/cycles")
    before = [http.get(where).json() for where in (session, path, f"{path}/1/analysis")]
    wrong = json_bytes(
        forecast_states=(np.array(STATES) * 1e250).tolist(),
        options={"inflation": inflation},
    )
    for _ in range(2):
        answer = http.put(f"{path}/2", content=wrong, headers=JSON)
        assert answer.status_code == 422, answer.text
        slug = "numerical-breakdown" if inflation > 0 else "invalid-options"
        assert answer.json()["type"] == f"/problems/{slug}"
    after = [http.get(where).json() for where in (session, path, f"{path}/1/analysis")]
    assert after == before
    assert http.get(f"{path}/2").status_code == 404
    assert http.get(f"{path}/2/analysis").status_code == 404
    assert put(http, path, 2).status_code == 201


def test_a_session_remembers_what_adaptive_inflation_learned(
    http: httpx.Client,
) -> None:
    """The second cycle goes on from the first; a cycle's own options come first."""
    sid = new_session(http, options={"inflation": "adaptive"})
    path = f"/v1/sessions/{sid}/cycles"
    away = [value + 2.0 for value in OBSERVATION]
    first, second, third = (
        put(http, path, k, observation=away, **changes).json()["diagnostics"]
        for k, changes in ((1, {}), (2, {}), (3, {"options": STARTING_OVER}))
    )
    learned = first["forecast_inflation"]
    assert learned > 1.0
    assert first["manifest"]["options"]["learned_inflation"] == 1.0
    assert second["manifest"]["options"]["learned_inflation"] == learned
    assert third["manifest"]["options"]["learned_inflation"] == 1.0
    assert third["forecast_inflation"] == learned
