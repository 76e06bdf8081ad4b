"""The table of the choosing guide, taken from the page of accuracy.

That page is made from every run that was measured; the guide shows a few of its lines
and repeats none of its figures by hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scripts.reference.markdown import table

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN = "<!-- begin measured: made by python -m scripts.reference -->"
END = "<!-- end measured -->"
OURS = "CCDM, defaults"
PAIRS = "EnKF, pairs only"
KNOWING = ("EnKF, knows R", "(L)ETKF, knows R", "SIR, knows R")
# Setting as the page has it, members, score; and what it is, in words.
LINES = (
    ("ramgraber2022", 100, "RMSE", "Lorenz-63, all observed"),
    ("L63_arctan", 100, "RMSE", "Lorenz-63, arctan of all observed"),
    ("L63_03", 50, "W2", "Lorenz-63, z observed"),
    ("L63_03", 100, "W2", "the same"),
    ("TOY_01", 50, "W2", "one variable, its size observed"),
    ("L96_01 with coordinates", 50, "RMSE", "Lorenz-96"),
    ("L96_01 without coordinates", 50, "RMSE", "the same"),
    ("spantini2019 with coordinates", 60, "RMSE", "Lorenz-96, long gaps"),
)
_NUMBER = re.compile(r"[+−-]?\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page of accuracy."""

    setting: str
    members: int
    score: str
    words: str
    cells: dict[str, str]

    def mean(self, method: str) -> float:
        """The figure of a method, infinite where it broke down on every seed."""
        found = _NUMBER.match(self.cells[method])
        return float(found[0]) if found else float("inf")


def lines() -> list[Line]:
    """The lines that the guide shows."""
    text = (DOCS / "accuracy.md").read_text("utf-8")
    block = text.split("<!-- begin targets -->")[1].split("<!-- end targets -->")[0]
    head, _, *rows = [
        [part.strip() for part in line.strip("|").split("|")]
        for line in block.strip().splitlines()
        if line.startswith("|")
    ]
    by_key = {tuple(row[:3]): dict(zip(head, row, strict=True)) for row in rows}
    return [
        Line(setting, n, score, words, by_key[setting, str(n), score])
        for setting, n, score, words in LINES
    ]


def page() -> str:
    """The guide, with the table as the page of accuracy has the figures now."""
    text = (DOCS / "choosing.md").read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    methods = (OURS, PAIRS, *KNOWING)
    rows = [
        (
            f"{line.words} (`{line.setting.split()[0]}`"
            + "".join(f", {part}" for part in line.setting.split(" ", 1)[1:])
            + f"), {line.score}, N = {line.members}",
            *(_shown(line, method, methods) for method in methods),
        )
        for line in lines()
    ]
    return f"{before}{BEGIN}\n{table(('', *methods), rows)}\n{END}{after}"


def _shown(line: Line, method: str, methods: tuple[str, ...]) -> str:
    # How a baseline was tuned is told on the page itself.
    text = re.sub(r" \([^()]*\)", "", line.cells[method])
    if line.mean(method) > min(map(line.mean, methods)):
        return text
    return _NUMBER.sub(lambda found: f"**{found[0]}**", text, count=1)
