"""Sessions through their whole life, over HTTP."""

from __future__ import annotations

import time
from datetime import datetime

import httpx
import numpy as np

from service.media.bodies import encode_body
from service.media.npy import decode_npy
from tests.service_http.bodies import JSON, STATES, json_bytes, new_session

NPY = {"Accept": "application/x-npy"}


def test_a_new_session_says_where_and_what_it_is(http: httpx.Client) -> None:
    answer = http.post(
        "/v1/sessions",
        json={
            "state_dim": 2,
            "measurement_dim": 1,
            "options": {"inflation": 1.1},
            "ttl_seconds": 60,
            "names": {"states": ["a", "b"], "measurements": ["c"]},
            "coordinates": {"states": [[0, 0], [0, 1]]},
            "metadata": {"run": 7},
        },
    )
    view = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{view['id']}"
    assert answer.headers["etag"].startswith('"1-')
    assert view["cycle"] == 0 and view["members"] is None
    assert view["options"] == {"inflation": 1.1}
    assert view["names"] == {"states": ["a", "b"], "measurements": ["c"]}
    assert view["coordinates"] == {"states": [[0, 0], [0, 1]]}
    assert view["metadata"] == {"run": 7}
    lifetime = datetime.fromisoformat(view["expires_at"]) - datetime.fromisoformat(
        view["created_at"]
    )
    assert lifetime.total_seconds() == 60
    assert 0 <= view["seed"] < 2**53
    assert http.get(answer.headers["location"]).json() == view


def test_an_initial_ensemble_in_npy_and_json_is_cycle_0(http: httpx.Client) -> None:
    content_type, body = encode_body(
        {"initial_ensemble": STATES}, {"state_dim": 2, "measurement_dim": 1}
    )
    headers = {"Content-Type": content_type}
    first = http.post("/v1/sessions", content=body, headers=headers)
    assert first.status_code == 201, first.text
    for sid in (first.json()["id"], new_session(http, initial_ensemble=STATES)):
        view = http.get(f"/v1/sessions/{sid}").json()
        assert view["members"] == len(STATES)
        samples = http.get(f"/v1/sessions/{sid}/cycles/0/analysis", headers=NPY)
        np.testing.assert_array_equal(decode_npy(samples.content, ""), STATES)


def test_an_ensemble_drawn_from_mean_and_std(http: httpx.Client) -> None:
    members = 4000
    fields = {"initial_mean": [10, -5], "initial_std": [1, 2], "members": members}
    drawn = [
        decode_npy(
            http.get(
                f"/v1/sessions/{new_session(http, **fields)}/cycles/0/analysis",
                headers=NPY,
            ).content,
            "",
        )
        for _ in range(2)
    ]
    # The session's seed is given, so the draw is, too.
    np.testing.assert_array_equal(*drawn)
    # Five standard errors: one false alarm in a million.
    error = np.array([1, 2]) / np.sqrt(members)
    assert np.all(np.abs(drawn[0].mean(axis=0) - [10, -5]) < 5 * error)
    assert np.all(np.abs(drawn[0].std(axis=0) - [1, 2]) < 5 * error / np.sqrt(2))


def test_pages_lead_from_one_to_the_next(http: httpx.Client) -> None:
    made = [new_session(http) for _ in range(5)]
    seen: list[str] = []
    url = f"/v1/sessions?limit=2&after={made[0]}"
    while url:
        answer = http.get(url)
        page = answer.json()
        seen += [view["id"] for view in page["sessions"]]
        url = answer.links.get("next", {}).get("url", "")
        assert bool(url) == (page["next"] is not None)
    assert seen == made[1:]


def test_what_has_not_changed_is_not_sent_again(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http)}"
    tag = http.get(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    http.patch(path, json={"metadata": {"a": 1}})
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_lifetime_that_began_anew_is_sent_and_is_no_conflict(
    http: httpx.Client,
) -> None:
    path = f"/v1/sessions/{new_session(http, ttl_seconds=5)}"
    before = http.get(path)
    tag = before.headers["etag"]
    time.sleep(0.6)
    after = http.get(path, headers={"If-None-Match": tag})
    assert after.status_code == 200
    assert after.json()["expires_at"] > before.json()["expires_at"]
    assert after.json()["version"] == before.json()["version"]
    # Nobody has changed anything that this would overwrite.
    changed = http.patch(path, json={"metadata": {}}, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    stale = http.patch(path, json={"metadata": {}}, headers={"If-Match": tag})
    assert stale.status_code == 412
    weak = {"If-Match": f"W/{changed.headers['etag']}"}
    assert http.delete(path, headers=weak).status_code == 412
    exact = {"If-Match": changed.headers["etag"]}
    assert http.delete(path, headers=exact).status_code == 204


def test_a_patch_changes_what_it_names(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http, metadata={'a': 1, 'b': 2})}"
    changes = {
        "ttl_seconds": 1000,
        "metadata": {"a": None, "c": 3},
        "options": {"inflation": 1.2, "steps": 9},
    }
    first = http.patch(path, json=changes, headers={"If-Match": '"1"'})
    assert first.status_code == 200, first.text
    assert first.headers["etag"].startswith('"2-')
    view = first.json()
    assert view["metadata"] == {"b": 2, "c": 3}
    assert view["options"] == {"inflation": 1.2, "steps": 9}
    assert view["ttl_seconds"] == 1000
    second = http.patch(
        path,
        json={"options": {"steps": None}},
        headers={
            "If-Match": '"7", "2"',
            "Content-Type": "application/merge-patch+json",
        },
    )
    assert second.json()["options"] == {"inflation": 1.2}
    stale = http.patch(path, json=changes, headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    assert http.get(path).json() == second.json()


def test_options_that_fit_only_apart_are_refused(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http, options={'state_bandwidth': 2.0})}"
    answer = http.patch(path, json={"options": {"max_bandwidth": 1.0}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/options/max_bandwidth"
    assert http.get(path).headers["etag"].startswith('"1-')


def test_a_deleted_session_is_gone(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http)}"
    deleted = http.delete(path, headers={"If-Match": '"1"'})
    assert (deleted.status_code, deleted.content) == (204, b"")
    answer = http.get(path)
    assert answer.status_code == 410
    assert answer.json()["reason"] == "deleted"


def test_a_session_nobody_uses_expires(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http, ttl_seconds=1)}"
    time.sleep(1.3)
    put = http.put(f"{path}/cycles/1", content=json_bytes(), headers=JSON)
    for answer in (http.get(path), put):
        assert answer.status_code == 410
        assert answer.json()["type"] == "/problems/session-gone"
        assert answer.json()["reason"] == "expired"


def test_head_is_get_without_a_body(http: httpx.Client) -> None:
    path = f"/v1/sessions/{new_session(http)}"
    answer = http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"].startswith('"1-')
    assert int(answer.headers["content-length"]) == len(http.get(path).content)
