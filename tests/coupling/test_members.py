"""Members one by one: any worker, any process, any order; none lost, none twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from service.media.bodies import encode_body
from service.routers.views import brief_cycle_view, cycle_view
from service.sessions import Cycle
from tests.coupling.conftest import SETTINGS, Pair
from tests.coupling.sessions import (
    MEMBERS,
    OBSERVATION,
    ensemble,
    new_session,
    observe,
    put_member,
    put_member_npy,
)

Both = tuple[httpx.Client, httpx.Client]


def test_members_in_any_order_give_what_the_whole_cycle_gives(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": MEMBERS})
    for number, i in enumerate([4, 0, 5, 2, 1, 3]):
        put = (put_member, put_member_npy)[number % 2]
        answer = put(both[number % 2], path, 1, i, states[i], simulated[i])
        assert answer.status_code == 201, answer.text
        assert answer.json() == {"cycle": 1, "member": i, "failed": False}
    gathered = observe(second, path, 1)
    assert gathered.status_code == 201, gathered.text

    whole_path = new_session(first)
    content = {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": OBSERVATION,
    }
    whole = first.put(f"{whole_path}/cycles/1", json=content)
    assert gathered.json()["analysis_samples"] == whole.json()["analysis_samples"]
    facts = gathered.json()["diagnostics"]["coupling"]
    assert (facts["expected"], facts["arrived"], facts["missing"]) == (6, 6, [])


def test_the_cycle_is_replayed_and_the_members_make_room(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": MEMBERS})
    for i in range(MEMBERS):
        put_member(first, path, 1, i, states[i], simulated[i])
    done = observe(first, path, 1)
    again = observe(second, path, 1)
    assert (done.status_code, again.status_code) == (201, 200)
    assert again.headers["ccdm-replayed"] == "true"
    assert again.content == done.content
    # A row in npy is the same observation.
    content_type, body = encode_body({"observation": [OBSERVATION]}, {})
    headers = {"Content-Type": content_type}
    row = second.put(f"{path}/cycles/1", content=body, headers=headers)
    assert (row.status_code, row.content) == (200, done.content)
    other = observe(first, path, 1, observation=[1.0, 1.0])
    assert (other.status_code, other.json()["type"]) == (
        409,
        "/problems/cycle-conflict",
    )
    # The ensemble of cycle 2 begins empty, and is as large as the analysis.
    listing = first.get(f"{path}/cycles/2/members").json()
    assert (listing["expected"], listing["arrived"]) == (MEMBERS, 0)
    assert listing["missing"] == list(range(MEMBERS))


def test_the_same_member_twice_and_another_one(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    path = new_session(first)
    assert put_member(first, path, 1, 3, states[3], simulated[3]).status_code == 201
    again = put_member_npy(second, path, 1, 3, states[3], simulated[3])
    assert again.status_code == 200
    assert again.headers["ccdm-replayed"] == "true"
    other = put_member(second, path, 1, 3, states[2], simulated[3])
    assert (other.status_code, other.json()["type"]) == (
        409,
        "/problems/member-conflict",
    )
    # Taken back, it may be sent anew.
    assert second.delete(f"{path}/cycles/1/members/3").status_code == 204
    assert second.delete(f"{path}/cycles/1/members/3").status_code == 404
    assert put_member(first, path, 1, 3, states[2], simulated[3]).status_code == 201


def test_too_few_members_change_nothing_and_are_named(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": 4})
    for i in (0, 2):
        put_member(first, path, 1, i, states[i], simulated[i])
    answer = observe(first, path, 1)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "/problems/members-missing")
    assert (problem["arrived"], problem["expected"]) == (2, 4)
    assert problem["missing"] == [1, 3]
    assert int(answer.headers["retry-after"]) >= 1
    assert first.get(path).json()["cycle"] == 0
    assert problem["detail"].endswith(" Missing: 1, 3.")
    # A minimum alone does not let go of anybody: that has to be declared.
    assert observe(first, path, 1, coupling={"minimum_members": 2}).status_code == 409
    declared = {"minimum_members": 2, "missing": "drop"}
    done = observe(first, path, 1, coupling=declared)
    assert done.status_code == 201
    assert len(done.json()["analysis_samples"]) == 2


@pytest.mark.parametrize(("missing", "rows"), [("drop", 4), ("refill", 6)])
def test_the_cycle_goes_on_without_the_missing_and_the_failed(
    both: Both, missing: str, rows: int
) -> None:
    first, second = both
    states, simulated = ensemble()
    states[5] = np.nan
    coupling = {"members": 6, "minimum_members": 4, "missing": missing}
    path = new_session(first, coupling=coupling)
    for i in (0, 1, 2, 4):
        put_member(first, path, 1, i, states[i], simulated[i])
    assert put_member(second, path, 1, 5, states[5], simulated[5]).json()["failed"]
    done = observe(second, path, 1).json()
    assert len(done["analysis_samples"]) == rows
    facts = done["diagnostics"]
    assert facts["members_used"] == [0, 1, 2, 4]
    assert facts["members_failed"] == [
        {"member": 3, "reason": "did not arrive"},
        {"member": 5, "reason": "non-finite forecast state"},
    ]
    assert facts["coupling"]["missing"] == [3]
    assert facts["coupling"]["failed"] == [5]


def test_failed_members_do_not_count_towards_the_minimum(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble()
    states[:2] = np.nan
    coupling = {"members": 6, "minimum_members": 5, "missing": "drop"}
    path = new_session(first, coupling=coupling)
    for i in range(6):
        put_member(first, path, 1, i, states[i], simulated[i])
    answer = observe(first, path, 1)
    assert (answer.status_code, answer.json()["arrived"]) == (409, 6)
    assert "2 of them failed" in answer.json()["detail"]


def test_a_late_member_is_told_whether_it_was_used(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    coupling = {"members": 6, "minimum_members": 5, "missing": "refill"}
    path = new_session(first, coupling=coupling)
    for i in range(5):
        put_member(first, path, 1, i, states[i], simulated[i])
    assert observe(first, path, 1).status_code == 201
    late = put_member(second, path, 1, 5, states[5], simulated[5])
    assert (late.status_code, late.json()["type"]) == (409, "/problems/member-late")
    assert late.json()["current_cycle"] == 1
    # A worker that lost its reply hears that its member is in.
    known = put_member(second, path, 1, 4, states[4], simulated[4])
    assert (known.status_code, known.headers["ccdm-replayed"]) == (200, "true")
    assert put_member(second, path, 1, 4, states[5], simulated[4]).status_code == 409
    assert second.delete(f"{path}/cycles/1/members/4").status_code == 409
    listing = second.get(f"{path}/cycles/1/members").json()
    assert listing["finished"] and listing["missing"] == [5]
    assert [entry["member"] for entry in listing["members"]] == [0, 1, 2, 3, 4]


def test_members_of_a_cycle_that_came_whole_are_late(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble()
    path = new_session(first)
    put_member(first, path, 1, 0, states[0], simulated[0])
    content = {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": OBSERVATION,
    }
    assert first.put(f"{path}/cycles/1", json=content).status_code == 201
    late = put_member(first, path, 1, 0, states[0], simulated[0])
    assert late.json()["type"] == "/problems/member-late"
    listing = first.get(f"{path}/cycles/1/members").json()
    assert (listing["finished"], listing["members"]) == (True, [])
    assert first.get(f"{path}/cycles/2/members").json()["arrived"] == 0


def test_members_of_other_cycles_and_shapes_are_refused(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": 4})
    ahead = put_member(first, path, 2, 0, states[0], simulated[0])
    assert (ahead.status_code, ahead.json()["current_cycle"]) == (409, 0)
    assert first.get(f"{path}/cycles/2/members").status_code == 409
    beyond = put_member(first, path, 1, 4, states[0], simulated[0])
    assert beyond.status_code == 422
    assert "0 to 3" in beyond.json()["detail"]
    short = put_member(first, path, 1, 0, states[0][:2], simulated[0])
    assert short.status_code == 422
    assert short.json()["errors"][0]["pointer"] == "/forecast_state"
    alone = first.put(
        f"{path}/cycles/1/members/0", json={"forecast_state": [1.0, 2.0, 3.0]}
    )
    assert alone.json()["errors"][0]["pointer"] == "/simulated_measurement"
    extra = {"forecast_state": [0, 0, 0], "simulated_measurement": [0, 0], "seed": 1}
    assert first.put(f"{path}/cycles/1/members/0", json=extra).status_code == 422


def test_staged_members_are_bounded(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble(members=40)
    path = new_session(first)
    answers = [
        put_member(first, path, 1, i, states[i], simulated[i]) for i in range(40)
    ]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert {answer.status_code for answer in refused} == {413}
    assert refused[0].json()["limit_name"] == "max_staged_bytes"
    assert refused[0].json()["limit"] == int(SETTINGS["MAX_STAGED_BYTES"])
    # An ensemble that would not fit either is refused before it takes memory.
    large = {"members": 100_000, "missing": "drop"}
    assert observe(first, path, 1, coupling=large).status_code == 413


def test_thousands_of_missing_members_are_told_in_few_words(both: Both) -> None:
    first, _ = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": 10_000})
    for i in range(MEMBERS):
        put_member(first, path, 1, 3 * i, states[i], simulated[i])
    answer = observe(first, path, 1)
    problem = answer.json()
    there = set(range(0, 3 * MEMBERS, 3))
    missing = [i for i in range(10_000) if i not in there]
    assert problem["missing"] == missing[:100]
    assert problem["expected"] - problem["arrived"] == len(missing)
    assert problem["detail"].endswith(
        " Missing: 1 to 2, 4 to 5, 7 to 8, 10 to 11, 13 to 14, 16 to 9999."
    )
    assert len(answer.content) < 2_000
    # Whoever wants to know all of them is told.
    assert first.get(f"{path}/cycles/1/members").json()["missing"] == missing


def test_what_tells_of_many_cycles_names_a_hundred_members_each() -> None:
    facts = {"expected": 5000, "missing": [*range(1, 5000)], "failed": [0]}
    cycle = Cycle(
        cycle=1,
        digest="",
        seed=0,
        created_at=0.0,
        diagnostics={"coupling": facts},
        n_samples=2,
        options={},
    )
    assert cycle_view(cycle)["diagnostics"]["coupling"] == facts
    brief = brief_cycle_view(cycle)["diagnostics"]["coupling"]
    assert brief == facts | {"missing": [*range(1, 101)]}


def test_a_change_of_the_session_keeps_its_members(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    path = new_session(first, coupling={"members": MEMBERS})
    for i in range(MEMBERS):
        put_member(first, path, 1, i, states[i], simulated[i])
        changes = {"metadata": {"seen": i}, "coupling": {"deadline_seconds": i}}
        assert second.patch(path, json=changes).status_code == 200
    assert first.get(path).json()["coupling"] == {
        "members": MEMBERS,
        "deadline_seconds": MEMBERS - 1,
    }
    assert observe(second, path, 1).status_code == 201
    back = first.patch(path, json={"coupling": {"deadline_seconds": None}})
    assert back.json()["coupling"] == {"members": MEMBERS}
    wrong = first.patch(path, json={"coupling": {"minimum_members": 99}})
    assert wrong.status_code == 422


def test_tenants_do_not_see_each_others_members(both: Both, pair: Pair) -> None:
    first, _ = both
    states, simulated = ensemble()
    path = new_session(first)
    put_member(first, path, 1, 0, states[0], simulated[0])
    bob = {"X-API-Key": "key-of-bob"}
    with httpx.Client(base_url=pair.first.url, headers=bob) as other:
        assert other.get(f"{path}/cycles/1/members").status_code == 404
        assert put_member(other, path, 1, 0, states[0], simulated[0]).status_code == 404
        assert other.delete(f"{path}/cycles/1/members/0").status_code == 404
        assert observe(other, path, 1).status_code == 404
        assert other.get(f"{path}/events").status_code == 404


def test_many_workers_and_two_coordinators_at_once(both: Both) -> None:
    """Each member is sent to both processes at once, and so is the observation."""
    states, simulated = ensemble()
    path = new_session(both[0], coupling={"members": MEMBERS})
    with ThreadPoolExecutor(20) as pool:
        coordinators = [
            pool.submit(observe, http, path, 1, wait=20) for http in both for _ in "ab"
        ]
        members = [
            pool.submit(put_member, http, path, 1, i, states[i], simulated[i])
            for i in range(MEMBERS)
            for http in both
        ]
        statuses = [future.result().status_code for future in members]
        results = [future.result() for future in coordinators]
    assert statuses.count(201) == MEMBERS
    assert statuses.count(200) == MEMBERS
    assert sorted(answer.status_code for answer in results) == [200, 200, 200, 201]
    assert len({answer.content for answer in results}) == 1
