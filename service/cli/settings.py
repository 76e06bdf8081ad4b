"""``ccdm settings``: every setting, what it means and what it is here."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo
from rich.markup import escape
from rich.table import Table

from service.cli.output import console
from service.cli.serve import read_settings
from service.settings import Settings
from service.stores.places import without_password

SECRET = "set"
GROUPS = {
    "Where it is": ("store_url", "host", "port"),
    "Sizes": (
        *("max_body_bytes", "max_held_bytes", "max_members", "max_samples"),
        *("max_state_dim", "max_measurement_dim", "max_steps", "max_memory_bytes"),
        *("max_metadata_bytes", "max_staged_bytes"),
    ),
    "Work": ("max_running", "analysis_threads", "max_queued", "deadline_seconds"),
    "Jobs": (
        *("job_workers", "job_ttl_seconds", "job_deadline_seconds"),
        *("job_lease_seconds", "job_attempts", "max_jobs", "max_tenant_jobs"),
    ),
    "Models that the service drives": (
        *("umbridge_models", "max_model_calls", "model_seconds"),
        "max_model_answer_bytes",
    ),
    "Connections": (
        *("head_seconds", "body_seconds", "stall_seconds", "answer_seconds"),
        "keep_alive_seconds",
        *("max_connections", "max_head_bytes", "max_headers"),
        *("max_wait_seconds", "max_streams", "heartbeat_seconds"),
    ),
    "Stopping": ("drain_seconds", "shutdown_seconds"),
    "Sessions": (
        *("session_ttl_seconds", "max_session_ttl_seconds", "keep_analyses"),
        *("max_keep_analyses", "keep_inputs"),
    ),
    "Tenants": (
        *("api_keys", "api_keys_file", "allowed_hosts", "max_tenant_sessions"),
        *("max_tenant_bytes", "requests_per_second", "request_burst"),
    ),
}
PAGE = """\
# Settings

Every setting is an environment variable, read once when the service starts. `ccdm
serve` has options for the first three; under Docker Compose all of them go into `.env`.
`ccdm settings` shows what holds where it is called.

This page is made from the code, by `python -m scripts.reference`; `ccdm settings
--markdown` prints it. A value in seconds may have decimals; sizes are in bytes.
"""


def show_settings(*, markdown: bool) -> None:
    """Print the reference page, or what holds here."""
    if markdown:
        print(reference(), end="")
        return
    settings = read_settings()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("setting", "value", "meaning"):
        table.add_column(column, overflow="fold")
    for name, field in Settings.model_fields.items():
        value = _shown(name, getattr(settings, name))
        style = "bold" if name in settings.model_fields_set else ""
        meaning = escape(field.description or "")
        table.add_row(environment_name(name), escape(value), meaning, style=style)
    out = console()
    out.print(table)
    out.print("\nIn bold: set in the environment.", style="dim")


def reference() -> str:
    """The page, in Markdown."""
    return "\n".join([PAGE, *_tables()]) + "\n"


def environment_name(name: str) -> str:
    """How the environment calls a setting."""
    return f"CCDM_{name.upper()}"


def _tables() -> Iterator[str]:
    grouped = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in Settings.model_fields if name not in grouped)
    for title, names in {**GROUPS, "Logs, metrics and the rest": rest}.items():
        yield f"## {title}\n"
        yield "| Variable | Default | Values | Meaning |"
        yield "|---|---|---|---|"
        for name in names:
            yield _row(name, Settings.model_fields[name])
        yield ""


def _row(name: str, field: FieldInfo) -> str:
    default = _default(name, field)
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{environment_name(name)}` | {default} | {_values(field)} | {meaning} |"


def _default(name: str, field: FieldInfo) -> str:
    # What depends on the machine is said in words.
    if name == "store_url":
        return "a file in the user's data folder"
    if name == "max_running":
        return "processors"
    value = field.default
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, float) and value.is_integer():
        return f"`{value:.0f}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(field: FieldInfo) -> str:
    kinds = _kinds(field.annotation)
    bounds = " ".join(_bounds(field))
    return f"{kinds} {bounds}".strip()


def _kinds(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_kinds(item) for item in arguments if item is not type(None))
    if origin in (tuple, dict):
        return "list" if origin is tuple else "JSON"
    names = {str: "text", int: "whole", float: "number", bool: "`true`, `false`"}
    return names.get(annotation, "path" if annotation is Path else str(annotation))


def _bounds(field: FieldInfo) -> Iterator[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for item in field.metadata:
        for name, sign in signs.items():
            if hasattr(item, name):
                yield f"{sign} {getattr(item, name)}"


def _shown(name: str, value: Any) -> str:
    if name == "store_url":
        return without_password(value)
    if Settings.model_fields[name].repr is False:
        return SECRET if value else "none"
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, dict | tuple):
        return ", ".join(map(str, value))
    return re.sub(r"\.0$", "", str(value))
