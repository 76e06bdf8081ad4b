"""Measure, fit, check, predict, and write it into docs/scaling.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import pages
from benchmarks.scale import cluster, nodes, service
from benchmarks.scale.model import TERMS, fit, predicted
from benchmarks.scale.nodes import Costs

ROOT = Path(__file__).parents[2]
Size = tuple[str, int, int, bool]
# Kind, N, dx, and whether it is held out of the fit.
SIZES: tuple[Size, ...] = (
    *[("sampled", n, 3, False) for n in (500, 1000, 2000, 4000)],
    *[("sampled", n, 40, False) for n in (500, 1000, 2000)],
    *[("sampled", n, 10, False) for n in (1000, 4000)],
    *[("sampled", *size, True) for size in ((3000, 3), (3000, 40), (8000, 10))],
    *[("chosen", n, 10, False) for n in (500, 2000)],
    *[("chosen", n, 40, False) for n in (500, 1000, 4000)],
    *[("chosen", *size, True) for size in ((2000, 40), (8000, 40))],
    *[("blocks", n, 20_000, False) for n in (20, 50, 100)],
    *[("blocks", n, 100_000, False) for n in (20, 100)],
    *[("blocks", *size, True) for size in ((50, 200_000), (100, 300_000))],
)
SHORT: tuple[Size, ...] = (
    *[("sampled", n, dx, False) for n in (500, 1000, 2000) for dx in (3, 40)],
    ("sampled", 3000, 40, True),
    *[("chosen", n, dx, False) for n in (500, 1000) for dx in (10, 40)],
    ("chosen", 2000, 40, True),
    *[("blocks", n, dx, False) for n in (20, 50) for dx in (20_000, 40_000)],
    ("blocks", 50, 60_000, True),
)


def curves(docs: Path, *, short: bool) -> None:
    """One machine, a model of it, and what that says of many."""
    page = docs / "scaling.md"
    rows = [_measured(*size) for size in (SHORT if short else SIZES)]
    fitted = {
        kind: fit(kind, [row for row in rows if _of(row, kind) and not row["held out"]])
        for kind in TERMS
        if any(_of(row, kind) for row in rows)
    }
    for row in rows:
        row["predicted"] = predicted(row["kind"], fitted[row["kind"]], row)
    pages.write_csv(docs / "scaling.csv", rows)
    pages.fill(page, "curves", _curves(rows))
    pages.fill(page, "model", _model(fitted, rows))
    costs = _costs(fitted, short)
    pages.fill(page, "nodes", predictions(costs))
    (docs / "scaling.json").write_text(json.dumps(asdict(costs), indent=1) + "\n")


def _of(row: Mapping[str, Any], kind: str) -> bool:
    return bool(row["kind"] == kind)


def _measured(kind: str, members: int, dimension: int, held: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale.one", kind]
    done = subprocess.run(
        [*command, str(members), str(dimension)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=300,
    )
    row = {**json.loads(done.stdout), "held out": held}
    print(*row.values(), flush=True)
    return row


def _curves(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("analysis", "N", "dx", "score evaluations", "processor s", "memory, MiB")
    keys = ("kind", "members", "dimension", "evaluations", "seconds", "mebibytes")
    text = f"Measured on: {pages.machine()}.\n\n"
    return text + pages.table(head, [[row[key] for key in keys] for row in rows])


def _model(
    fitted: Mapping[str, Sequence[float]], rows: Sequence[Mapping[str, Any]]
) -> str:
    lines = [
        [
            kind,
            " + ".join(_term(*pair) for pair in zip(found, TERMS[kind], strict=True)),
        ]
        for kind, found in fitted.items()
    ]
    text = pages.table(("analysis", "processor seconds"), lines)
    keys = ("kind", "members", "dimension", "seconds", "predicted")
    checked = [
        [*(row[key] for key in keys), row["predicted"] / row["seconds"]]
        for row in rows
        if row["held out"]
    ]
    head = ("held out", "N", "dx", "measured s", "predicted s", "ratio")
    used = [row["predicted"] / row["seconds"] for row in rows if not row["held out"]]
    text += "\n\n" + pages.table(head, checked)
    text += f"\n\nOn the sizes of the fit the ratio is {min(used):.2f} to "
    return text + f"{max(used):.2f}."


def _term(cost: float, term: str) -> str:
    return f"{cost:.2g}" if term == "1" else f"{cost:.2g} ({term})"


def _costs(fitted: Mapping[str, list[float]], short: bool) -> Costs:
    cycles = service.cycle_seconds(1.0 if short else 8.0)
    return Costs(
        fitted,
        cluster.part_seconds(),
        service.gather_seconds(),
        *cycles["service"],
        *cycles["redis"],
    )


def predictions(costs: Costs) -> str:
    """The tables for 1, 10, 100 and 1000 nodes."""
    text = (
        f"Fitted and measured: {costs.part * 1e3:.2g} ms of the scheduler for a part, "
        f"{costs.gather * 1e9:.2g} ns to gather and write a byte; a cycle takes "
        f"{costs.cycle * 1e3:.2g} ms of a service process and "
        f"{costs.cycle_byte * 1e9:.2g} ns a byte of states, of Redis "
        f"{costs.store * 1e3:.2g} ms and {costs.store_byte * 1e9:.2g} ns.\n\n"
    )
    head = ("nodes", "largest N, dx = 40", "first bottleneck", "largest dx, N = 100")
    lines = [_large(costs, count) for count in nodes.NODES]
    text += pages.table((*head, "first bottleneck"), lines) + "\n\n"
    head = (
        "nodes",
        "cycles/s of 1.2 kB",
        "first bottleneck",
        "MB/s in cycles of 0.8 MB",
    )
    lines = [_sessions(costs, count) for count in nodes.NODES]
    return text + pages.table(
        (*head, "first bottleneck", "sessions at a cycle a minute"), lines
    )


def _large(costs: Costs, count: int) -> list[Any]:
    members, first = nodes.largest(lambda n: nodes.sampled(costs, n, 40.0, count))
    dimension, second = nodes.largest(lambda dx: nodes.blocks(costs, 100.0, dx, count))
    return [count, f"{members:,.0f}", first, f"{dimension:,.0f}", second]


def _sessions(costs: Costs, count: int) -> list[Any]:
    small = nodes.sessions(costs, 1200.0, count)
    large = nodes.sessions(costs, 8e5, count)
    least, most = (min(of, key=lambda name: of[name]) for of in (small, large))
    rate, volume = small[least], large[most] * 0.8
    return [count, rate, least, volume, most, f"{rate * 60:,.0f}"]


def large(docs: Path, *, short: bool) -> None:
    """The two large analyses, each run written when it has ended."""
    page = docs / "scaling.md"
    lines: list[list[Any]] = []
    first: dict[str, str] = {}
    head = (
        *("analysis", "where", "s on the wall", "reports of progress"),
        *("most memory, MiB", "same bytes"),
    )
    memory = f"{service.machine_memory():.0f} GiB, two cores.\n\n"
    for run in cluster.demonstrations(short):
        first.setdefault(run.what, run.digest)
        same = "yes" if run.digest == first[run.what] else "NO"
        peaks = ", ".join(f"{name} {peak:.0f}" for name, peak in run.peaks.items())
        lines.append([run.what, run.where, run.seconds, run.progress, peaks, same])
        print(*lines[-1], flush=True)
        text = f"Measured on: {pages.machine()}, {memory}" + pages.table(head, lines)
        pages.fill(page, "dask", text)


def again(docs: Path) -> None:
    """The predictions alone, from the costs that were measured."""
    costs = Costs(**json.loads((docs / "scaling.json").read_text()))
    pages.fill(docs / "scaling.md", "nodes", predictions(costs))
