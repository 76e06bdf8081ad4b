"""Measure, fit, check, predict, and write it into docs/scaling.md."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import pages
from benchmarks.scale import cluster, nodes, service
from benchmarks.scale.model import TERMS, error, fit_rows, line, predicted, ratio, sound
from benchmarks.scale.nodes import Costs

ROOT = Path(__file__).parents[2]
Size = tuple[str, int, int, bool]
Row = dict[str, Any]
# Kind, N, dx, and whether it is held out of the fit.
SIZES: tuple[Size, ...] = (
    *[("sampled", n, 10, False) for n in (2000, 8000)],
    *[("sampled", n, 40, False) for n in (2000, 8000, 50_000, 200_000)],
    ("sampled", 4000, 80, False),
    *[("sampled", n, 20, True) for n in (4000, 50_000)],
    *[("sampled", n, 40, True) for n in (4000, 20_000, 100_000)],
    *[("chosen", n, 40, False) for n in (1000, 4000, 16_000)],
    *[("chosen", n, 40, True) for n in (8000, 64_000)],
    *[("blocks", n, 100_000, False) for n in (20, 50, 100)],
    *[("blocks", n, 300_000, False) for n in (20, 100)],
    ("blocks", 100, 2_000_000, False),
    *[("blocks", *size, True) for size in ((50, 300_000), (100, 1_000_000))],
    *[("blocks", *size, True) for size in ((100, 4_000_000), (40, 8_000_000))],
)
SHORT: tuple[Size, ...] = (
    *[("sampled", n, dx, False) for n in (1000, 4000) for dx in (10, 40)],
    ("sampled", 3000, 40, True),
    *[("chosen", n, 40, False) for n in (500, 2000)],
    ("chosen", 1000, 40, True),
    *[("blocks", n, dx, False) for n in (20, 50) for dx in (40_000, 80_000)],
    ("blocks", 50, 200_000, True),
)
# Each size so often, each time on both cores at once, as a node would.
ROUNDS, CORES = 2, 2
COSTS = {
    "sampled": {"sampling": "parts", "sampling: rest": "rest"},
    "chosen": {"choosing": "rest"},
    "blocks": {
        "blocks": "parts",
        "blocks: rest": "rest",
        "blocks: memory": "mebibytes",
    },
}
LINES = {"scheduler": "part", "asking": "part", **dict.fromkeys(service.COSTS, "cycle")}
# Which costs a prediction of a kind is made of.
MADE_OF = {
    "sampled": ("sampling", "sampling: rest", "scheduler", "asking"),
    "blocks": ("blocks", "blocks: rest", "scheduler", "asking"),
    "cycles": service.COSTS,
}
RATIO = "predicted / measured"


def curves(docs: Path, *, short: bool) -> None:
    """One machine, a model of it, and what that says of many."""
    rows = [row for size in (SHORT if short else SIZES) for row in _measured(size)]
    fitted = fit_rows(rows)
    for row in rows:
        row["predicted"] = predicted(fitted, row)
    pages.write_csv(docs / "scaling.csv", rows)
    passing = cluster.part_seconds()
    cycling, idle = service.measure(1.0 if short else 6.0)
    lines = {}
    for cost in LINES:
        used = [row for row in (*passing, *cycling) if row["cost"] == cost]
        own, byte = lines[cost] = line(used)
        for row in used:
            row["predicted"] = own + byte * row["bytes"]
    costs = Costs(fitted, lines, 0.0, 0.0, service.write_seconds(), idle, {})
    _keep(docs, costs=asdict(costs), rows=[*rows, *passing, *cycling], chain=[])
    again(docs)


def large(docs: Path, *, short: bool) -> None:
    """What a start takes, and the two large analyses: seconds on the wall."""
    kept = json.loads((docs / "scaling.json").read_text())
    costs, chain = _started(Costs(**kept["costs"])), []
    first: dict[str, str] = {}
    for run in cluster.demonstrations(short):
        digest = first.setdefault(run.what, run.digest)
        kind, members, dimension = run.size
        said = None
        if run.where == cluster.HERE:
            said = nodes.alone(costs, kind, members, dimension)
        elif run.where == cluster.DASK:  # all on one machine: there is no network
            law = nodes.sampled if kind == "sampled" else nodes.blocks
            spent = law(costs, members, dimension, 1, float("inf"))
            said = sum(spent.values())
        peaks = ", ".join(f"{name} {peak:.0f}" for name, peak in run.peaks.items())
        chain.append(
            {
                "cost": kind,
                "what": run.what,
                "where": run.where,
                "measured": run.seconds,
                "predicted": said,
                "held out": said is not None,
                "progress": run.progress,
                "peaks": peaks,
                "same": run.digest == digest,
            }
        )
        print(*chain[-1].values(), flush=True)
    _keep(docs, **{**kept, "costs": asdict(costs), "chain": chain})
    again(docs)


def _started(costs: Costs) -> Costs:
    """With what goes by before the work begins."""
    costs = replace(costs, here=0.0, dask=0.0)
    here, dask = cluster.starts()
    small = nodes.alone(costs, "sampled", cluster.SMALL, 40)
    shared = sum(nodes.sampled(costs, cluster.SMALL, 40, 1).values())
    return replace(costs, here=max(here - small, 0.0), dask=max(dask - shared, 0.0))


def again(docs: Path) -> None:
    """The page, from what was measured."""
    kept = json.loads((docs / "scaling.json").read_text())
    rows, chain = kept["rows"], kept["chain"]
    errors = {
        kind: error(
            row
            for row in (*rows, *chain)
            if row["cost"] in names or row["cost"] == kind
        )
        for kind, names in MADE_OF.items()
    }
    costs = Costs(**{**kept["costs"], "errors": errors})
    page = docs / "scaling.md"
    pages.fill(page, "dask", _chain(chain) if chain else "Not measured yet.")
    pages.fill(page, "curves", _curves(rows))
    pages.fill(page, "model", _model(costs, rows, chain))
    pages.fill(page, "nodes", predictions(costs))


def _keep(docs: Path, **kept: Any) -> None:
    (docs / "scaling.json").write_text(json.dumps(kept, indent=1) + "\n")


def _measured(size: Size) -> Iterator[Row]:
    kind, members, dimension, held = size
    command = [sys.executable, "-m", "benchmarks.scale.one", kind]
    command += [str(members), str(dimension)]
    found = []
    for _ in range(ROUNDS):
        both = [
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
            for _ in range(CORES)
        ]
        told = [process.communicate(timeout=300)[0] for process in both]
        found += [json.loads(text) for text in told]
    for cost, name in COSTS[kind].items():
        values = [each[name] for each in found]
        row = {
            "cost": cost,
            "members": members,
            "dimension": dimension,
            "evaluations": found[0]["evaluations"],
            "measured": statistics.median(values),
            "spread": max(values) / max(min(values), 1e-9),
            "held out": held,
        }
        print(*row.values(), flush=True)
        yield row


def _chain(chain: Sequence[Row]) -> str:
    head = (
        *("analysis", "where", "s on the wall", "predicted s", RATIO),
        *("reports of progress", "most memory, MiB", "same bytes"),
    )
    lines = [
        [
            *(row["what"], row["where"], row["measured"], row["predicted"]),
            ratio(row) if row["predicted"] else None,
            *(row["progress"], row["peaks"], "yes" if row["same"] else "NO"),
        ]
        for row in chain
    ]
    memory = f"{service.machine_memory():.0f} GiB, two cores.\n\n"
    return f"Measured on: {pages.machine()}, {memory}" + pages.table(head, lines)


def _curves(rows: Sequence[Row]) -> str:
    lines = []
    for cost in TERMS:
        for row in rows:
            if row["cost"] == cost:
                unit = "MiB" if "memory" in cost else "s"
                sizes = [f"{row[key]:,}" for key in ("members", "dimension")]
                value = f"{pages.short(float(row['measured']))} {unit}"
                lines.append([cost, *sizes, value, row["spread"]])
    head = ("what", "N", "dx", "measured", "largest / smallest")
    return f"Measured on: {pages.machine()}.\n\n" + pages.table(head, lines)


def _model(costs: Costs, rows: Sequence[Row], chain: Sequence[Row]) -> str:
    lines: list[Sequence[Any]] = [
        (cost, " + ".join(map(_term, found, TERMS[cost])))
        for cost, found in costs.fitted.items()
    ]
    for cost, (own, byte) in costs.lines.items():
        unit = "bytes" if cost in ("line", "held") else "s"
        lines.append((_named(cost), f"{own:.2g} + {byte:.2g} (bytes), {unit}"))
    text = pages.table(("cost", "processor seconds, MiB for memory"), lines)
    held = [row for row in rows if row["held out"]]
    head = ("held out", "size", "measured", "predicted", RATIO)
    checked = [
        (_named(row["cost"]), _size(row), row["measured"], row["predicted"], ratio(row))
        for row in held
    ]
    used = [ratio(row) for row in rows if not row["held out"]]
    text += "\n\n" + pages.table(head, checked)
    text += f"\n\nOn the sizes of the fit the ratio is {min(used):.2f} to "
    text += f"{max(used):.2f}. "
    fine = sound([*held, *chain])
    text += "The criterion, all that is held out within 30 %, is "
    text += "met" if fine else "**not met**"
    told = ", ".join(f"{kind} {value:.2f}" for kind, value in costs.errors.items())
    return text + f". The largest factors by which something is missed: {told}."


def _named(cost: str) -> str:
    return {
        "scheduler": "the scheduler, for a part",
        "asking": "the preparing process, for a part",
        "cycle": "service, for a cycle",
        "store": "Redis, for a cycle",
        "line": "Redis' line, for a cycle",
        "held": "Redis' memory, for a session",
    }.get(cost, cost)


def _size(row: Row) -> str:
    if "bytes" in row:
        return f"{row['bytes']:,} bytes"
    return f"N = {row['members']:,}, dx = {row['dimension']:,}"


def _term(cost: float, term: str) -> str:
    return f"{cost:.2g}" if term == "1" else f"{cost:.2g} ({term})"


def predictions(costs: Costs) -> str:
    """The tables for 1, 10, 100 and 1000 nodes."""
    text = (
        f"Until the work begins {costs.dask:.1f} s go by through Dask, to write a byte "
        f"of result takes {costs.write * 1e9:.2g} ns, and an idle process of the "
        f"service keeps Redis busy for {costs.idle * 1e3:.2g} ms a second.\n\n"
    )
    for what, law in (("N, dx = 40", _members), ("dx, N = 100", _variables)):
        head = ["nodes", f"largest {what}", "first bottleneck"]
        head += ["with limits raised", "first bottleneck"]
        lines = [
            [count, *law(costs, count, False), *law(costs, count, True)]
            for count in nodes.NODES
        ]
        text += pages.table(head, lines) + "\n\n"
    members = nodes.refuses_members
    most, _ = nodes.largest(lambda n: {"": 0.0}, lambda n: members(n, 40, raised=False))
    choosing = _rounded([costs.of("choosing", most, 40)])
    text += f"To leave the model to the engine takes {choosing} s more at N = "
    text += f"{_rounded([most])}, in one process.\n\n"
    for size, name in ((1200.0, "1.2 kB"), (8e5, "0.8 MB")):
        head = ["nodes", f"cycles/s of {name}", "MB/s", "first bottleneck"]
        head += ["sessions at a cycle a minute", "first bottleneck"]
        lines = [_sessions(costs, size, count) for count in nodes.NODES]
        text += pages.table(head, lines) + "\n\n"
    return text


def _members(costs: Costs, count: int, raised: bool) -> Iterable[str]:
    found = [
        nodes.largest(
            lambda n: nodes.sampled(costs, n, 40.0, count),
            lambda n: nodes.refuses_members(n, 40.0, raised=raised),
            factor,
        )
        for factor in _factors(costs.errors["sampled"])
    ]
    return _ranged(found)


def _variables(costs: Costs, count: int, raised: bool) -> Iterable[str]:
    found = [
        nodes.largest(
            lambda dx: nodes.blocks(costs, 100.0, dx, count),
            lambda dx: nodes.refuses_variables(costs, 100.0, dx, raised=raised),
            factor,
        )
        for factor in _factors(costs.errors["blocks"])
    ]
    return _ranged(found)


def _sessions(costs: Costs, size: float, count: int) -> list[Any]:
    rate, first = nodes.least(nodes.cycles(costs, size, count))
    held, second = nodes.least(nodes.sessions(costs, size, count))
    factors = _factors(costs.errors["cycles"])
    rates = [rate / factor for factor in factors]
    volumes = [value * size / 1e6 for value in rates]
    most = [held / factor for factor in factors]
    return [count, _rounded(rates), _rounded(volumes), first, _rounded(most), second]


def _factors(value: float) -> tuple[float, float, float]:
    return value, 1.0, 1 / value


def _ranged(found: Sequence[tuple[float, str]]) -> Iterable[str]:
    names = dict.fromkeys(name for _, name in found)
    return _rounded([size for size, _ in found]), " or ".join(names)


def _rounded(values: Sequence[float]) -> str:
    """From the lowest to the highest, in two digits."""
    text = [f"{float(f'{value:.2g}'):,.10g}" for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(text))
