"""What is kept besides arrays: bounded, and no work for the event loop."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.media import lengths
from service.routers import parameters
from service.sessions import documents, machine
from service.stores.codec import pack_document
from tests.service_http.bodies import content
from tests.support.servers import PATIENCE, Server, in_process, serving

MIB = 1 << 20
DIMS = {"state_dim": 1000, "measurement_dim": 1}
NAMES = ["n" * 50] * 1000
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose sessions keep little besides their arrays."""
    folder = tmp_path_factory.mktemp("documents")
    with serving(folder, MAX_SESSION_DOCUMENT_BYTES=str(LIMIT)) as running:
        yield running


def told(answer: httpx.Response) -> None:
    """It says what is too long, and by which limit."""
    assert answer.status_code == 413, answer.text
    problem = answer.json()
    assert problem["type"] == "/problems/too-large"
    assert problem["limit_name"] == "max_session_document_bytes"
    assert problem["limit"] == LIMIT
    assert str(LIMIT) in problem["detail"] and "Got" in problem["detail"]


def test_what_a_session_keeps_besides_arrays_is_bounded(small: Server) -> None:
    with httpx.Client(base_url=small.url, timeout=PATIENCE) as http:
        two = {"states": NAMES, "measurements": ["y"]}
        short = {**DIMS, "names": two}
        made = http.post("/v1/sessions", json=short)
        assert made.status_code == 201, made.text
        place = made.headers["location"]
        places = [[0.123456789012345] * 2] * 1000
        for long in (
            {**short, "coordinates": {"states": places}},
            {**DIMS, "names": {"states": ["n" * 100] * 1000}},
        ):
            told(http.post("/v1/sessions", json=long))
        assert len(http.get("/v1/sessions").json()["sessions"]) == 1
        # An ensemble to be drawn is no document.
        drawn = {"initial_mean": [0.123456789012345] * 10_000, "members": 2}
        sizes = {"state_dim": 10_000, "initial_std": [0.123456789012345] * 10_000}
        made = http.post("/v1/sessions", json={**DIMS, **drawn, **sizes})
        assert made.status_code == 201, made.text
        # Together with what is there a change may be too long.
        local = {"measurement_coordinates": [0.5], "radius": 1.0}
        local["state_coordinates"] = [0.123456789012345] * 1000
        changed = http.patch(place, json={"options": {"localization": local}})
        told(changed)
        assert http.get(place).json()["options"] == {}
        assert http.patch(place, json={"ttl_seconds": 60}).status_code == 200


def test_parameters_of_a_cycle_are_bounded_and_those_of_an_analysis_are_not(
    small: Server,
) -> None:
    local = {"state_coordinates": [[0.123456789012345] * 2] * 5000}
    local |= {"measurement_coordinates": [[0.5, 0.5]], "radius": 1.0}
    body = content(options={"localization": local})
    with httpx.Client(base_url=small.url, timeout=PATIENCE) as http:
        sizes = {"state_dim": 2, "measurement_dim": 1}
        place = http.post("/v1/sessions", json=sizes).headers["location"]
        told(http.put(f"{place}/cycles/1", json=body))
        # Its options are wrong, and that is what is told.
        assert http.post("/v1/analyses", json=body).status_code == 422


def test_a_place_has_few_axes(http: httpx.Client) -> None:
    for axes, status in ((16, 201), (17, 422)):
        places = {"states": [[0.5] * axes] * 1000}
        answer = http.post("/v1/sessions", json={**DIMS, "coordinates": places})
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("size", [0, 1, 2048, 2049, 10_000])
def test_documents_are_written_as_json_writes_them(size: int) -> None:
    """In blocks or not: digests are made of these bytes."""
    chance = random.Random(size)
    numbers: list[Any] = [chance.random() for _ in range(size)]
    rows = [[x, 1e16, -0.0, 5e-324] for x in numbers]
    mixed = [None, True, "ä\ud800", 2**70, *numbers]
    deep = {"é": {"b": {"c": {"d": {"e": numbers}, "a": {}}}, "a": mixed}}
    for document in ({"z": rows, "a": numbers, "m": deep}, {}, {"a": {}, "b": []}):
        plain = json.dumps(
            document, sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        assert pack_document(document) == plain.encode("utf-8", "surrogatepass")
        counted = lengths.least_length(document, 1 << 40)
        assert counted <= len(plain) + 2
    for wrong in ([*numbers, float("nan")], [*numbers, object()]):
        with pytest.raises((ValueError, TypeError)):
            pack_document({"a": wrong})


async def test_long_documents_are_no_work_for_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Checked, packed, read and written out in other threads than this one."""
    threads: dict[str, list[int]] = {}

    def noted(module: Any, name: str) -> None:
        plain = getattr(module, name)

        def call(*args: Any) -> Any:
            threads.setdefault(name, []).append(threading.get_ident())
            return plain(*args)

        monkeypatch.setattr(module, name, call)

    noted(parameters, "validated")
    noted(machine, "pack_session")
    noted(documents, "unpack_session")
    async with in_process(tmp_path) as http:
        long = {**DIMS, "names": {"states": NAMES}}
        made = await http.post("/v1/sessions", json=long)
        assert made.status_code == 201, made.text
        place = made.headers["location"]
        assert (await http.get(place)).json()["names"] == long["names"]
        assert (await http.patch(place, json={"ttl_seconds": 9})).status_code == 200
        assert (await http.get("/v1/sessions")).status_code == 200
    assert len(threads.pop("validated")) == 2
    assert len(threads["pack_session"]) == 2 and len(threads["unpack_session"]) >= 4
    for name, where in threads.items():
        assert threading.get_ident() not in where, name


async def test_a_long_document_waits_for_room_before_it_is_kept(
    tmp_path: Path,
) -> None:
    limits = {"max_held_bytes": 2 * MIB, "max_body_bytes": MIB}
    async with in_process(tmp_path, **limits) as http:
        long = {**DIMS, "names": {"states": NAMES}}
        assert (await http.post("/v1/sessions", json=long)).status_code == 201
        state = http._transport.app.state  # type: ignore[attr-defined]
        state.bodies.count(MIB)
        for answer in (
            await http.post("/v1/sessions", json=long),
            await http.get("/v1/sessions"),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"] == "1"
        brief = await http.post("/v1/sessions", json=DIMS)
        assert brief.status_code == 201
        state.bodies.count(-MIB)
        listed = (await http.get("/v1/sessions")).json()["sessions"]
        assert [len(view["names"] or ()) for view in listed] == [1, 0]
