"""Tables of finished runs, as Markdown between the markers of a page."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy.floor import floor
from benchmarks.accuracy.footer import footer
from benchmarks.accuracy.plan import Grid, Row, Score, Target
from benchmarks.accuracy.summary import Cell, Sheet, betrayed, cell, paired
from ccdm_engine.twin.experiments import find
from service.cli.study.tables import Interval

NAMES = {"rmse": "RMSE", "crps": "CRPS", "w2": "W2"}
Cells = dict[str, Cell | None]
NO_GRID = Grid((), ())
COLUMNS = (
    *("setting", "method", "members", "seed", "cycles", "rmse", "spread", "crps"),
    *("energy", "w2", "reference_ess", "rank_chi_square", "rank_bins", "ms", "lost"),
    *("failure", "code", "again"),
)


def write(page: Path, sheet: Sheet) -> None:
    """Put a table between its markers in the page; nothing else is touched.

    Raises:
        ValueError: where the page has no such markers.
    """
    name = sheet.table.name
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} wants one {begin} and one {end}")
    before, rest = text.split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{markdown(sheet)}\n{end}{after}")


def write_runs(path: Path, sheets: Sequence[Sheet]) -> None:
    """Every run behind the tables, one line each, in a stable order."""
    found = {
        tuple(str(record[name]) for name in COLUMNS[:5]): record
        for sheet in sheets
        for row in sheet.table.rows
        for contender in row.contenders
        for method in (*contender.methods, *(contender.grid or NO_GRID).methods)
        for record in sheet.records(row, method).values()
    }
    ordered = sorted(
        found.values(),
        key=lambda r: (r["setting"], r["members"], r["method"], r["cycles"], r["seed"]),
    )
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record in ordered:
            writer.writerow([_short(record.get(name)) for name in COLUMNS])


def _short(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


def markdown(sheet: Sheet) -> str:
    """The table, and below it what it was made with."""
    lines = [
        (row, score, cells)
        for row in sheet.table.rows
        for score in row.scores
        if any((cells := _cells(sheet, row, score)).values())
    ]
    if not lines:
        return "Nothing has been run yet."
    heads = [
        head
        for head in sheet.table.heads
        if any(cells.get(head) is not None for _, _, cells in lines)
    ]
    aimed = any(row.target(score) for row, score, _ in lines)
    far = any(score == "w2" for _, score, _ in lines)
    ours, theirs = sheet.table.claim
    names = ["Setting", "N", "Score", "Seeds × cycles", *heads]
    names += [f"{ours} less {theirs}", f"Lost where {theirs} holds", "Spread/RMSE"]
    names += ["Draws of the reference"] if far else []
    names += ["Published"] if sheet.table.published else []
    names += ["Target", "Reached"] if aimed else []
    out = [_line(names), _line(["---"] * len(names))]
    for row, score, cells in lines:
        texts = [f"{row.setting} {row.note}".strip(), str(row.members), NAMES[score]]
        texts += [_extent(sheet, row, cells), *(_shown(cells.get(h)) for h in heads)]
        texts += [_difference(cells, sheet.table.claim)]
        texts += [_betrayed(sheet, row) if score == row.scores[0] else ""]
        texts += [_calibration(cells.get(ours)) if score == "rmse" else ""]
        if far:
            texts.append(_floor(sheet, row) if score == "w2" else "")
        if sheet.table.published:
            texts.append(_published(row, score))
        if aimed:
            target = row.target(score)
            texts += [_wanted(target), _verdict(target, cells, ours)]
        out.append(_line(texts))
    used = [f for _, _, cells in lines for f in cells.values() if f is not None]
    records = [record for found in used for record in found.records.values()]
    return "\n".join([*out, "", footer(sheet, records)])


def _cells(sheet: Sheet, row: Row, score: Score) -> Cells:
    return {c.label: cell(sheet, row, c, score) for c in row.contenders}


def _line(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _extent(sheet: Sheet, row: Row, cells: Cells) -> str:
    counts = sorted({found.seeds for found in cells.values() if found is not None})
    seeds = "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"{seeds} × {sheet.key(row, '', 0).cycles}"


def _shown(found: Cell | None) -> str:
    if found is None:
        return ""
    text = str(found.interval) if found.by_seed else "broke down"
    tuning = _tuning(found.method)
    lost = f", {found.lost} of {found.seeds} lost" if found.lost else ""
    broke = found.seeds - len(found.by_seed)
    lost += f", {broke} of them broke down" if broke and found.by_seed else ""
    return text + (f" ({tuning})" if tuning else "") + lost


def _tuning(method: str) -> str:
    """What distinguishes a tuning from its siblings, in few words."""
    name = method.partition(":")[0]
    widths = re.findall(r"(?:state|measurement)_bandwidth=([\w.]+)", method)
    if widths:
        return ", ".join(widths)
    if name in ("enkf", "enkf_r", "etkf", "letkf"):
        inflation = re.search(r"inflation=([\d.]+)", method)
        return inflation.group(1) if inflation else "1"
    return {"sir": "auto", "sir_plain": "plain"}.get(name, "")


def _floor(sheet: Sheet, row: Row) -> str:
    cycles, folder = sheet.key(row, "", 0).cycles, sheet.runs.references
    return str(floor(folder, row.setting, cycles, row.members, sheet.seeds))


def _difference(cells: Cells, claim: tuple[str, str]) -> str:
    ours, theirs = (cells.get(label) for label in claim)
    if ours is None or theirs is None:
        return ""
    found = paired(ours, theirs)
    if math.isnan(found.mean):
        return ""
    half = f" ± {found.half:.3f}" if found.half >= 0 else ""
    return f"{found.mean:+.3f}{half}".replace("-", "−")


def _betrayed(sheet: Sheet, row: Row) -> str:
    seeds = betrayed(sheet, row)
    if seeds is None:
        return ""
    named = ", ".join(map(str, seeds))
    return f"{len(seeds)}: {named}" if seeds else "none"


def _published(row: Row, score: Score) -> str:
    """The lowest figure of others for the setting, of at most as many members."""
    known = [
        one
        for one in find(row.setting).expected
        if one.score == score and one.members <= row.members
    ]
    if not known:
        return ""
    best = min(known, key=lambda one: one.value)
    return f"{best.value:g} ({best.method}, N = {best.members})"


def _calibration(found: Cell | None) -> str:
    if found is None or not found.by_seed:
        return ""
    whole = [found.records[seed] for seed in found.by_seed]
    error = sum(record["rmse"] for record in whole)
    return f"{sum(record['spread'] for record in whole) / error:.2f}" if error else ""


def _wanted(target: Target | None) -> str:
    if target is None:
        return ""
    if target.value is not None:
        return f"≤ {target.value:.3f}"
    return f"below rivals; ≤ {1 + target.within:g} × tuned"


def _verdict(target: Target | None, cells: Cells, ours: str) -> str:
    found = cells.get(ours)
    if target is None or found is None or not found.by_seed:
        return ""
    mean = found.interval
    if target.value is not None:
        return _against(mean, target.value)
    bars = [(label, 1.0) for label in target.rivals]
    bars += [(target.of, 1.0 + target.within)] if target.of else []
    faults: dict[str, list[str]] = {}
    for label, fault in _compared(found, cells, bars):
        faults.setdefault(fault, []).append(label)
    texts = [f"{fault} {' / '.join(labels)}" for fault, labels in faults.items()]
    return "; ".join(texts) or "yes"


def _compared(
    ours: Cell, cells: Cells, bars: Sequence[tuple[str, float]]
) -> Iterator[tuple[str, str]]:
    """Rivals that a score is not below (times a factor), and what keeps it.

    Seed by seed, over the seeds that both brought to the end.
    """
    for label, factor in bars:
        theirs = cells.get(label)
        if theirs is None:
            yield label, "without"
            continue
        found = paired(ours, theirs, factor)
        if math.isnan(found.half):
            yield label, "too few seeds of"
        elif found.mean - found.half > 0:
            yield label, "above"
        elif found.mean + found.half >= 0:
            yield label, "not told apart from"


def _against(found: Interval, value: float) -> str:
    half = found.half if found.half >= 0 else 0.0
    if found.mean + half <= value:
        return "yes"
    if found.mean <= value:
        return "yes, on average"
    return "not told apart" if found.mean - half <= value else "no"
