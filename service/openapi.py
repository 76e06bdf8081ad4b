"""What the OpenAPI document says that signatures cannot.

Routers read bodies themselves and answer in several media types, so both are described
here, in full: every media type of every body, every problem of every endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.media.types import (
    ARRAY_ANSWERS,
    CSV,
    JSON,
    MERGE_PATCH,
    MULTIPART,
    NPY,
    PROBLEM,
)
from service.problem_types import TYPES
from service.schemas import (
    analyses,
    coupling,
    cycles,
    health,
    jobs,
    sessions,
    stored,
)
from service.schemas import problems as problem_models

Document = dict[str, Any]
Responses = dict[int | str, Document]

MODELS: tuple[type[BaseModel], ...] = (
    analyses.AnalysisRequest,
    analyses.AnalysisParams,
    analyses.AnalysisAnswer,
    sessions.SessionRequest,
    sessions.SessionParams,
    sessions.SessionPatch,
    sessions.SessionView,
    sessions.SessionList,
    cycles.CycleRequest,
    cycles.CycleParams,
    cycles.CycleAnswer,
    cycles.CycleView,
    cycles.CycleList,
    cycles.AnalysisDownload,
    coupling.MemberRequest,
    coupling.MemberParams,
    coupling.MemberAnswer,
    coupling.MemberList,
    jobs.JobView,
    jobs.JobList,
    jobs.JobResults,
    health.Alive,
    health.Readiness,
    stored.StoredAnalysisRequest,
    stored.StoredAnalysisAnswer,
    problem_models.ProblemDetails,
)
_ALWAYS = (
    *("bad-request", "unauthorized", "forbidden", "unknown-host", "head-too-large"),
    "head-timeout",
    *("invalid-parameters", "too-many-requests", "internal"),
)
_DESCRIPTION = """\
External simulators run an ensemble; this service turns its forecast into an analysis.

Send forecast states `x_i`, the measurements `y_i` simulated from them and one real
observation `y*`; receive samples of p(x | y*), computed by a closed-form conditional
diffusion model. No training, no access to the simulator.

**Arrays** are row-major, one row per member: `[N][dx]`. A column-major array of shape
`(dx, N)` is byte for byte the same, so Fortran, Julia, MATLAB and R may send theirs as
it lies in memory. Bodies are JSON, or multipart with npy parts of the same names and a
JSON part `params` for everything else. Answers are JSON, npy, raw bytes or CSV by
`Accept`. Compressed bodies are refused.

**Cycles** are numbered, and the number is the lock and the idempotency key: a simulator
that lost its reply sends the same PUT again and gets the same answer.

**Problems** follow RFC 9457; each `type` is the address of a page that explains it.
"""


def ref(name: str) -> Document:
    """A reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def problems(*slugs: str) -> Responses:
    """Answers for these problems, and for those any endpoint may have."""
    by_status: dict[int, list[str]] = {}
    for slug in (*slugs, *_ALWAYS):
        by_status.setdefault(TYPES[slug].status, []).append(slug)
    return {
        status: {
            "description": "; ".join(
                f"[{TYPES[slug].title}](/problems/{slug})" for slug in found
            ),
            "content": {PROBLEM: {"schema": ref("ProblemDetails")}},
        }
        for status, found in sorted(by_status.items())
    }


def answer(
    model: str, description: str, headers: Mapping[str, str] | None = None
) -> Document:
    """A JSON answer."""
    return {
        "description": description,
        "headers": _headers(headers or {}),
        "content": {JSON: {"schema": ref(model)}},
    }


def array_answers(
    model: str, description: str, headers: Mapping[str, str] | None = None
) -> Document:
    """An answer in every media type that arrays have."""
    numbers = {
        "Ccdm-Shape": "Rows and columns, with application/octet-stream.",
        "Ccdm-Dtype": "`<f8`, with application/octet-stream.",
    }
    content: Document = {JSON: {"schema": ref(model)}}
    for media_type in ARRAY_ANSWERS[1:]:
        content[media_type] = {"schema": _text_or_bytes(media_type)}
    return {
        "description": description,
        "headers": _headers({**numbers, **(headers or {})}),
        "content": content,
    }


