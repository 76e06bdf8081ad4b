"""Measure, and write what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cores, defaults, measure, pages, targets
from benchmarks import engine as measured_engine

ENGINE_HEAD = (
    "N",
    "dx",
    "observation",
    "method",
    "best, s",
    "median, s",
    "of runs",
    "faster than (a)",
    "by medians",
    "times (c)",
    "score evaluations",
    "distance",
    "density",
    "peak MiB, whole call",
)
HEAP_KEPT = "freed memory kept by the process (glibc's `mallopt`), whoever freed it"
HEAP_LEFT = "freed memory as the C library has it"


def engine(docs: Path, *, short: bool) -> None:
    """Samplers beside (a) and (c), threads, choice of the model, many variables."""
    heap = HEAP_KEPT if measure.keep_heap() else HEAP_LEFT
    gain = cores.said(0.3 if short else 5.0)
    print(gain, flush=True)
    cases = measured_engine.SHORT_CASES if short else measured_engine.CASES
    rounds = 2 if short else 12
    found = []
    for row in measured_engine.rows(cases, rounds):
        found.append(row)
        print(*(pages.short(value) for value in row_values(row)), flush=True)
    table = measured_engine.as_table(found)
    pages.write_csv(docs / "performance-engine.csv", table)
    pages.draw(docs / "images", table)
    page = docs / "performance.md"
    text = f"Measured on: {pages.machine()}; {heap}. {gain}\n\n"
    text += pages.table(ENGINE_HEAD, map(row_values, found))
    pages.fill(page, "engine", text)
    pages.fill(page, "engine-more", _more(short))
    pages.fill(page, "engine-targets", targets.told(table))


def row_values(row: measured_engine.Row) -> list[Any]:
    """Values in the order of the table's head."""
    return list(measured_engine.as_table([row])[0].values())


def _more(short: bool) -> str:
    rounds = 2 if short else 8
    text = []
    for part in (_slopes, _second_core, _choosing, _defaults, _many_variables):
        text.append(part(short, rounds))
        print(text[-1], flush=True)
    return "\n\n".join(text)


def _slopes(short: bool, rounds: int) -> str:
    head = ("N", "dx", "SciPy, as written, s", "NumPy in place, s", "times")
    lines = []
    for members in (200,) if short else (250, 1000):
        for dimension in (3, 40):
            times = measured_engine.slopes(members, dimension, rounds)
            written, frugal = times.values()
            lines.append([members, dimension, written, frugal, written / frugal])
    return (
        "One evaluation of the right-hand side of (a), as it is written, and in double "
        "precision with NumPy alone in one place for the logits: so much of what is "
        "faster than (a) is how (a) is written.\n\n" + pages.table(head, lines)
    )


def _second_core(short: bool, rounds: int) -> str:
    ways = ("one thread", "two threads", "two processes", "first")
    head = (
        "N",
        "dx",
        "observation",
        "one thread, s",
        "two threads, s",
        "two processes, s",
        "their first call, with their start, s",
        "gain of threads",
        "of processes",
    )
    lines = []
    sizes = (500,) if short else (2000, 4000, 10_000)
    for members, dimension, weak in itertools.product(sizes, (3, 40), (False, True)):
        times = measured_engine.second_core(members, dimension, rounds, weak=weak)
        one, two, apart, first = (times[way] for way in ways)
        kind = "weak" if weak else "sharp"
        lines.append([members, dimension, kind, one, two, apart, first])
        lines[-1] += [one / two, one / apart]
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

    gain = cores.said(0.3 if short else 5.0)
    parts: Mapping[str, tuple[Sequence[str], list[list[Any]]]]
    parts = measured_service.everything(short=short)
    level = measured_service.LOG_LEVEL
    text = [f"Measured on: {pages.machine()}. Log level `{level}`. {gain}"]
    for title, (head, lines) in parts.items():
        text.append(f"{title}:\n\n" + pages.table(head, lines))
        print(text[-1], flush=True)
    pages.write_long_csv(docs / "performance-service.csv", parts)
    pages.fill(docs / "performance.md", "service", "\n\n".join(text))


def replicas(docs: Path, *, short: bool) -> None:
    """Two services on two processors against one on one."""
    from benchmarks import replicas as measured_replicas

    head, lines = measured_replicas.compared(short=short)
    text = f"Measured on: {pages.machine()}.\n\n" + pages.table(head, lines)
    print(text, flush=True)
    pages.fill(docs / "performance.md", "replicas", text)
