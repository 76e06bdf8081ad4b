"""JSON Schema in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from scripts.reference.markdown import anchor

Schema = Mapping[str, Any]
# Told on a page of their own, from the engine's own words.
ELSEWHERE = {
    "Options": "options.md",
    "OptionsPatch": "options.md",
    "LocalizationOptions": "options.md#localization",
}
_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
# Bounds that only keep nonsense out tell a reader nothing.
_LARGE = 1e9


def link(name: str) -> str:
    """A schema's name, leading to where it is told."""
    return f"[{name}]({ELSEWHERE.get(name, '#' + anchor(name))})"


def name_of(schema: Schema) -> str | None:
    """The component that a reference names."""
    found = str(schema.get("$ref", ""))
    return found.rpartition("/")[2] or None


def kind(schema: Schema) -> str:
    """What values a schema lets in."""
    if name := name_of(schema):
        return link(name)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(map(kind, schema[word])))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    return _plain_kind(schema)


def _plain_kind(schema: Schema) -> str:
    given = schema.get("type", "anything")
    if isinstance(given, list):
        return " or ".join(_plain_kind({**schema, "type": one}) for one in given)
    if given == "array":
        inner = kind(schema.get("items", {}))
        # A word, a link, or an array of these.
        simple = re.fullmatch(r"[\w\[\]]+|\[\S*\)", inner)
        return f"{inner}[]" if simple else f"({inner})[]"
    if schema.get("format") == "date-time":
        return "time (RFC 3339)"
    words = {"string": "text", "integer": "whole number", "null": "`null`"}
    return f"{words.get(given, given)} {', '.join(_bounds(schema))}".strip()


def _bounds(schema: Schema) -> list[str]:
    return [
        f"{sign} {schema[name]:g}"
        for name, sign in _SIGNS.items()
        if name in schema and abs(schema[name]) < _LARGE
    ]


def meaning(schema: Schema) -> str:
    """Its description, wherever among its alternatives it stands."""
    if found := schema.get("description"):
        return str(found)
    inner = [meaning(one) for one in schema.get("anyOf", ())]
    return next(filter(None, inner), "")


def default(schema: Schema) -> str:
    """What holds where nothing is given."""
    if "default" not in schema:
        return ""
    return f"`{json.dumps(schema['default'])}`"
