"""Events: in order, once, from any process, and from where one left off."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.coupling.conftest import KEYS, SETTINGS, Pair
from tests.coupling.sessions import (
    MEMBERS,
    ensemble,
    eventually,
    listening,
    new_session,
    observe,
    put_member,
)
from tests.support.redis import RedisServer
from tests.support.servers import PATIENCE, Server, serving

Both = tuple[httpx.Client, httpx.Client]


def run_cycle(http: httpx.Client, path: str, k: int) -> None:
    """All members, then the observation."""
    states, simulated = ensemble(k)
    for i in range(MEMBERS):
        put_member(http, path, k, i, states[i], simulated[i])
    assert observe(http, path, k).status_code == 201


def test_who_listens_to_one_process_hears_what_another_does(both: Both) -> None:
    first, second = both
    path = new_session(first)
    with listening(first, path) as ear:
        ear.wait_for("session")
        run_cycle(second, path, 1)
        ear.wait_for("cycle")
        second.delete(path)
        ear.wait_for("gone")
        assert ear.ended.wait(30)
    name, _, data = ear.events[0]
    assert (name, data["cycle"], data["members_staged"]) == ("session", 0, [])
    # Members may be overtaken by their cycle: then the cycle says who is in it.
    members = [data["member"] for name, _, data in ear.events if name == "member"]
    assert members == list(range(len(members)))
    (cycle,) = [data for name, _, data in ear.events if name == "cycle"]
    assert (cycle["cycle"], cycle["n_samples"]) == (1, MEMBERS)
    assert "members_used" not in cycle["diagnostics"]
    assert ear.events[-1] == ("gone", None, {"reason": "deleted"})
    assert first.get(f"{path}/events").status_code == 410


def test_members_are_told_as_they_come(both: Both) -> None:
    first, second = both
    states, simulated = ensemble()
    path = new_session(first)
    put_member(second, path, 1, 4, states[4], simulated[4])
    with listening(first, path) as ear:
        ear.wait_for("session")
        assert ear.events[0][2]["members_staged"] == [4]
        for number, i in enumerate([2, 5]):
            put_member(second, path, 1, i, states[i], simulated[i])
            ear.wait_for("member", number + 1)
    told = [(data["cycle"], data["member"]) for _, _, data in ear.events[1:]]
    assert told == [(1, 2), (1, 5)]


def test_whoever_was_away_is_told_the_rest_by_any_process(both: Both) -> None:
    first, second = both
    path = new_session(first)
    with listening(first, path) as ear:
        ear.wait_for("session")
        run_cycle(first, path, 1)
        ear.wait_for("cycle")
    left_at = ear.last_id()
    run_cycle(first, path, 2)
    states, simulated = ensemble(3)
    put_member(first, path, 3, 1, states[1], simulated[1])
    with listening(second, path, headers={"Last-Event-ID": left_at}) as again:
        again.wait_for("member")
    told = [
        (name, data.get("cycle")) for name, _, data in again.events if name != "warning"
    ]
    assert told == [("session", 2), ("cycle", 2), ("member", 3)]
    with listening(second, path, params={"last_event_id": "0.0"}) as all_of_it:
        all_of_it.wait_for("cycle", 2)
    with listening(second, path, headers={"Last-Event-ID": "of another"}) as anew:
        anew.wait_for("session")
        time.sleep(0.2)
        assert anew.names() == ["session"]


def test_warnings_come_before_their_cycle(both: Both) -> None:
    first, _ = both
    coupling = {"members": 6, "minimum_members": 3, "missing": "drop"}
    path = new_session(first, coupling=coupling)
    states, simulated = ensemble()
    with listening(first, path) as ear:
        for i in range(4):
            put_member(first, path, 1, i, states[i], simulated[i])
        observe(first, path, 1)
        ear.wait_for("cycle")
    warnings = [data for name, _, data in ear.events if name == "warning"]
    assert {"members-failed"} <= {data["code"] for data in warnings}
    assert all(data["cycle"] == 1 and data["advice"] for data in warnings)
    assert ear.names()[-1] == "cycle"


def test_a_quiet_stream_says_so(both: Both) -> None:
    first, _ = both
    path = new_session(first)
    with listening(first, path) as ear:
        eventually(lambda: ear.quiet >= 2)
        assert ear.names() == ["session"]


def test_streams_are_bounded_for_each_tenant(both: Both, pair: Pair) -> None:
    first, _ = both
    path = new_session(first)
    most = int(SETTINGS["MAX_STREAMS"])
    # Readers of the tests before may just be leaving.
    eventually(lambda: _settled(first, path, most))
    streams = [first.stream("GET", f"{path}/events") for _ in range(most)]
    opened = [stream.__enter__() for stream in streams]
    try:
        assert [answer.status_code for answer in opened] == [200] * most
        refused = first.get(f"{path}/events")
        assert (refused.status_code, refused.json()["type"]) == (
            429,
            "/problems/too-many-streams",
        )
        assert int(refused.headers["retry-after"]) >= 1
        waiting = first.get(f"{path}/cycles/1/analysis", params={"wait": 1})
        assert waiting.status_code == 429
        bob = {"X-API-Key": "key-of-bob"}
        with httpx.Client(base_url=pair.first.url, headers=bob) as other:
            mine = new_session(other)
            with listening(other, mine) as ear:
                ear.wait_for("session")
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    # Readers that have left make room, though nobody said good-bye.
    eventually(lambda: _status(first, path) == 200)


def _settled(http: httpx.Client, path: str, most: int) -> bool:
    """Whether all the streams that a tenant may have can be opened, and are closed."""
    streams = [http.stream("GET", f"{path}/events") for _ in range(most)]
    found = [stream.__enter__().status_code for stream in streams]
    for stream in streams:
        stream.__exit__(None, None, None)
    time.sleep(0.5)
    return found == [200] * most


def _status(http: httpx.Client, path: str) -> int:
    with http.stream("GET", f"{path}/events") as answer:
        return answer.status_code


def test_a_head_request_and_wrong_requests_are_answered_at_once(both: Both) -> None:
    first, _ = both
    path = new_session(first)
    head = first.head(f"{path}/events")
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    assert first.get(f"{path}/events", params={"last_event_id": "x"}).status_code == 422
    wrong = first.get(f"{path}/events", headers={"Accept": "application/json"})
    assert (wrong.status_code, wrong.json()["offered"]) == (406, ["text/event-stream"])
    assert first.get("/v1/sessions/none/events").status_code == 404


def test_waiting_for_an_analysis_ends_when_it_is_there(both: Both) -> None:
    first, second = both
    path = new_session(first)
    states, simulated = ensemble()
    with listening(first, path) as ear:
        ear.wait_for("session")
        found: list[httpx.Response] = []
        wait = {"wait": 20}
        where = f"{path}/cycles/1/analysis"
        waiting = threading.Thread(
            target=lambda: found.append(first.get(where, params=wait))
        )
        waiting.start()
        for i in range(MEMBERS):
            put_member(second, path, 1, i, states[i], simulated[i])
        put = observe(second, path, 1)
        waiting.join(PATIENCE)
    assert found[0].status_code == 200, found[0].text
    assert found[0].json()["analysis_samples"] == put.json()["analysis_samples"]
    some = first.get(where, params={**wait, "members": "0:2"})
    assert len(some.json()["analysis_samples"]) == 2


def test_waits_are_cut_to_what_the_service_allows(tmp_path: Path) -> None:
    with (
        serving(tmp_path, MAX_WAIT_SECONDS="0.2") as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        path = new_session(http)
        start = time.monotonic()
        answer = http.get(f"{path}/cycles/1/analysis", params={"wait": 3600})
        assert answer.status_code == 404
        assert answer.json()["current_cycle"] == 0
        assert observe(http, path, 1, wait=3600).status_code == 409
        assert time.monotonic() - start < PATIENCE / 2
        for wrong in ("-1", "nan", "inf", "x"):
            answer = http.get(f"{path}/cycles/1/analysis", params={"wait": wrong})
            assert answer.status_code == 422


def test_the_observation_waits_for_the_last_member_and_for_the_deadline(
    both: Both,
) -> None:
    first, second = both
    states, simulated = ensemble()
    coupling = {
        "members": 6,
        "minimum_members": 5,
        "missing": "refill",
        "deadline_seconds": 1.0,
    }
    path = new_session(first, coupling=coupling)
    for i in range(5):
        put_member(second, path, 1, i, states[i], simulated[i])
    early = observe(first, path, 1)
    assert early.status_code == 409 and "waited for" in early.json()["detail"]
    done = observe(first, path, 1, wait=20)
    assert done.status_code == 201
    facts = done.json()["diagnostics"]["coupling"]
    assert facts["deadline_passed"] and facts["missing"] == [5]
    # With all there, nobody waits for a deadline.
    first.patch(path, json={"coupling": {"deadline_seconds": 3600}})
    run_cycle(second, path, 2)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_streams_and_waits_end_when_the_service_does(
    kind: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    url = f"sqlite:///{tmp_path}/own.sqlite"
    if kind == "redis":
        url = redis_server.url.replace("/0", "/2")
    server = Server(tmp_path, **{**SETTINGS, "STORE_URL": url, "API_KEYS": KEYS})
    server.start()
    headers = {"X-API-Key": "key-of-alice"}
    try:
        with httpx.Client(
            base_url=server.url, headers=headers, timeout=PATIENCE
        ) as http:
            path = new_session(http)
            with listening(http, path) as ear:
                ear.wait_for("session")
                start = time.monotonic()
                server.stop()
                assert ear.ended.wait(PATIENCE)
                assert time.monotonic() - start < 10
    finally:
        server.kill()


def test_members_survive_a_service_that_is_killed(tmp_path: Path) -> None:
    server = Server(tmp_path, **SETTINGS).start()
    states, simulated = ensemble()
    try:
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
            path = new_session(http, coupling={"members": MEMBERS})
            for i in range(4):
                put_member(http, path, 1, i, states[i], simulated[i])
        server.kill()
        server.start()
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
            assert http.get(f"{path}/cycles/1/members").json()["arrived"] == 4
            for i in (4, 5):
                put_member(http, path, 1, i, states[i], simulated[i])
            done = observe(http, path, 1)
            assert np.isfinite(done.json()["analysis_samples"]).all()
    finally:
        server.kill()
