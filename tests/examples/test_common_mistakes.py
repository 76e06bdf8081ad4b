"""The twenty commonest mistakes: what came, what was wanted, and what to do.

One table, made over HTTP as a person would make them. The page
``docs/howto/common-mistakes.md`` shows the same sentences.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.servers import ROOT, Server, serving

STATES = [[0.9, 1.2], [1.4, 0.7], [2.1, 0.3], [0.2, 1.6], [1.1, 1.0]]
SIMULATED = [[1.0], [1.3], [2.2], [0.1], [1.2]]
BODY = {
    "forecast_states": STATES,
    "simulated_measurements": SIMULATED,
    "observation": [1.5],
}
PAGE = (ROOT / "docs" / "howto" / "common-mistakes.md").read_text()
Call = Callable[[httpx.Client], httpx.Response]


def analysis(**changes: Any) -> Call:
    """A one-shot analysis with something wrong; ``...`` leaves a name out."""
    body = {k: v for k, v in {**BODY, **changes}.items() if v is not ...}
    return lambda http: http.post("/v1/analyses", json=body)


def cycle(k: int, **changes: Any) -> Call:
    """A cycle of a new session for two states and one measurement."""

    def call(http: httpx.Client) -> httpx.Response:
        settings = {"state_dim": 2, "measurement_dim": 1}
        made = http.post("/v1/sessions", json=settings).raise_for_status()
        place = f"{made.headers['Location']}/cycles/{k}"
        return http.put(place, json={**BODY, **changes})

    return call


def text_body(content: bytes, content_type: str) -> Call:
    """An analysis whose body is written by hand."""
    headers = {"Content-Type": content_type}
    return lambda http: http.post("/v1/analyses", content=content, headers=headers)


def form(**files: bytes) -> Call:
    """An analysis as a form, of which some parts are wrong."""

    def npy(values: Any) -> bytes:
        stream = io.BytesIO()
        np.save(stream, np.array(values))
        return stream.getvalue()

    parts = {**{name: npy(values) for name, values in BODY.items()}, **files}
    return lambda http: http.post(
        "/v1/analyses", files={name: (name, part) for name, part in parts.items()}
    )


@dataclass(frozen=True)
class Mistake:
    """A mistake, and the sentence that helps.

    Attributes:
        call: makes it.
        status: of the answer.
        slug: kind of the problem.
        says: in ``detail``: what came, what was wanted.
        pointer: where, if it is a place in the body.
        remedy: what to do, in ``detail`` or ``remedy``.
    """

    call: Call
    status: int
    slug: str
    says: str
    remedy: str
    pointer: str | None = None


NAN = json.dumps({**BODY, "observation": [float("nan")]}).encode()
OPTIONS = "every option has a default"
MEND = "Mend what `errors` points at"
MISTAKES = {
    "members as columns": Mistake(
        analysis(forecast_states=np.transpose(STATES).tolist()),
        *(422, "invalid-input"),
        "simulated_measurements: got 5 rows, wanted 2, one per row of forecast_states",
        "Column-major arrays of shape (dx, N) are byte for byte our (N, dx)",
        "/simulated_measurements",
    ),
    "too few simulated measurements": Mistake(
        analysis(simulated_measurements=SIMULATED[:3]),
        *(422, "invalid-input"),
        "simulated_measurements: got 3 rows, wanted 5, one per row of forecast_states",
        "Send one simulated measurement for every member",
        "/simulated_measurements",
    ),
    "measurements as a flat list": Mistake(
        analysis(simulated_measurements=[1.0, 1.3, 2.2, 0.1, 1.2]),
        *(422, "invalid-input"),
        "simulated_measurements: got shape (5,), wanted shape (N, dy), one row per",
        MEND,
        "/simulated_measurements",
    ),
    "an observation too long": Mistake(
        analysis(observation=[1.5, 2.0]),
        *(422, "invalid-input"),
        "observation: got 2 values, wanted 1, one per column of simulated_measurements",
        "Mark what was not observed with NaN (null in JSON)",
        "/observation",
    ),
    "a number for the observation": Mistake(
        analysis(observation=1.5),
        *(422, "invalid-input"),
        "observation: got a number, wanted an array of numbers, as in [1.5]",
        MEND,
        "/observation",
    ),
    "NaN in JSON": Mistake(
        text_body(NAN, "application/json"),
        *(400, "invalid-json"),
        "NaN is no JSON",
        "send null where a number is missing",
    ),
    "a crashed member": Mistake(
        analysis(forecast_states=[[None, 1.2], *STATES[1:]]),
        *(422, "invalid-input"),
        "forecast_states[0, 0]: got nan, wanted a finite number",
        "Set failed_members to 'drop' or 'refill' to go on without it",
        "/forecast_states/0/0",
    ),
    "rows of unequal length": Mistake(
        analysis(forecast_states=[[1, 2], [3], [4, 5], [6, 7], [8, 9]]),
        *(422, "invalid-input"),
        "forecast_states: row 1 has length 1, wanted 2 as in row 0",
        MEND,
        "/forecast_states/1",
    ),
    "a number as text": Mistake(
        analysis(observation=["1.5"]),
        *(422, "invalid-input"),
        "got a string at /observation/0, wanted a number",
        MEND,
        "/observation/0",
    ),
    "one member": Mistake(
        analysis(forecast_states=STATES[:1], simulated_measurements=SIMULATED[:1]),
        *(422, "invalid-input"),
        "forecast_states: got 1 members, wanted at least 2",
        MEND,
        "/forecast_states",
    ),
    "an array left out": Mistake(
        analysis(observation=...),
        *(422, "invalid-input"),
        "Missing: observation",
        MEND,
        "/observation",
    ),
    "an array misspelt": Mistake(
        analysis(observations=[1.5]),
        *(422, "invalid-parameters"),
        "there is no such name; perhaps observation was meant",
        MEND,
        "/observations",
    ),
    "an option misspelt": Mistake(
        analysis(options={"inflaton": 1.1}),
        *(422, "invalid-options"),
        "there is no such name; perhaps inflation was meant",
        OPTIONS,
        "/options/inflaton",
    ),
    "an option of another value": Mistake(
        analysis(options={"sampler": "odee"}),
        *(422, "invalid-options"),
        "got \"odee\", wanted 'ode', 'rk45', 'sde' or 'exact'",
        OPTIONS,
        "/options/sampler",
    ),
    "too many measurement errors": Mistake(
        analysis(options={"measurement_error": [1, 2, 3]}),
        *(422, "invalid-options"),
        "measurement_error: got 3 values, wanted 1",
        OPTIONS,
        "/options/measurement_error",
    ),
    "no Content-Type for JSON": Mistake(
        text_body(json.dumps(BODY).encode(), "application/x-www-form-urlencoded"),
        *(415, "unsupported-media-type"),
        "This Content-Type is not read here",
        "send application/json or multipart/form-data",
    ),
    "a part that is no npy": Mistake(
        form(observation=b"1.5\n"),
        *(422, "invalid-input"),
        "observation: this is not an npy file",
        "as numpy.save writes it",
        "/observation",
    ),
    "options as a part of their own": Mistake(
        form(options=b"{}"),
        *(400, "invalid-multipart"),
        "Not read here: options; wanted one of forecast_states",
        "a JSON part `params` for the rest",
        "/options",
    ),
    "states of another session": Mistake(
        cycle(1, forecast_states=[[*row, 1.0] for row in STATES]),
        *(422, "invalid-input"),
        "forecast_states: got shape (5, 3), wanted shape (N, 2)",
        MEND,
        "/forecast_states",
    ),
    "a cycle too far": Mistake(
        cycle(5),
        *(409, "cycle-conflict"),
        "Cycle 5 cannot follow cycle 0; the next cycle is 1",
        "Read the analysis of `current_cycle` and go on from there",
    ),
    "a session that is not there": Mistake(
        lambda http: http.get("/v1/sessions/nothing"),
        *(404, "session-not-found"),
        "There is no session 'nothing'",
        "create a session with POST /v1/sessions",
    ),
    "POST for a cycle": Mistake(
        lambda http: http.post("/v1/sessions/any/cycles/1", json=BODY),
        *(405, "method-not-allowed"),
        "Got POST, wanted one of",
        "The header Allow lists the methods",
    ),
    "an address without /v1": Mistake(
        lambda http: http.post("/analyses", json=BODY),
        *(404, "not-found"),
        "No endpoint has this path; those for data begin with /v1/",
        "See /docs for all endpoints",
    ),
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A connection to a real service."""
    server: Server
    with (
        serving(tmp_path_factory.mktemp("mistakes")) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


@pytest.mark.parametrize("name", MISTAKES)
def test_the_answer_helps(http: httpx.Client, name: str) -> None:
    mistake = MISTAKES[name]
    answer = mistake.call(http)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert answer.status_code == problem["status"] == mistake.status
    assert problem["type"] == f"/problems/{mistake.slug}"
    assert mistake.says in problem["detail"]
    assert mistake.remedy in f"{problem['detail']} {problem['remedy']}"
    if mistake.pointer:
        assert mistake.pointer in {error["pointer"] for error in problem["errors"]}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_page_shows_it(name: str) -> None:
    mistake = MISTAKES[name]
    row = next((line for line in PAGE.splitlines() if f"| {name} |" in line), "")
    assert mistake.says in row, f"docs/howto/common-mistakes.md: {name}"


def test_there_are_at_least_twenty() -> None:
    assert len(MISTAKES) >= 20
