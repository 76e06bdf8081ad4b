"""Measure, and write what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import defaults, pages
from benchmarks import engine as measured_engine

ENGINE_HEAD = (
    "N",
    "dx",
    "observation",
    "method",
    "seconds",
    "faster than (a)",
    "times (c)",
    "score evaluations",
    "distance",
    "peak MiB",
)


def engine(docs: Path, *, short: bool) -> None:
    """Samplers beside (a) and (c), threads, choice of the model, many variables."""
    cases = measured_engine.SHORT_CASES if short else measured_engine.CASES
    rounds = 2 if short else 6
    found = []
    for row in measured_engine.rows(cases, rounds):
        found.append(row)
        print(*(pages.short(value) for value in row_values(row)), flush=True)
    table = measured_engine.as_table(found)
    pages.write_csv(docs / "performance-engine.csv", table)
    pages.draw(docs / "images", table)
    page = docs / "performance.md"
    text = f"Measured on: {pages.machine()}.\n\n"
    text += pages.table(ENGINE_HEAD, map(row_values, found))
    pages.fill(page, "engine", text)
    pages.fill(page, "engine-more", _more(short))


def row_values(row: measured_engine.Row) -> list[Any]:
    """Values in the order of the table's head."""
    return list(measured_engine.as_table([row])[0].values())


def _more(short: bool) -> str:
    rounds = 2 if short else 8
    text = []
    for part in (_second_core, _choosing, _defaults, _many_variables):
        text.append(part(short, rounds))
        print(text[-1], flush=True)
    return "\n\n".join(text)


def _second_core(short: bool, rounds: int) -> str:
    head = ("N", "dx", "one thread, s", "two threads, s", "gain")
    lines = []
    for members in (500,) if short else (2000, 4000):
        for dimension in (3, 40):
            times = measured_engine.second_core(members, dimension, rounds)
            one, two = times["one thread"], times["two threads"]
            lines.append([members, dimension, one, two, one / two])
    return "Second core (time on the wall):\n\n" + pages.table(head, lines)


def _choosing(short: bool, rounds: int) -> str:
    members = 200 if short else 1000
    head = ("N", "dx", "choice, s", "sampling, s", "all automatic, s", "ratio")
    lines = []
    for dimension in (3, 40):
        times = measured_engine.choosing(members, dimension, rounds)
        share = times["choice"] / times["sampling"]
        lines.append([members, dimension, *times.values(), share])
    return (
        "Automatic choice beside the sampling of the benchmark's fixed model:\n\n"
        + pages.table(head, lines)
    )


def _defaults(short: bool, rounds: int) -> str:
    lines = [defaults.row(of, rounds) for of in defaults.forecasts(short=short)]
    return (
        "Default options, nothing fixed (memory beyond the inputs, the result "
        "included; no sampling where members are moved):\n\n"
        + pages.table(defaults.HEAD, lines)
    )


def _many_variables(short: bool, rounds: int) -> str:
    variables = 1000 if short else 100_000
    head = ("N", "dx", "necessary, s", "whole call, s", "times", "peak memory / input")
    wide = measured_engine.many_variables(100, variables, rounds)
    ratio = wide["whole"] / wide["reading, writing, two products"]
    necessary, whole, memory = wide.values()
    line = [100, variables, necessary, whole, ratio, memory]
    return "Many variables:\n\n" + pages.table(head, [line])


def service(docs: Path, *, short: bool) -> None:
    """Latency and throughput over HTTP."""
    from benchmarks import service as measured_service

    parts: Mapping[str, tuple[Sequence[str], list[list[Any]]]]
    parts = measured_service.everything(short=short)
    text = []
    for title, (head, lines) in parts.items():
        text.append(f"{title}:\n\n" + pages.table(head, lines))
        print(text[-1], flush=True)
    pages.fill(docs / "performance.md", "service", "\n\n".join(text))


def replicas(docs: Path, *, short: bool) -> None:
    """Two services on two processors against one on one."""
    from benchmarks import replicas as measured_replicas

    head, lines = measured_replicas.compared(short=short)
    text = f"Measured on: {pages.machine()}.\n\n" + pages.table(head, lines)
    print(text, flush=True)
    pages.fill(docs / "performance.md", "replicas", text)
