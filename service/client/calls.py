"""Every call of the service: the one place that builds its requests.

Each function is a generator of :class:`~service.client.messages.Request` that is sent
the replies and returns the result; the synchronous and the asynchronous client both
drive these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from service.client import wire
from service.client.errors import UsageError
from service.client.labels import Labels
from service.client.messages import Request, Steps
from service.client.results import (
    AnalysisResult,
    CycleRecord,
    CycleResult,
    SessionInfo,
    analysis_result,
    cycle_record,
    cycle_result,
    session_info,
)
from service.media.types import JSON, NPY

# Above this many numbers a second request for the samples as npy is quicker than
# printing and parsing them as JSON inside the first answer (measured on loopback:
# alike at 40,000, a third less time at 200,000).
LARGE = 50_000


def analyse(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: wire.Observation,
    options: Any = None,
    seed: int | None = None,
) -> Steps[AnalysisResult]:
    """``POST /v1/analyses``: keeps nothing, so repeating it does no harm."""
    params = given(options=_options(options), seed=seed)
    arrays = _triple(forecast_states, simulated_measurements, observation)
    reply = yield upload("POST", "/v1/analyses", arrays, params)
    labels = Labels.of_array(forecast_states)
    return replace(analysis_result(reply), labels=labels)


def create_session(fields: Mapping[str, Any]) -> Steps[SessionInfo]:
    """``POST /v1/sessions``; an initial ensemble goes as an npy part."""
    params = given(**fields)
    if "options" in params:
        params["options"] = _options(params["options"])
    ensemble = params.pop("initial_ensemble", None)
    if ensemble is None:
        request = json_request("POST", "/v1/sessions", params, repeatable=False)
    else:
        request = upload(
            "POST",
            "/v1/sessions",
            {"initial_ensemble": ensemble},
            params,
            repeatable=False,
        )
    return session_info(wire.read_json((yield request)))


def read_session(session: str) -> Steps[SessionInfo]:
    """``GET /v1/sessions/{id}``."""
    reply = yield Request("GET", at(session), headers={"Accept": JSON})
    return session_info(wire.read_json(reply))


def list_sessions(
    after: str | None = None, limit: int | None = None
) -> Steps[tuple[list[SessionInfo], str | None]]:
    """``GET /v1/sessions``: one page, and where the next begins."""
    query = _query(after=after, limit=limit)
    reply = yield Request("GET", "/v1/sessions", query, {"Accept": JSON})
    content = wire.read_json(reply)
    return [session_info(view) for view in content["sessions"]], content.get("next")


def update_session(
    session: str, version: int | None, changes: Mapping[str, Any]
) -> Steps[SessionInfo]:
    """``PATCH /v1/sessions/{id}``, only if it still has ``version``."""
    params = given(**changes)
    if "options" in params:
        params["options"] = _options(params["options"])
    headers = {} if version is None else {"If-Match": f'"{version}"'}
    # Conditional on the version, a repetition of an applied change fails as 412
    # rather than changing anything twice.
    reply = yield json_request("PATCH", at(session), params, headers)
    return session_info(wire.read_json(reply))


def delete_session(session: str) -> Steps[None]:
    """``DELETE /v1/sessions/{id}``; one that is gone already is as wanted."""
    reply = yield Request("DELETE", at(session))
    if reply.status != 410:
        wire.read_nothing(reply)


def cycle(
    session: str,
    number: int,
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: wire.Observation,
    options: Any = None,
) -> Steps[CycleResult]:
    """``PUT /v1/sessions/{id}/cycles/{k}``, and the samples as npy when large."""
    arrays = _triple(forecast_states, simulated_measurements, observation)
    params = given(options=_options(options))
    path = f"{at(session)}/cycles/{number_of(number)}"
    request = upload("PUT", path, arrays, params)
    if np.size(forecast_states) <= LARGE:
        return cycle_result((yield request))
    minimal = {**request.headers, "Prefer": "return=minimal"}
    reply = yield replace(request, headers=minimal)
    wire.read_nothing(reply)
    samples = yield from analysis(session, number)
    return cycle_result(reply, samples)


def analysis(
    session: str, number: int, members: slice | tuple[int, int] | None = None
) -> Steps[wire.Array]:
    """``GET /v1/sessions/{id}/cycles/{k}/analysis``, whole or some members."""
    path = f"{at(session)}/cycles/{number_of(number)}/analysis"
    query = {} if members is None else {"members": _range(members)}
    return wire.read_npy((yield Request("GET", path, query, {"Accept": NPY})))


def cycle_diagnostics(session: str, number: int) -> Steps[CycleRecord]:
    """``GET /v1/sessions/{id}/cycles/{k}``."""
    path = f"{at(session)}/cycles/{number_of(number)}"
    return cycle_record(
        wire.read_json((yield Request("GET", path, headers={"Accept": JSON})))
    )


def history(session: str) -> Steps[list[CycleRecord]]:
    """``GET /v1/sessions/{id}/cycles``, page after page."""
    records: list[CycleRecord] = []
    while True:
        query = _query(after=records[-1].cycle if records else None)
        reply = yield Request("GET", f"{at(session)}/cycles", query, {"Accept": JSON})
        content = wire.read_json(reply)
        page = [cycle_record(item) for item in content["cycles"]]
        records += page
        if not page or page[-1].cycle >= content["current_cycle"]:
            return records


def ready() -> Steps[dict[str, Any]]:
    """``GET /readyz``: each dependency and how it is; ``status`` sums them up.

    That something is not ready is an answer here and no failure, so 503 is neither
    repeated nor raised.
    """
    reply = yield Request("GET", "/readyz", headers={"Accept": JSON}, repeatable=False)
    if reply.status == 503:
        reply = replace(reply, status=200)
    return wire.read_json(reply)


def _triple(
    states: npt.ArrayLike, simulated: npt.ArrayLike, observation: wire.Observation
) -> dict[str, wire.Observation]:
    return {
        "forecast_states": states,
        "simulated_measurements": simulated,
        "observation": observation,
    }


def upload(
    method: str,
    path: str,
    arrays: Mapping[str, wire.Observation],
    params: Mapping[str, Any],
    *,
    repeatable: bool = True,
) -> Request:
    """A request with arrays as npy parts and parameters as JSON."""
    content_type, body = wire.form(arrays, params)
    sent = {"Content-Type": content_type, "Accept": JSON}
    return Request(method, path, {}, sent, body, repeatable)


def json_request(
    method: str,
    path: str,
    params: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    repeatable: bool = True,
) -> Request:
    """A request with a JSON body."""
    sent = {"Content-Type": JSON, "Accept": JSON, **(headers or {})}
    return Request(method, path, {}, sent, wire.json(params), repeatable)


def at(session: str) -> str:
    """Path of a session.

    Raises:
        UsageError: when this is no id.
    """
    if not isinstance(session, str) or not session:
        raise UsageError(f"session: got {session!r}, wanted the id of a session")
    return f"/v1/sessions/{quote(session, safe='')}"


def number_of(number: int, what: str = "cycle") -> int:
    """A number as it stands in a path.

    Raises:
        UsageError: when it is none.
    """
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise UsageError(f"{what}: got {number!r}, wanted an integer")
    if number < 0:
        raise UsageError(f"{what}: got {number}, wanted 0 or more")
    return int(number)


def _range(members: slice | tuple[int, int]) -> str:
    if isinstance(members, slice):
        if members.step not in (None, 1):
            raise UsageError(f"members: got step {members.step}, wanted step 1")
        start, stop = members.start or 0, members.stop
    else:
        start, stop = members
    return f"{start}:{'' if stop is None else stop}"


def _options(options: Any) -> dict[str, Any] | None:
    return None if options is None else wire.options_dict(options)


def given(**fields: Any) -> dict[str, Any]:
    """What was given, that is, is not ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def _query(**fields: Any) -> dict[str, str]:
    return {name: str(value) for name, value in given(**fields).items()}
