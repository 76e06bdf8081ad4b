"""Reading a part: some members, some variables, cycles without their long lists."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service_http.bodies import content, new_session

ACCEPT_NPY = {"Accept": "application/x-npy"}
NAMES = {"states": [f"level {i}" for i in range(12)]}


@pytest.fixture(scope="module")
def path(http: httpx.Client) -> str:
    """A session of 12 variables with one cycle."""
    rng = np.random.default_rng(0)
    body = content(forecast_states=rng.normal(size=(5, 12)).tolist())
    sid = new_session(http, state_dim=12, names=NAMES)
    assert http.put(f"/v1/sessions/{sid}/cycles/1", json=body).status_code == 201
    return f"/v1/sessions/{sid}/cycles"


@pytest.fixture(scope="module")
def whole(http: httpx.Client, path: str) -> Any:
    """All samples, (5, 12)."""
    return np.array(http.get(f"{path}/1/analysis").json()["analysis_samples"])


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("3", [3, 4, 1]),
        ("0:4", [0, 4, 1]),
        (":2", [0, 2, 1]),
        ("10:", [10, 12, 1]),
        ("1:11:3", [1, 11, 3]),
        ("::5", [0, 12, 5]),
        ("8:100:2", [8, 12, 2]),
    ],
)
def test_some_variables(
    http: httpx.Client, path: str, whole: Any, text: str, chosen: list[int]
) -> None:
    expected = whole[1:4, slice(*chosen)]
    query = {"states": text, "members": "1:4"}
    answer = http.get(f"{path}/1/analysis", params=query)
    body = answer.json()
    assert np.array_equal(body["analysis_samples"], expected)
    assert len(range(*body["states"])) == expected.shape[1]
    assert body["states"][0] == chosen[0] and body["states"][2] == chosen[2]
    assert body["members"] == [1, 4]
    npy = http.get(f"{path}/1/analysis", params=query, headers=ACCEPT_NPY)
    assert np.array_equal(np.load(io.BytesIO(npy.content)), expected)


def test_csv_names_the_variables_that_came(http: httpx.Client, path: str) -> None:
    accept = {"Accept": "text/csv"}
    query = {"states": "1:8:3"}
    answer = http.get(f"{path}/1/analysis", params=query, headers=accept)
    assert answer.text.splitlines()[0] == "level 1,level 4,level 7"


def test_parts_have_tags_of_their_own(http: httpx.Client, path: str) -> None:
    tags = {
        http.get(f"{path}/1/analysis", params=query).headers["etag"]
        for query in ({}, {"states": "0:4"}, {"members": "0:4"}, {"states": "0:4:2"})
    }
    assert len(tags) == 4
    again = http.get(
        f"{path}/1/analysis",
        params={"states": "0:4"},
        headers={"If-None-Match": ", ".join(tags)},
    )
    assert again.status_code == 304


@pytest.mark.parametrize("text", ["", "a", "4:2", "-1:", "0:4:0", "0:4:2:1", "12:"])
def test_ranges_that_make_no_sense(http: httpx.Client, path: str, text: str) -> None:
    answer = http.get(f"{path}/1/analysis", params={"states": text})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/states"


def test_members_take_no_stride(http: httpx.Client, path: str) -> None:
    answer = http.get(f"{path}/1/analysis", params={"members": "0:4:2"})
    assert answer.status_code == 422


def test_cycles_without_their_long_lists(http: httpx.Client, path: str) -> None:
    (full,) = http.get(path).json()["cycles"]
    (brief,) = http.get(path, params={"brief": "true"}).json()["cycles"]
    left_out = set(full["diagnostics"]) - set(brief["diagnostics"])
    assert left_out == {
        *("members_used", "members_failed", "innovation", "observation_status"),
    }
    for name, value in brief["diagnostics"].items():
        assert value == full["diagnostics"][name]
    assert brief["diagnostics"]["predicted"]["observation"] == [1.5]


def test_the_next_page_is_as_brief(http: httpx.Client) -> None:
    sid = new_session(http)
    for k in (1, 2):
        http.put(f"/v1/sessions/{sid}/cycles/{k}", json=content())
    query = {"brief": "true", "limit": 1}
    first = http.get(f"/v1/sessions/{sid}/cycles", params=query)
    second = http.get(first.links["next"]["url"]).json()["cycles"]
    assert [item["cycle"] for item in second] == [2]
    assert "innovation" not in second[0]["diagnostics"]


def test_a_cycle_tells_how_long_it_took(http: httpx.Client, path: str) -> None:
    timings = http.get(f"{path}/1").json()["timings"]
    assert set(timings) == {"queue", "compute"}
    assert 0 < timings["compute"] < 100 and 0 <= timings["queue"] < 100
