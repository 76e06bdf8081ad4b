"""Results as files, and the tables of ``docs/reliability.md`` made of them."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
Rows = list[dict[str, Any]]


class _Figures(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


def write(
    folder: Path,
    name: str,
    rows: Sequence[_Figures],
    *,
    beside: str = "",
    note: str = "",
) -> None:
    """``<name>.json`` and ``<name>.csv``.

    Args:
        folder: where.
        name: of the part.
        rows: its figures.
        beside: a column; rows of an earlier run that have something else there stay.
        note: for the reader of the table, how this run differs from the usual one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain = [row.to_dict() for row in rows]
    earlier = folder / f"{name}.json"
    if beside and earlier.exists():
        before = json.loads(earlier.read_text())
        fresh = {row[beside]: row for row in plain}
        if any(row[beside] not in fresh for row in before["rows"]):
            note = f"{note} {_older(before['made'])}".strip()
        plain = [fresh.pop(row[beside], row) for row in before["rows"]]
        plain += fresh.values()
    whole = {"made": _circumstances() | {"note": note}, "rows": plain}
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    # Rows of an earlier run may lack what is counted since.
    columns = dict.fromkeys(column for row in plain for column in row)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(columns), lineterminator="\n")
        table.writeheader()
        table.writerows(plain)


def _older(made: dict[str, Any]) -> str:
    """Where the rows come from that were not run this time."""
    commit = f" at commit {made['commit']}" if made.get("commit") else ""
    text = f"Rows that this run did not make are of one that ended {made['ended']}"
    return f"{text}{commit}. {made.get('note', '')}".rstrip()


def _circumstances() -> dict[str, Any]:
    return {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average_15_minutes": round(os.getloadavg()[2], 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit that was run, if that can be told, and whether it was changed."""
    own = (":!reliability/results", ":!docs")
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *own)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + (" with changes" if changed else "")


def _git(*words: str) -> str:
    command = ["git", "-C", str(Path(__file__).parents[1]), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_page(folder: Path, page: Path) -> None:
    """Put the tables of all results that are there into the page."""
    if not page.exists():
        return
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    sections = []
    for name, (heading, table) in SECTIONS.items():
        file = folder / f"{name}.json"
        if file.exists():
            whole = json.loads(file.read_text())
            sections.append(
                f"## {heading}\n\n{table(whole['rows'])}\n\n{_footnote(name, whole)}\n"
            )
    page.write_text(before + BEGIN + "\n\n" + "\n".join(sections) + "\n" + END + after)


def _footnote(name: str, whole: dict[str, Any]) -> str:
    made = whole["made"]
    commit = f" at commit {made['commit']}" if made.get("commit") else ""
    return (
        f"`python -m reliability {name}`{commit}, ended {made['ended']}, "
        f"{made['cpus']} processors with a load of "
        f"{made['load_average_15_minutes']} (15 minutes), "
        f"Python {made['python']}, {made['system']}. {made.get('note', '')}".rstrip()
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _faults(rows: Rows) -> str:
    counts = ["struck", "calls", "repeats", "acknowledged", "refused"]
    counts += ["lost", "wrong", "duplicates", "changed"]
    names = ["fault", "store", *counts, "note"]
    struck = [row for row in rows if row.get("struck")]
    total = {name: sum(row.get(name, 0) for row in rows) for name in counts}
    told = f"**{len(struck)} faults that struck, of {len(rows)}**"
    last: dict[str, Any] = {"fault": told, "store": "", "note": "", **total}
    cells = [[row.get(name, "not kept") for name in names] for row in [*rows, last]]
    return _table(names, cells)


def _races(rows: Rows) -> str:
    names = ["store", "services", "clients", "rounds", "requests", "results"]
    names += ["replays", "conflicts", "others"]
    heads = [*names, "turned away, sent again", "rounds whose 201 came as 200"]
    names += ["turned", "late", "not_one", "different"]
    heads += ["rounds without exactly one", "rounds with other bytes"]
    return _table(
        heads, [[row.get(name, "not kept") for name in names] for row in rows]
    )


def _schema(rows: Rows) -> str:
    names = ("cases", "runs", "operations", "failures", "errors", "stumbled")
    heads = ("cases", "runs", "operations", "failures", "of these 5xx", "tool stumbled")
    cells = [[*(row.get(name, 0) for name in names), row["seconds"]] for row in rows]
    return _table([*heads, "seconds"], cells)


def _hostile(rows: Rows) -> str:
    heads = ["attack", "answers", "service MiB", "stated", "largest worker MiB"]
    heads += ["calls of others", "failed", "slowest ms", "slowest probe ms"]
    cells = [
        [
            row["attack"],
            ", ".join(f"{n} x {_status(code)}" for code, n in row["answers"].items()),
            *(row[name] for name in ("service_mb", "limit_mb", "worker_mb")),
            *(row[name] for name in ("others", "failed", "slowest_ms", "livez_ms")),
        ]
        for row in rows
    ]
    return _table(heads, cells)


def _status(code: str) -> str:
    return {"0": "closed", "-1": "left open"}.get(code, code)


def _isolation(rows: Rows) -> str:
    names = ["store", "operations", "pairs", "different", "leaks", "changed"]
    names += ["foreign_ms", "unknown_ms"]
    heads = ["store", "operations", "pairs of requests", "different", "leaks"]
    heads += ["sessions changed", "foreign, median ms", "unknown, median ms"]
    return _table(heads, [[row[name] for name in names] for row in rows])


def _walks(rows: Rows) -> str:
    names = ("store", "walks", "operations", "strayed", "seconds")
    return _table(names, [[row[name] for name in names] for row in rows])


def _load(rows: Rows) -> str:
    heads = ["store", "clients", "minutes", "answers", "per second", "p50, p99 ms"]
    heads += ["probes of livez", "failed", "of these p50, p99, max ms"]
    heads += ["memory MiB, by thirds", "growth from second to last"]
    cells = [
        [
            *(row[name] for name in ("store", "clients", "minutes")),
            ", ".join(f"{n} x {code}" for code, n in row["statuses"].items()),
            row["per_second"],
            f"{row['p50_ms']}, {row['p99_ms']}",
            f"{row['livez']} of {row.get('livez_expected', 'not kept')}",
            row.get("livez_failed", "not kept"),
            f"{row['livez_p50_ms']}, {row['livez_p99_ms']}, {row['livez_max_ms']}",
            f"{row.get('first_third_mb', 'not kept')}, {row['second_third_mb']}, "
            f"{row['last_third_mb']}",
            f"{100 * row['growth']:.1f} %",
        ]
        for row in rows
    ]
    return _table(heads, cells)


SECTIONS: dict[str, tuple[str, Callable[[Rows], str]]] = {
    "faults": ("Faults", _faults),
    "races": ("Races", _races),
    "schema": ("The service and its description", _schema),
    "hostile": ("Hostile input", _hostile),
    "isolation": ("Isolation of tenants", _isolation),
    "walks": ("Sessions beside a model of them", _walks),
    "load": ("Saturation", _load),
}
