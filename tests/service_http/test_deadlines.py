"""One deadline for the whole of a put, and room for only so many that wait."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.errors import TooBusyError
from service.limits import Bodies
from tests.service_http.bodies import OBSERVATION, new_session
from tests.service_http.heavy import HEAVY, until_idle, workers
from tests.support.servers import PATIENCE, Server, serving

SOON = {"Ccdm-Timeout": "0.5"}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with room for one to run and one to wait."""
    folder = tmp_path_factory.mktemp("narrow")
    with serving(folder, MAX_RUNNING="1", MAX_QUEUED="1") as running:
        yield running


@pytest.fixture
def client(narrow: Server) -> Iterator[httpx.Client]:
    """A client of that service."""
    with httpx.Client(base_url=narrow.url, timeout=PATIENCE) as http:
        yield http
        until_idle(narrow, PATIENCE)


def put(http: httpx.Client, sid: str, seconds: float) -> httpx.Response:
    """PUT a first cycle that takes longer than this."""
    headers = {"Content-Type": HEAVY[0], "Ccdm-Timeout": f"{seconds:g}"}
    path = f"/v1/sessions/{sid}/cycles/1"
    return http.put(path, content=HEAVY[1], headers=headers)


def until_shown(server: Server, text: str) -> None:
    """Wait until the workers are as busy as this."""
    for _ in range(2000):
        if text in workers(server):
            return
    raise AssertionError(workers(server))


def test_waiting_for_members_ends_with_the_deadline(client: httpx.Client) -> None:
    sid = new_session(client, coupling={"members": 3})
    answer = client.put(
        f"/v1/sessions/{sid}/cycles/1?wait=5",
        json={"observation": OBSERVATION},
        headers=SOON,
    )
    assert answer.json()["type"] == "/problems/deadline-exceeded"


def test_waiting_behind_another_put_is_bounded_in_time_and_number(
    narrow: Server, client: httpx.Client
) -> None:
    sid = new_session(client, state_dim=40, measurement_dim=2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(put, client, sid, 6)
        until_shown(narrow, "1 of 1 running, 0 of 1")
        second = pool.submit(put, client, sid, 2)
        until_shown(narrow, "1 of 1 running, 1 of 1")
        third = put(client, sid, 3)
        assert third.json()["type"] == "/problems/too-busy"
        assert int(third.headers["retry-after"]) >= 1
        assert second.result().json()["type"] == "/problems/deadline-exceeded"
        assert not first.done()
    assert first.result().status_code == 504
    until_idle(narrow, PATIENCE)


def test_ensembles_of_the_store_count_as_bodies_do() -> None:
    bodies = Bodies(max_bytes=10, seconds=1.0, max_held_bytes=100)
    with bodies.hold(1000), pytest.raises(TooBusyError), bodies.hold(1):
        pass
    with bodies.hold(60), bodies.hold(40):
        assert bodies.held_bytes == 100
    assert bodies.held_bytes == 0
