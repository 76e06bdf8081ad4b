"""Errors say what happened in one readable piece, and keep all of it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import orjson
import pytest

import service.client
from service.client import (
    AnalysisNotKeptError,
    Client,
    ClientError,
    CycleConflictError,
    CycleNotFoundError,
    GoneError,
    InvalidInputError,
    NotAuthorizedError,
    NotFoundError,
    PreconditionFailedError,
    RequestRejectedError,
    RetryPolicy,
    ServiceError,
    ServiceFailureError,
    SessionGoneError,
    SessionNotFoundError,
    TimedOutError,
    UnavailableError,
    UsageError,
)
from service.client.errors import service_error
from tests.support.client_servers import Recorder, answer, running

KINDS = [
    (400, "invalid-json", RequestRejectedError),
    (401, "unauthorized", NotAuthorizedError),
    (403, "forbidden", NotAuthorizedError),
    (404, "not-found", NotFoundError),
    (404, "session-not-found", SessionNotFoundError),
    (404, "cycle-not-found", CycleNotFoundError),
    (406, "not-acceptable", RequestRejectedError),
    (409, "cycle-conflict", CycleConflictError),
    (410, "session-gone", SessionGoneError),
    (410, "analysis-not-kept", AnalysisNotKeptError),
    (410, "something-new", GoneError),
    (412, "precondition-failed", PreconditionFailedError),
    (413, "too-large", RequestRejectedError),
    (415, "unsupported-media-type", RequestRejectedError),
    (422, "invalid-options", InvalidInputError),
    (429, "too-busy", UnavailableError),
    (503, "store-unavailable", UnavailableError),
    (500, "internal", ServiceFailureError),
    (500, "store-corrupt", ServiceFailureError),
    (507, "store-full", ServiceFailureError),
    (502, "", ServiceFailureError),
]
PROBLEM = {
    "type": "/problems/cycle-conflict",
    "title": "Conflict",
    "status": 409,
    "detail": "The session stands at cycle 4.",
    "request_id": "r-1",
    "current_cycle": 4,
    "errors": [{"pointer": "/k", "code": "order", "message": "wanted 5"}],
}


@pytest.mark.parametrize(("status", "slug", "kind"), KINDS, ids=str)
def test_each_problem_has_its_exception(
    status: int, slug: str, kind: type[ServiceError]
) -> None:
    problem = {"type": f"/problems/{slug}" if slug else "about:blank", "detail": "so"}
    error = service_error(status, problem, None)
    assert type(error) is kind
    assert (error.status, error.slug, error.detail) == (status, slug, "so")


def test_the_content_of_a_problem_is_kept_and_told() -> None:
    error = service_error(409, PROBLEM, 2.0)
    assert error.current_cycle == 4
    assert error.problem == PROBLEM
    assert str(error).splitlines() == [
        "409 cycle-conflict: The session stands at cycle 4.",
        "  /k: wanted 5",
        "  come back in 2 s",
        "  (request r-1)",
    ]


def test_what_to_do_is_told_once() -> None:
    advice = {"remedy": "Read the session, then go on from its last analysis."}
    error = service_error(409, {**PROBLEM, **advice}, None)
    assert error.remedy == advice["remedy"]
    assert f"  what to do: {advice['remedy']}" in str(error).splitlines()
    told = {**PROBLEM, **advice, "detail": f"No. {advice['remedy']}"}
    assert str(service_error(409, told, None)).count(advice["remedy"]) == 1
    odd = service_error(409, {"detail": "no", "remedy": ["a list"]}, None)
    assert str(odd) == "409: no" and odd.remedy == ""


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(pickle.dumps(service_error(409, PROBLEM, 2.0)))
    assert type(error) is CycleConflictError
    assert (error.current_cycle, error.retry_after) == (4, 2.0)


@pytest.mark.parametrize(
    "body",
    [b"<html>Bad Gateway</html>", b"", b"[1]", b'"text"', orjson.dumps({"errors": 3})],
)
def test_a_proxy_s_words_still_make_an_error(body: bytes) -> None:
    server = Recorder([answer(502, body, "text/html", X_Request_ID="r-9")])
    with (
        running(server),
        Client(server.url, retry=RetryPolicy(give_up_after=0)) as client,
        pytest.raises(ServiceFailureError, match="502") as caught,
    ):
        client.session("s")
    assert caught.value.request_id == "r-9"
    if body.startswith(b"<"):
        assert "Bad Gateway" in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="http://127"):
        Client(url)


def test_what_cannot_be_asked_is_refused_without_asking() -> None:
    with Client("http://127.0.0.1:9") as client:
        for wrong in (
            lambda: client.session(""),
            lambda: client.analyse([["a"]], [[1]], [1]),
            lambda: client.analyse([[1]], [[1]], [1], options=3),
        ):
            with pytest.raises(UsageError):
                wrong()


def test_builtin_families_are_kept() -> None:
    # So that callers who know no client catch them too.
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(UsageError, ValueError)
    assert issubclass(TimedOutError, TimeoutError)


def test_every_public_name_is_there_and_every_error_is_public() -> None:
    public = {name: getattr(service.client, name) for name in service.client.__all__}
    drawn = [ClientError]
    for kind in drawn:
        drawn += kind.__subclasses__()
    assert {kind.__name__ for kind in drawn} <= set(public)
    assert service.client.__all__ == sorted(service.client.__all__)


def test_the_client_is_light_to_import() -> None:
    heavy = ["fastapi", "starlette", "pydantic", "redis", "scipy", "ccdm_engine"]
    code = (
        "import sys, service.client; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
