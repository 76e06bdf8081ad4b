"""The twenty commonest mistakes, and the sentences that help with each.

One table: made over HTTP, on the command line and on the page that tries an analysis.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

STATES = [[0.9, 1.2], [1.4, 0.7], [2.1, 0.3], [0.2, 1.6], [1.1, 1.0]]
SIMULATED = [[1.0], [1.3], [2.2], [0.1], [1.2]]
BODY = {
    "forecast_states": STATES,
    "simulated_measurements": SIMULATED,
    "observation": [1.5],
}
NAN = float("nan")
# The same where arrays are files and options fields: what is not all right in them.
CHANGED_FILES: dict[str, dict[str, Any]] = {
    "a crashed member": {"forecast_states": [[NAN, 1.2], *STATES[1:]]},
    "one member": {
        "forecast_states": STATES[:1],
        "simulated_measurements": SIMULATED[:1],
    },
    "an option misspelt": {"options": {"inflaton": 1.1}},
    "an option of another value": {"options": {"sampler": "odee"}},
    "too many measurement errors": {"options": {"measurement_error": [1, 2, 3]}},
}
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
    """A mistake, and the sentences that help.

    Attributes:
        call: makes it.
        status: of the answer.
        slug: kind of the problem.
        says: in ``detail``: what came, what was wanted.
        remedy: in ``remedy``: what to do about this very mistake.
        pointer: where, if it is a place in the body.
    """

    call: Call
    status: int
    slug: str
    says: str
    remedy: str
    pointer: str | None = None


NAN = json.dumps({**BODY, "observation": [float("nan")]}).encode()
MISTAKES = {
    "members as columns": Mistake(
        analysis(forecast_states=np.transpose(STATES).tolist()),
        *(422, "invalid-input"),
        "simulated_measurements: got 5 rows, wanted 2, one per row of forecast_states",
        "Members are columns here: send one member a row, the transpose",
        "/simulated_measurements",
    ),
    "too few simulated measurements": Mistake(
        analysis(simulated_measurements=SIMULATED[:3]),
        *(422, "invalid-input"),
        "simulated_measurements: got 3 rows, wanted 5, one per row of forecast_states",
        "Send one simulated measurement for every member; NaN for one that crashed",
        "/simulated_measurements",
    ),
    "measurements as a flat list": Mistake(
        analysis(simulated_measurements=[1.0, 1.3, 2.2, 0.1, 1.2]),
        *(422, "invalid-input"),
        "simulated_measurements: got shape (5,), wanted shape (N, dy), one row per",
        "Send a row for every member, even of one number: [[1.0], [1.3]]",
        "/simulated_measurements",
    ),
    "an observation too long": Mistake(
        analysis(observation=[1.5, 2.0]),
        *(422, "invalid-input"),
        "observation: got 2 values, wanted 1, one per column of simulated_measurements",
        "Send one number for each column of simulated_measurements; NaN",
        "/observation",
    ),
    "a number for the observation": Mistake(
        analysis(observation=1.5),
        *(422, "invalid-input"),
        "observation: got a number, wanted an array of numbers, as in [1.5]",
        "Send a list of numbers in brackets, even of a single one",
        "/observation",
    ),
    "NaN in JSON": Mistake(
        text_body(NAN, "application/json"),
        *(400, "invalid-json"),
        "NaN is no JSON",
        "Send null in place of NaN and Infinity, or send the arrays as npy",
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
        "Send the same variables in every row; null stands for",
        "/forecast_states/1",
    ),
    "a number as text": Mistake(
        analysis(observation=["1.5"]),
        *(422, "invalid-input"),
        "got a string at /observation/0, wanted a number",
        "Send numbers without quotation marks",
        "/observation/0",
    ),
    "one member": Mistake(
        analysis(forecast_states=STATES[:1], simulated_measurements=SIMULATED[:1]),
        *(422, "invalid-input"),
        "forecast_states: got 1 members, wanted at least 2",
        "send an ensemble; a hundred members are a good beginning",
        "/forecast_states",
    ),
    "an array left out": Mistake(
        analysis(observation=...),
        *(422, "invalid-input"),
        "Missing: observation",
        "Send observation too: wanted are forecast_states, simulated_measurements",
        "/observation",
    ),
    "an array misspelt": Mistake(
        analysis(observations=[1.5]),
        *(422, "invalid-parameters"),
        "there is no such name; perhaps observation was meant",
        "Call it observation, or leave it out",
        "/observations",
    ),
    "an option misspelt": Mistake(
        analysis(options={"inflaton": 1.1}),
        *(422, "invalid-options"),
        "there is no such name; perhaps inflation was meant",
        "Call it inflation, or leave it out",
        "/options/inflaton",
    ),
    "an option of another value": Mistake(
        analysis(options={"sampler": "odee"}),
        *(422, "invalid-options"),
        "got \"odee\", wanted 'ode', 'rk45', 'sde' or 'exact'",
        "leave sampler out: every option has a default",
        "/options/sampler",
    ),
    "too many measurement errors": Mistake(
        analysis(options={"measurement_error": [1, 2, 3]}),
        *(422, "invalid-options"),
        "measurement_error: got 3 values, wanted 1",
        "Give one standard deviation for all measurements",
        "/options/measurement_error",
    ),
    "no Content-Type for JSON": Mistake(
        text_body(json.dumps(BODY).encode(), "application/x-www-form-urlencoded"),
        *(415, "unsupported-media-type"),
        "Got Content-Type application/x-www-form-urlencoded, which is not read here",
        "with curl -H 'Content-Type: application/json'",
    ),
    "a part that is no npy": Mistake(
        form(observation=b"1.5\n"),
        *(422, "invalid-input"),
        "observation: this is not an npy file",
        "Write it with numpy.save(file, array)",
        "/observation",
    ),
    "options as a part of their own": Mistake(
        form(options=b"{}"),
        *(400, "invalid-multipart"),
        "Not read here: options; wanted one of forecast_states",
        "Put all that is not an array, options and seed say, into the one JSON part",
        "/options",
    ),
    "states of another session": Mistake(
        cycle(1, forecast_states=[[*row, 1.0] for row in STATES]),
        *(422, "invalid-input"),
        "forecast_states: got shape (5, 3), wanted shape (N, 2)",
        "The session was created with state_dim 2: send that many",
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
        "Check the id and the key, or create a session with POST /v1/sessions",
    ),
    "POST for a cycle": Mistake(
        lambda http: http.post("/v1/sessions/any/cycles/1", json=BODY),
        *(405, "method-not-allowed"),
        "Got POST, wanted one of",
        "Send it with PUT: its number is chosen by you",
    ),
    "an address without /v1": Mistake(
        lambda http: http.post("/analyses", json=BODY),
        *(404, "not-found"),
        "No endpoint has this path; those for data begin with /v1/",
        "Send it to /v1/analyses",
    ),
}
