"""Requests that are wrong in their address, their headers or their parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from service.media.types import MERGE_PATCH
from tests.service_http.bodies import JSON, STATES, json_bytes

UNKNOWN = "0" * 26
PATCH = {"Content-Type": MERGE_PATCH}


@dataclass(frozen=True)
class Wrong:
    """One wrong request and the problem it is.

    Attributes:
        path: with ``{sid}`` for a session at cycle 1 without an initial ensemble,
            ``{gone}`` for a deleted one and ``{old}`` for one that keeps one analysis
            and stands at cycle 2.
        pointer: of the first of the problem's errors, if it has any.
        members: further members that the problem has.
    """

    name: str
    method: str
    path: str
    status: int
    slug: str
    pointer: str | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    members: dict[str, Any] = field(default_factory=dict)


def parameter(
    name: str, path: str, pointer: str, method: str = "GET", **more: Any
) -> Wrong:
    """A wrong parameter in path, query or header."""
    return Wrong(name, method, path, 422, "invalid-parameters", pointer, **more)


def members(text: str) -> Wrong:
    """A wrong slice of members."""
    path = f"/v1/sessions/{{sid}}/cycles/1/analysis?members={text}"
    return parameter(f"members={text}", path, "/query/members")


def created(
    name: str, pointer: str, slug: str = "invalid-parameters", **changes: Any
) -> Wrong:
    """A session that cannot be created."""
    fields = {"state_dim": 2, "measurement_dim": 1, **changes}
    # orjson itself does not write what is nested deeply.
    body = json.dumps({k: v for k, v in fields.items() if v is not ...}).encode()
    return Wrong(name, "POST", "/v1/sessions", 422, slug, pointer, body)


def patched(
    name: str, pointer: str, slug: str = "invalid-parameters", **changes: Any
) -> Wrong:
    """A change that cannot be made."""
    body = orjson.dumps(changes)
    path = "/v1/sessions/{sid}"
    return Wrong(name, "PATCH", path, 422, slug, pointer, body, PATCH)


def accepting(
    name: str, method: str, path: str, accept: str, body: bytes = b""
) -> Wrong:
    """An Accept that nothing on offer satisfies."""
    headers = {**JSON, "Accept": accept}
    return Wrong(name, method, path, 406, "not-acceptable", None, body, headers)


SID = "/v1/sessions/{sid}"
DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]

CYCLES = [
    Wrong("a cycle ahead", "PUT", f"{SID}/cycles/3", 409, "cycle-conflict", None,
          json_bytes(), members={"current_cycle": 1}),
    Wrong("a cycle far ahead", "PUT", f"{SID}/cycles/1000000000", 409, "cycle-conflict",
          None, json_bytes(), members={"current_cycle": 1}),
    Wrong("a finished cycle with another body", "PUT", f"{SID}/cycles/1", 409,
          "cycle-conflict", None, json_bytes(observation=[1.6]),
          members={"current_cycle": 1}),
    Wrong("a finished cycle with other options", "PUT", f"{SID}/cycles/1", 409,
          "cycle-conflict", None, json_bytes(options={"inflation": 1.01}),
          members={"current_cycle": 1}),
    Wrong("seed of a cycle", "PUT", f"{SID}/cycles/2", 422, "invalid-parameters",
          "/seed", json_bytes(seed=1)),
    Wrong("states of another size", "PUT", f"{SID}/cycles/2", 422, "invalid-input",
          "/forecast_states", json_bytes(forecast_states=[[1, 2, 3]] * 5)),
    parameter("cycle 0 put", f"{SID}/cycles/0", "/path/k", "PUT", body=json_bytes()),
    parameter("cycle -1", f"{SID}/cycles/-1", "/path/k"),
    parameter("cycle abc", f"{SID}/cycles/abc", "/path/k"),
    parameter("cycle 01", f"{SID}/cycles/01", "/path/k"),
    parameter("cycle 1.0", f"{SID}/cycles/1.0", "/path/k"),
    parameter("cycle +1", f"{SID}/cycles/+1", "/path/k"),
    parameter("cycle 01 put", f"{SID}/cycles/01", "/path/k", "PUT", body=json_bytes()),
    parameter("cycle 1.5", f"{SID}/cycles/1.5", "/path/k"),
    parameter("cycle 10^30", f"{SID}/cycles/1" + "0" * 30, "/path/k"),
    Wrong("a cycle to come", "GET", f"{SID}/cycles/2", 404, "cycle-not-found",
          members={"current_cycle": 1}),
    Wrong("an analysis to come", "GET", f"{SID}/cycles/2/analysis", 404,
          "cycle-not-found"),
    Wrong("no initial ensemble", "GET", f"{SID}/cycles/0/analysis", 404,
          "cycle-not-found"),
    Wrong("an analysis not kept", "GET", "/v1/sessions/{old}/cycles/1/analysis", 410,
          "analysis-not-kept", members={"oldest_kept": 2}),
]  # fmt: skip
GONE = [
    Wrong(f"{method} {more or '/'} of {what}", method, f"/v1/sessions/{sid}{more}",
          status, slug, None, json_bytes() if method == "PUT" else b"{}")
    for what, sid, status, slug in (
        ("an unknown session", UNKNOWN, 404, "session-not-found"),
        ("a deleted session", "{gone}", 410, "session-gone"),
    )
    for method, more in (
        ("GET", ""), ("DELETE", ""), ("PATCH", ""), ("PUT", "/cycles/1"),
        ("GET", "/cycles"), ("GET", "/cycles/1"), ("GET", "/cycles/1/analysis"),
    )
] + [
    Wrong("an impossible session", "GET", "/v1/sessions/%00%22", 404,
          "session-not-found"),
    Wrong("a very long session", "GET", "/v1/sessions/" + "x" * 5000, 404,
          "session-not-found"),
]  # fmt: skip
SLICES = [
    members(text)
    for text in ("a:b", "5:2", "1:1", "-3:", "::2", "0:1,3:4", "", "0x1:2", "1e3:",
                 "9999999999:", "5:6", "7")
]  # fmt: skip
CREATED = [
    created("no state_dim", "/state_dim", state_dim=...),
    created("state_dim 0", "/state_dim", state_dim=0),
    created("state_dim true", "/state_dim", state_dim=True),
    created("state_dim 2.5", "/state_dim", state_dim=2.5),
    created("measurement_dim -1", "/measurement_dim", measurement_dim=-1),
    created("ttl 0", "/ttl_seconds", ttl_seconds=0),
    created("ttl of a moment", "/ttl_seconds", ttl_seconds=1e-9),
    created("ttl of a century", "/ttl_seconds", ttl_seconds=3.2e9),
    created("seed -1", "/seed", seed=-1),
    created("seed 2^63", "/seed", seed=2**63),
    created("seed 1.5", "/seed", seed=1.5),
    created("keep 0", "/keep_analyses", keep_analyses=0),
    created("keep a million", "/keep_analyses", keep_analyses=1_000_000),
    created("mean alone", "", initial_mean=[0, 0]),
    created("mean too short", "/initial_mean", initial_mean=[0], initial_std=1,
            members=5),
    created("std negative", "/initial_std", initial_mean=[0, 0], initial_std=-1,
            members=5),
    created("mean and ensemble", "/initial_mean", initial_mean=[0, 0], initial_std=1,
            members=5, initial_ensemble=STATES),
    created("one member", "/members", initial_mean=[0, 0], initial_std=1, members=1),
    created("names too few", "/names/states", names={"states": ["a"]}),
    created("name with a line break", "/names/states/0",
            names={"states": ["a\n", "b"]}),
    created("coordinates too many", "/coordinates/states",
            coordinates={"states": [1, 2, 3]}),
    created("metadata a list", "/metadata", metadata=[]),
    created("metadata too deep", "/metadata", metadata={"a": DEEP}),
    created("unknown member", "/state_dims", state_dims=2),
    created("unknown option", "/options/foo", "invalid-options", options={"foo": 1}),
    created("options that only the engine refuses", "/options/max_bandwidth",
            "invalid-options",
            options={"state_bandwidth": 2, "max_bandwidth": 1}),
    created("errors of more measurements than there are",
            "/options/measurement_error", "invalid-options",
            options={"measurement_error": [1, 2, 3]}),
    created("no errors at all", "/options/measurement_error", "invalid-options",
            options={"measurement_error": []}),
    created("places of more states than there are",
            "/options/localization/state_coordinates", "invalid-options",
            options={"localization": {"state_coordinates": [0, 1, 2], "radius": 1,
                                      "measurement_coordinates": [0]}}),
    created("ensemble of another size", "/initial_ensemble", "invalid-input",
            initial_ensemble=[[1, 2, 3], [4, 5, 6]]),
    created("null in the ensemble", "/initial_ensemble/1/0", "invalid-input",
            initial_ensemble=[[1, 2], [None, 4]]),
    created("ensemble ragged", "/initial_ensemble/1", "invalid-input",
            initial_ensemble=[[1, 2], [3]]),
    Wrong("metadata too long", "POST", "/v1/sessions", 413, "too-large", None,
          orjson.dumps({"state_dim": 1, "measurement_dim": 1,
                        "metadata": {"a": "x" * 20_000}}),
          members={"limit_name": "max_metadata_bytes", "limit": 16384}),
    Wrong("state too large", "POST", "/v1/sessions", 413, "too-large", None,
          orjson.dumps({"state_dim": 10**7, "measurement_dim": 1}),
          members={"limit_name": "max_state_dim", "limit": 100_000}),
]  # fmt: skip
PATCHED = [
    patched("ttl -1", "/ttl_seconds", ttl_seconds=-1),
    patched("ttl a string", "/ttl_seconds", ttl_seconds="1"),
    patched("metadata a string", "/metadata", metadata="x"),
    patched("a member that cannot change", "/seed", seed=1),
    patched("option negative", "/options/inflation", "invalid-options",
            options={"inflation": -1}),
    patched("errors of more measurements than there are, later",
            "/options/measurement_error", "invalid-options",
            options={"measurement_error": [1, 2, 3]}),
    patched("places of more measurements than there are",
            "/options/localization/measurement_coordinates", "invalid-options",
            options={"localization": {"state_coordinates": [0, 1], "radius": 1,
                                      "measurement_coordinates": [0, 1]}}),
    patched("unknown option set back", "/options/foo", "invalid-options",
            options={"foo": None}),
    Wrong("patch no JSON", "PATCH", SID, 400, "invalid-json", "", b"", PATCH),
    Wrong("patch as text", "PATCH", SID, 415, "unsupported-media-type", None, b"{}",
          {"Content-Type": "text/plain"}),
    Wrong("patch compressed", "PATCH", SID, 415, "unsupported-media-type", None, b"{}",
          {**PATCH, "Content-Encoding": "gzip"}),
    Wrong("patch of another version", "PATCH", SID, 412, "precondition-failed", None,
          b"{}", {**PATCH, "If-Match": '"1"'}, {"current_version": 2}),
    Wrong("patch of a weak version", "PATCH", SID, 412, "precondition-failed", None,
          b"{}", {**PATCH, "If-Match": 'W/"2"'}),
    Wrong("delete of another version", "DELETE", SID, 412, "precondition-failed", None,
          b"", {"If-Match": '"1", "7"'}, {"current_version": 2}),
    parameter("If-Match without quotes", SID, "/header/if-match", "PATCH", body=b"{}",
              headers={**PATCH, "If-Match": "2"}),
    parameter("If-Match on delete", SID, "/header/if-match", "DELETE",
              headers={"If-Match": '"2'}),
]  # fmt: skip
REST = [
    parameter("timeout 0", "/v1/analyses", "/header/Ccdm-Timeout", "POST",
              body=json_bytes(), headers={**JSON, "Ccdm-Timeout": "0"}),
    parameter("timeout of nearly nothing", "/v1/analyses", "/header/Ccdm-Timeout",
              "POST", body=json_bytes(), headers={**JSON, "Ccdm-Timeout": "5e-324"}),
    parameter("timeout inf", "/v1/analyses", "/header/Ccdm-Timeout", "POST",
              body=json_bytes(), headers={**JSON, "Ccdm-Timeout": "inf"}),
    parameter("timeout soon", f"{SID}/cycles/2", "/header/Ccdm-Timeout", "PUT",
              body=json_bytes(), headers={**JSON, "Ccdm-Timeout": "soon"}),
    accepting("picture", "POST", "/v1/analyses", "image/png", json_bytes()),
    accepting("json refused", "POST", "/v1/analyses",
              "application/json;q=0, image/*", json_bytes()),
    accepting("nonsense", "GET", f"{SID}/cycles/1/analysis", "yes"),
    accepting("npy of a view", "GET", SID, "application/x-npy"),
    accepting("csv of cycles", "GET", f"{SID}/cycles", "text/csv"),
    parameter("an unknown name in the query", f"{SID}/cycles?lim=1", "/query/lim"),
    parameter("a query where none is read", f"{SID}?limit=1", "/query/limit"),
    parameter("a name twice in the query", "/v1/sessions?limit=1&limit=2",
              "/query/limit"),
    parameter("limit 01", "/v1/sessions?limit=01", "/query/limit"),
    parameter("limit 1_0", "/v1/sessions?limit=1_0", "/query/limit"),
    parameter("limit 0", "/v1/sessions?limit=0", "/query/limit"),
    parameter("limit abc", "/v1/sessions?limit=abc", "/query/limit"),
    parameter("limit 10^6", f"{SID}/cycles?limit=1000000", "/query/limit"),
    parameter("after with a slash", "/v1/sessions?after=a/b", "/query/after"),
    parameter("after -1", f"{SID}/cycles?after=-1", "/query/after"),
    Wrong("a path that is none", "GET", "/v1/nothing", 404, "not-found"),
    Wrong("a problem that is none", "GET", "/problems/nothing", 404, "not-found"),
    Wrong("GET of analyses", "GET", "/v1/analyses", 405, "method-not-allowed"),
    Wrong("PUT of sessions", "PUT", "/v1/sessions", 405, "method-not-allowed"),
    Wrong("n_samples beyond reason", "POST", "/v1/analyses", 413, "too-large", None,
          json_bytes(options={"n_samples": 10**9}),
          members={"limit_name": "max_samples"}),
    Wrong("steps beyond reason", "POST", "/v1/analyses", 413, "too-large", None,
          json_bytes(options={"steps": 10**9}), members={"limit_name": "max_steps"}),
    Wrong("seed a string", "POST", "/v1/analyses", 422, "invalid-parameters", "/seed",
          json_bytes(seed="1")),
    Wrong("seed true", "POST", "/v1/analyses", 422, "invalid-parameters", "/seed",
          json_bytes(seed=True)),
]  # fmt: skip

CASES = [*CYCLES, *GONE, *SLICES, *CREATED, *PATCHED, *REST]
