"""Small pieces of Markdown, and docstrings turned into it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MADE = "This page is made from the code, by `python -m scripts.reference`."
_SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?\.?([\w.]+)`")
_ITEM = re.compile(r"([*\w][\w, ]*): (.*)")


def anchor(heading: str) -> str:
    """What a heading is called in the address of a page, as GitHub has it."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


def plain(text: str) -> str:
    """A docstring's marks, in those of Markdown."""
    text = _ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def cell(text: str) -> str:
    """Text that fits into one cell of a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; nothing where it has no rows."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    if not lines:
        return ""
    names = list(header)
    head = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*head, *lines])


def join(parts: Iterable[str]) -> str:
    """Paragraphs as a page, one empty line between two."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


@dataclass(slots=True)
class Doc:
    """A docstring of Google's kind, in Markdown.

    Attributes:
        text: all of it before the first section.
        items: ``name: meaning`` of each section that has them.
        prose: what a section holds instead.
    """

    text: str
    items: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    prose: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The first paragraph, in one line."""
        return cell(self.text.split("\n\n")[0])


def read(docstring: str | None) -> Doc:
    """Take a docstring apart."""
    doc = Doc("")
    for name, lines in _parts(plain(inspect.cleandoc(docstring or ""))):
        if not name:
            doc.text = _blocks("\n".join(lines))
            continue
        block = inspect.cleandoc("\n" + "\n".join(lines))
        found = list(_items(block)) if name not in ("Returns", "Yields") else []
        if found:
            doc.items[name] = found
        else:
            doc.prose[name] = block
    return doc


def _parts(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    for line in text.splitlines():
        if line.rstrip(":") in _SECTIONS and line.endswith(":"):
            yield name, lines
            name, lines = line[:-1], []
        else:
            lines.append(line)
    yield name, lines


def _items(block: str) -> Iterator[tuple[str, str]]:
    name, meaning = "", list[str]()
    for line in block.splitlines():
        match = None if line.startswith(" ") else _ITEM.match(line)
        if match:
            if name:
                yield name, " ".join(meaning)
            name, meaning = match[1], [match[2]]
        else:
            meaning.append(line.strip())
    if name:
        yield name, " ".join(meaning)


def _blocks(text: str) -> str:
    """``::`` before a block says in a docstring what indentation says here."""
    return re.sub(r"(?m)^::$\n?", "", text).replace("::\n", ":\n").strip()
