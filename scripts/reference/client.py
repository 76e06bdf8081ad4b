"""The page of the Python client, from its public docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import service.client as package
from scripts.reference.markdown import MADE, cell, join, plain, read, table
from service.client import ClientError

HANDLES = ("Client", "Session", "Job", "StoredJob")
AWAITED = ("AsyncClient", "AsyncSession", "AsyncJob", "AsyncStoredJob")
_HEAD = f"""\
# Python client

{MADE}

All that `from service.client import ...` gives. How it is used is told under [use it
from Python](../howto/python.md).
"""
_AWAITED = f"""\
## On an event loop

{", ".join(f"`{name}`" for name in AWAITED)}: the same with every call awaited, `async
with` and `async for`. Arguments, results and errors are those above.
"""
# Of the machinery, and of every class.
_UNTOLD = {"run"}


def page() -> str:
    """The page, in Markdown."""
    public = {name: getattr(package, name) for name in package.__all__}
    errors = {n: it for n, it in public.items() if _is_error(it)}
    results = [n for n in public if n not in (*HANDLES, *AWAITED, *errors)]
    return join(
        [
            _HEAD,
            read(package.__doc__).text.partition("\n\n")[2],
            *(part for name in HANDLES for part in _handle(name, public[name])),
            _AWAITED,
            "## What comes back, and what is given",
            *(part for name in sorted(results) for part in _record(name, public[name])),
            "## Errors",
            "All are `ClientError`s; those under `ServiceError` carry the service's "
            "[problem](problems.md).",
            *(part for name in _ordered(errors) for part in _error(errors[name])),
        ]
    )


def _is_error(item: Any) -> bool:
    return inspect.isclass(item) and issubclass(item, ClientError)


def _ordered(errors: dict[str, Any]) -> list[str]:
    """Every error after the one it is a kind of."""
    return sorted(errors, key=lambda name: [c.__name__ for c in _line(errors[name])])


def _line(error: Any) -> list[Any]:
    line = [kind for kind in error.__mro__ if _is_error(kind)]
    return line[::-1]


def _handle(name: str, item: Any) -> Iterator[str]:
    yield f"## {name}"
    doc = read(item.__doc__)
    yield doc.text
    if "Args" in doc.items:
        yield f"`{name}{_signature(item.__init__)}`"
    for section in ("Args", "Attributes"):
        yield _table(doc.items.get(section, []))
    for method, found in _members(item):
        yield from _method(name, method, found)


def _members(item: Any) -> Iterator[tuple[str, Any]]:
    for method in sorted(dir(item)):
        if not method.startswith("_") and method not in _UNTOLD:
            yield method, inspect.getattr_static(item, method)


def _method(owner: str, name: str, found: Any) -> Iterator[str]:
    yield f"### {owner}.{name}"
    if isinstance(found, property):
        yield f"Attribute. {read(found.__doc__).text}"
        return
    yield f"`{name}{_signature(found)}`"
    doc = read(found.__doc__)
    yield doc.text
    yield _table(doc.items.get("Args", []))
    for section in ("Returns", "Yields"):
        if section in doc.prose:
            yield f"{section}: {cell(doc.prose[section])}"
    if raised := doc.items.get("Raises"):
        yield "Raises: " + "; ".join(f"`{kind}`: {told}" for kind, told in raised)


def _table(items: list[tuple[str, str]]) -> str:
    rows = [(f"`{name}`", told) for name, told in items]
    return table(("Name", "Meaning"), rows)


def _signature(found: Any) -> str:
    """As it is written; annotations are text already."""
    told = inspect.signature(found)
    parameters = [one for one in told.parameters.values() if one.name != "self"]
    text = str(told.replace(parameters=parameters)).replace("'", "")
    return re.sub(r"\bnpt\.", "", text).replace(" -> None", "")


def _record(name: str, item: Any) -> Iterator[str]:
    yield f"### {name}"
    doc = read(item.__doc__)
    yield doc.text
    told = {
        each: text
        for names, text in doc.items.get("Attributes", [])
        for each in names.split(", ")
    }
    rows = [
        (
            f"`{field.name}`",
            f"`{field.type}`",
            _default(field),
            told.get(field.name, ""),
        )
        for field in dataclasses.fields(item)
    ]
    yield table(("Field", "Type", "Default", "Meaning"), rows)
    for method, found in _members(item):
        if inspect.isfunction(found):
            yield f"`{name}.{method}{_signature(found)}`: {read(found.__doc__).first}"


def _default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    return "empty" if field.default_factory is not dataclasses.MISSING else ""


def _error(error: Any) -> Iterator[str]:
    yield f"### {error.__name__}"
    bases = [f"`{base.__name__}`" for base in error.__bases__]
    yield f"A kind of {' and '.join(bases)}. {plain(read(error.__doc__).text)}"
    yield _table(read(error.__doc__).items.get("Attributes", []))
