"""Problems: complete, explained, and never more than the client may know."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request

from service import problems
from service.errors import ServiceError, TooBusyError
from service.jobs.errors import JobError, LeaseLost
from service.media.errors import MediaError
from service.problem_types import TYPES
from service.schemas.problems import ProblemDetails
from service.sessions.errors import SessionError, SessionInputError
from service.stores.errors import StoreError, StoreUnavailable
from tests.service_http.bodies import STATES, content
from tests.support.servers import in_process, serving


def leaves(kind: type[Exception]) -> set[type[Exception]]:
    """All classes below one that have none below themselves."""
    below = kind.__subclasses__()
    return {kind} if not below else set().union(*map(leaves, below))


def test_every_exception_drawn_has_its_row() -> None:
    drawn = set().union(
        *map(leaves, (ServiceError, MediaError, SessionError, StoreError, JobError))
    )
    # What does not fit a session goes by its argument.
    drawn -= {SessionInputError}
    # Between workers: no request hears of it.
    drawn -= {LeaseLost}
    # Raised as they are, though one kind of each has a row of its own.
    drawn |= {StoreUnavailable, TooBusyError}
    assert drawn == {rule.exception for rule in problems.RULES}


def test_every_slug_of_the_table_has_a_page(http: httpx.Client) -> None:
    assert {rule.slug for rule in problems.RULES} <= set(TYPES)
    listing = http.get("/problems").text
    for slug, kind in TYPES.items():
        page = http.get(f"/problems/{slug}")
        assert page.headers["content-type"].startswith("text/html")
        assert kind.title in page.text and f'href="/problems/{slug}"' in listing
        assert 400 <= kind.status < 600 and slug == kind.slug


async def test_a_defect_is_a_problem_with_an_opaque_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with in_process(tmp_path, log_format="json") as http:
        app = _application(http)

        @app.get("/defect")
        async def defect(request: Request) -> None:
            raise RuntimeError("with the secret 4711")

        answer = await http.get("/defect", headers={"X-Request-ID": "mine-1"})
    assert answer.status_code == 500
    problem = ProblemDetails.model_validate(answer.json())
    assert problem.type == "/problems/internal"
    assert problem.request_id == answer.headers["x-request-id"] == "mine-1"
    assert "4711" not in answer.text
    logged = capsys.readouterr().err
    assert "4711" in logged and "mine-1" in logged


def _application(http: httpx.AsyncClient) -> FastAPI:
    transport = http._transport
    assert isinstance(transport, httpx.ASGITransport)
    app = transport.app
    assert isinstance(app, FastAPI)
    return app


def test_a_store_that_is_away_leaves_analyses_alone(tmp_path: Path) -> None:
    # Nobody listens on this port.
    with (
        serving(tmp_path, STORE_URL="redis://127.0.0.1:1/0") as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        refused = http.post("/v1/sessions", json={"state_dim": 2, "measurement_dim": 1})
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/store-unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert http.post("/v1/analyses", json=content()).status_code == 200
        assert http.get("/livez").status_code == 200
        ready = http.get("/readyz")
    assert ready.status_code == 503
    checks = {check["name"]: check for check in ready.json()["checks"]}
    assert not checks["store"]["ok"] and checks["store"]["detail"]
    assert checks["workers"]["ok"]


async def test_damaged_data_are_a_problem_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"state_dim": 2, "measurement_dim": 1, "initial_ensemble": STATES}
    async with in_process(tmp_path, log_format="json") as http:
        paths = [
            (await http.post("/v1/sessions", json=fields)).headers["location"]
            for _ in range(2)
        ]
        sid = paths[0].rpartition("/")[2]
        with closing(sqlite3.connect(tmp_path / "sessions.sqlite")) as file, file:
            find, change = (
                "SELECT meta FROM sessions WHERE sid = ?",
                "UPDATE sessions SET meta = ? WHERE sid = ?",
            )
            (meta,) = file.execute(find, (sid,)).fetchone()
            file.execute(change, (meta[:-1] + bytes([meta[-1] ^ 1]), sid))
        answers = [
            await http.get(paths[0]),
            await http.put(f"{paths[0]}/cycles/1", json=content()),
            await http.patch(paths[0], json={"metadata": {}}),
        ]
        for answer in answers:
            problem = ProblemDetails.model_validate(answer.json())
            assert (answer.status_code, problem.type) == (
                500,
                "/problems/store-corrupt",
            )
        logged = map(orjson.loads, capsys.readouterr().err.splitlines())
        told = [item for item in logged if item["event"] == "store-corrupt"]
        assert [item["request_id"] for item in told] == [
            answer.json()["request_id"] for answer in answers
        ]
        assert (await http.get(paths[1])).status_code == 200
        # The way out that the problem's page names.
        assert (await http.delete(paths[0])).status_code == 204
        document = (await http.get("/openapi.json")).json()
    described = document["paths"]["/v1/sessions/{session_id}"]["get"]["responses"]
    assert "/problems/store-corrupt" in described["500"]["description"]
