"""Ratios and growth out of the rows of the table, so that no sentence goes stale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import pages
from benchmarks.pages import FLOOR, PAPER

Rows = Sequence[Mapping[str, Any]]
BARE, WHOLE = "ode", "ode, whole call"
# From so many members on, fixed costs are small beside the pairs of members.
LARGE = 1000


def told(found: Rows) -> str:
    """Both tables."""
    return "\n\n".join([against_paper(found), growth(found)])


def against_paper(found: Rows) -> str:
    """The sampler alone and the public call against (a), and the floor against it."""
    head = (
        *("N", "dx", "observation", "bare sampler", "by medians"),
        *("public call", "by medians", "floor (c)", "sampler / floor"),
        *("distance, (a) and ours", "density, (a) and ours"),
    )
    lines = []
    for members, dimension, observation in _cases(found):
        methods = {
            row["method"]: row
            for row in found
            if _case(row) == (members, dimension, observation)
        }
        if PAPER not in methods or dimension not in (3, 40):
            continue
        old, bare, whole = (methods[name] for name in (PAPER, BARE, WHOLE))
        line: list[Any] = [members, dimension, observation]
        for row in (bare, whole):
            line += [row["times_faster_than_paper"], row["by_medians"]]
        line.append(methods[FLOOR]["times_faster_than_paper"])
        line.append(bare["times_the_floor"])
        for name in ("distance", "density"):
            line.append(f"{pages.short(old[name])}, {pages.short(bare[name])}")
        lines.append(line)
    return "Times faster than (a):\n\n" + pages.table(head, lines)


def growth(found: Rows) -> str:
    """Exponents of time in N and in dx, by least squares in logarithms."""
    head = ("in", "at", "from", "to", BARE, WHOLE, FLOOR)
    lines: list[list[Any]] = []
    for dimension in sorted({row["dimension"] for row in found}):
        for observation in ("sharp", "weak"):
            chosen = [
                row
                for row in found
                if (row["dimension"], row["observation"]) == (dimension, observation)
                and row["members"] >= LARGE
            ]
            at = f"dx = {dimension}, {observation}"
            lines += _exponents(chosen, "members", "N", at)
    chosen = [
        row for row in found if (row["members"], row["observation"]) == (100, "sharp")
    ]
    lines += _exponents(chosen, "dimension", "dx", "N = 100, sharp")
    # Fixed costs are small beside the variables only where there are many.
    sizes = sorted({row["dimension"] for row in chosen})
    if len(sizes) > 2:
        chosen = [row for row in chosen if row["dimension"] in sizes[-2:]]
        lines += _exponents(chosen, "dimension", "dx", "N = 100, sharp")
    return "Growth: time goes with this power of N and of dx.\n\n" + pages.table(
        head, lines
    )


def _exponents(found: Rows, key: str, name: str, at: str) -> list[list[Any]]:
    """One line, where there are two sizes or more."""
    sizes = sorted({row[key] for row in found})
    if len(sizes) < 2:
        return []
    line: list[Any] = [name, at, sizes[0], sizes[-1]]
    for method in (BARE, WHOLE, FLOOR):
        points = {
            row[key]: row["best_seconds"] for row in found if row["method"] == method
        }
        line.append(exponent(points))
    return [line]


def exponent(points: Mapping[int, float]) -> float:
    """Of ``seconds ~ size^p``."""
    sizes = [math.log(size) for size in points]
    seconds = [math.log(value) for value in points.values()]
    return float(np.polyfit(sizes, seconds, 1)[0])


def _case(row: Mapping[str, Any]) -> tuple[int, int, str]:
    return row["members"], row["dimension"], row["observation"]


def _cases(found: Rows) -> list[tuple[int, int, str]]:
    return list(dict.fromkeys(map(_case, found)))
