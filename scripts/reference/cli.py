"""The page of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from scripts.reference.markdown import MADE, join, plain, table
from service.cli.app import app

_HEAD = f"""\
# Command line

{MADE}

Every command of `ccdm`, as `ccdm COMMAND --help` has it. Exit codes: 0 done, 1 what was
asked for failed, 2 it was asked for wrongly.
"""


def page() -> str:
    """The page, in Markdown."""
    commands = list(_commands("ccdm", typer.main.get_command(app)))
    rows = [
        (f"[`{name}`](#{name.replace(' ', '-')})", _first(command.help))
        for name, command in commands
    ]
    parts = [part for name, command in commands for part in _command(name, command)]
    return join([_HEAD, table(("Command", "does"), rows), *parts])


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """All commands below one; groups only as their members."""
    for below, inner in sorted(getattr(command, "commands", {}).items()):
        if hasattr(inner, "commands"):
            yield from _commands(f"{name} {below}", inner)
        else:
            yield f"{name} {below}", inner


def _first(text: str | None) -> str:
    return plain(text or "").partition("\n\n")[0]


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}"
    yield plain(command.help or "")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [_metavar(one) for one in arguments]
    yield f"`{' '.join([name, '[OPTIONS]', *words])}`"
    yield table(
        ("Argument", "Meaning"),
        [(f"`{_metavar(one)}`", one.help or "") for one in arguments],
    )
    shown = [one for one in options if one.name != "help"]
    yield table(
        ("Option", "Values", "Default", "Meaning"), [_option(one) for one in shown]
    )


def _metavar(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return word if argument.required or word.startswith("[") else f"[{word}]"


def _option(option: Any) -> tuple[str, str, str, str]:
    names = ", ".join(f"`{one}`" for one in [*option.opts, *option.secondary_opts])
    told, _, default = (option.help or "").partition("[default: ")
    default = default.rstrip("] ") or _default(option)
    if option.envvar:
        default = f"`{option.envvar}`"
    return names, _values(option), default, told.strip()


def _values(option: Any) -> str:
    if option.is_flag:
        return "flag"
    if option.metavar:
        return f"`{option.metavar}`"
    words = {int: "whole number", float: "number", str: "text", Path: "path"}
    kind = words[option.type_descriptor.annotation]
    bounds = [
        f"{sign} {value}"
        for sign, value in (("≥", option.min), ("≤", option.max))
        if value is not None
    ]
    return " ".join([kind, ", ".join(bounds)]).strip()


def _default(option: Any) -> str:
    value = option.default
    if value is None or value is False or value == []:
        return ""
    return f"`{str(value).lower() if value is True else value}`"
