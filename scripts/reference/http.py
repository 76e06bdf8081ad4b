"""The page of the HTTP interface, from the service's own OpenAPI document."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scripts.reference.markdown import MADE, anchor, join, table
from scripts.reference.schemas import (
    ELSEWHERE,
    Schema,
    default,
    kind,
    meaning,
    name_of,
)
from service.app import build_app
from service.settings import Settings

Operation = Mapping[str, Any]
# Beside every answer; told once.
_EVERYWHERE = ("X-Request-ID", "Server-Timing")
_HEAD = """\
# HTTP

{made}

Every endpoint, its parameters, bodies and answers. The same in OpenAPI 3.1 is
`/openapi.json` on your service; `/docs` there lets you try it. Endpoints of other
protocols are told under [UM-Bridge and Open Inference](../howto/facades.md).
"""


def document() -> dict[str, Any]:
    """The OpenAPI document of a service with every setting at its default."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_construct(store_url=f"sqlite:///{folder}/none.sqlite")
        return build_app(settings).openapi()


def problem_slugs(operation: Operation) -> list[str]:
    """The problems that an endpoint may answer with, by status."""
    told = [str(answer["description"]) for answer in operation["responses"].values()]
    found = re.findall(r"\(/problems/([\w-]+)\)", "; ".join(told))
    return list(dict.fromkeys(found))


def everywhere(told: Mapping[str, Any]) -> list[str]:
    """The problems of all endpoints below ``/v1``."""
    every = [
        problem_slugs(operation)
        for request, operation in operations(told)
        if " /v1/" in request
    ]
    return [slug for slug in every[0] if all(slug in slugs for slugs in every)]


def page() -> str:
    """The page, in Markdown."""
    told = document()
    common = everywhere(told)
    schemas = told["components"]["schemas"]
    return join(
        [
            _HEAD.format(made=MADE),
            re.sub(r"(?m)^External.*\n\n", "", told["info"]["description"]),
            "## All endpoints",
            table(("Request", "does"), map(_entry, operations(told))),
            _common(common),
            *_by_tag(told, common),
            "## Schemas",
            "Names in **bold** have to be there. What a request does not know is "
            "refused; answers may grow.",
            *_schemas(schemas),
        ]
    )


def operations(told: Mapping[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _entry(item: tuple[str, Operation]) -> tuple[str, str]:
    request, operation = item
    summary = operation["summary"]
    return f"`{request}`", f"[{summary}](#{anchor(summary)})"


def _common(slugs: list[str]) -> str:
    return (
        "Every endpoint below `/v1` may also answer with one of these problems: "
        f"{_linked(slugs)}. Every answer has the headers `X-Request-ID`, which names "
        "it in the service's log, and `Server-Timing`, milliseconds by stage."
    )


def _linked(slugs: Iterable[str]) -> str:
    return ", ".join(f"[{slug}](problems.md#{slug})" for slug in slugs)


def _by_tag(told: Mapping[str, Any], common: list[str]) -> Iterator[str]:
    for tag in told["tags"]:
        yield f"## {tag['name'].capitalize()}"
        yield str(tag["description"])
        for request, operation in operations(told):
            if tag["name"] in operation["tags"]:
                yield from _operation(request, operation, common)


def _operation(request: str, operation: Operation, common: list[str]) -> Iterator[str]:
    yield f"### {operation['summary']}"
    yield f"`{request}`"
    yield str(operation.get("description", ""))
    yield table(
        ("Parameter", "in", "Values", "Default", "Meaning"),
        map(_parameter, operation.get("parameters", ())),
    )
    if body := operation.get("requestBody"):
        yield "Body: " + "; or ".join(_body(body["content"])) + "."
    yield table(("Answer", "holds", "Headers"), _answers(operation["responses"]))
    if slugs := [each for each in problem_slugs(operation) if each not in common]:
        yield f"Problems: {_linked(slugs)}."


def _parameter(item: Schema) -> tuple[str, ...]:
    name = f"**`{item['name']}`**" if item["required"] else f"`{item['name']}`"
    schema = item["schema"]
    told = default(schema)
    return name, item["in"], kind(schema), told, item.get("description", "")


def _body(content: Mapping[str, Any]) -> Iterator[str]:
    by_schema: dict[str, list[str]] = {}
    for media_type, entry in content.items():
        schema = entry["schema"]
        if name_of(schema):
            by_schema.setdefault(kind(schema), []).append(f"`{media_type}`")
            continue
        parts = [f"`{name}`" for name in schema["properties"] if name != "params"]
        params = kind(schema["properties"]["params"])
        word = "part" if len(parts) == 1 else "parts"
        told = f"npy {word} {', '.join(parts)} and a JSON part `params`, {params}"
        by_schema.setdefault(told, []).append(f"`{media_type}`")
    for told, media_types in by_schema.items():
        yield f"{' or '.join(media_types)} with {told}"


def _answers(responses: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for status, entry in responses.items():
        if "application/problem+json" in entry.get("content", ()):
            continue
        told = entry["description"].rstrip(".")
        kinds = [
            f"`{media_type}`{_shape(content['schema'])}"
            for media_type, content in entry.get("content", {}).items()
        ]
        headers = [
            f"`{name}`" for name in entry.get("headers", ()) if name not in _EVERYWHERE
        ]
        yield f"{status}: {told}", ", ".join(kinds), ", ".join(headers)


def _shape(schema: Schema) -> str:
    return f" {kind(schema)}" if name_of(schema) else ""


def _schemas(schemas: Mapping[str, Schema]) -> Iterator[str]:
    for name, schema in schemas.items():
        if name in ELSEWHERE:
            continue
        yield f"### {name}"
        yield str(schema.get("description", ""))
        needed = schema.get("required", ())
        rows = [
            _field(field, told, field in needed)
            for field, told in schema.get("properties", {}).items()
        ]
        yield table(("Name", "Values", "Default", "Meaning"), rows)
        if not rows and (others := schema.get("oneOf") or schema.get("anyOf")):
            yield "One of " + ", ".join(map(kind, others)) + "."


def _field(name: str, schema: Schema, needed: bool) -> tuple[str, ...]:
    shown = f"**`{name}`**" if needed else f"`{name}`"
    return shown, kind(schema), default(schema), meaning(schema)