def array_request(
    model: str,
    params: str,
    arrays: Sequence[str],
    *,
    required: bool | Sequence[str] = True,
) -> Document:
    """A body in JSON, or in multipart with npy parts.

    Args:
        model: of the JSON body.
        params: of the JSON part of the multipart body.
        arrays: names of the npy parts.
        required: whether these have to come, or which of them.
    """
    parts: Document = {name: _text_or_bytes(NPY) for name in arrays}
    form: Document = {
        "type": "object",
        "properties": {**parts, "params": ref(params)},
        "additionalProperties": False,
    }
    if required:
        form["required"] = list(arrays if required is True else required)
    encoding: Document = {name: {"contentType": NPY} for name in arrays}
    return {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": ref(model)},
                MULTIPART: {
                    "schema": form,
                    "encoding": {**encoding, "params": {"contentType": JSON}},
                },
            },
        }
    }


def json_request(model: str) -> Document:
    """A body in JSON, plain or as a merge patch."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": ref(model)} for media_type in (MERGE_PATCH, JSON)
            },
        }
    }


def header(name: str, description: str, **schema: Any) -> Document:
    """A request header that is read by hand."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def install(app: FastAPI, *, keys: bool) -> None:
    """Give the application its document, made when first asked for.

    Args:
        app: with all its routes.
        keys: whether requests need an API key.
    """

    def document() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, keys=keys)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, *, keys: bool) -> Document:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _, schemas = models_json_schema(
        [(model, "validation") for model in MODELS],
        ref_template="#/components/schemas/{model}",
    )
    _without_framework_errors(document)
    _with_bounds(document)
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted(_with_options_patch(schemas["$defs"]).items()))
    if keys:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"key": []}]
    return document


def query_names(app: FastAPI, template: str, method: str) -> frozenset[str] | None:
    """Names that an endpoint reads from the query, as the document has them.

    Returns:
        ``None`` for what is not in the document.
    """
    operation = app.openapi()["paths"].get(template, {}).get(method.lower())
    if operation is None:
        return None
    found = operation.get("parameters", ())
    return frozenset(item["name"] for item in found if item["in"] == "query")


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The methods of a path, as far as the document has it."""
    for template, operations in app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
            methods = {method.upper() for method in operations}
            return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
    return []


def _with_options_patch(schemas: Document) -> Document:
    """Schemas with one more: options of which each may be null, to set it back."""
    options = schemas["Options"]
    patch = {
        **options,
        "title": "OptionsPatch",
        "description": "Options to set; null brings back the default.",
        "properties": {
            name: {"anyOf": [schema, {"type": "null"}]}
            for name, schema in options["properties"].items()
        },
    }
    asked = schemas["SessionPatch"]["properties"]["options"]
    asked["anyOf"] = [ref("OptionsPatch"), {"type": "null"}]
    return {**schemas, "OptionsPatch": patch}


def _without_framework_errors(document: Document) -> None:
    """Drop the 422 that the framework adds to paths whose parameters cannot fail."""
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def _with_bounds(document: Document) -> None:
    """Say in JSON Schema's words how large what is read as text first may be."""
    words = {"ge": "minimum", "le": "maximum"}
    for path in document["paths"].values():
        for operation in path.values():
            for item in operation.get("parameters", ()):
                schema = item["schema"]
                item["schema"] = {words.get(k, k): v for k, v in schema.items()}


def _headers(headers: Mapping[str, str]) -> Document:
    every = {
        "X-Request-ID": "Names the request in the service's log.",
        "Server-Timing": "Milliseconds in queue, decode, compute (of which in the "
        "engine itself: engine), store and encode.",
    }
    return {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in {**headers, **every}.items()
    }


def _text_or_bytes(media_type: str) -> Document:
    if media_type == CSV:
        return {"type": "string", "description": "A header line, then one row each."}
    return {"type": "string", "format": "binary", "contentMediaType": media_type}
