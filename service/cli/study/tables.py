"""Runs summed up over seeds, with 95 % confidence intervals."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table
from scipy.special import stdtrit

from ccdm_engine.twin.experiment import Experiment

SCORES = ("rmse", "crps", "energy", "w2")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and the half-width of its 95 % confidence interval.

    The half-width is NaN for a single seed; a run that broke down makes the mean
    infinite.
    """

    mean: float
    half: float

    def __str__(self) -> str:
        """As in a table."""
        if math.isnan(self.mean):
            return ""
        if math.isinf(self.mean):
            return "broke down"
        return f"{self.mean:.3f}" + (f" ± {self.half:.3f}" if self.half >= 0 else "")


@dataclass(frozen=True, slots=True)
class Line:
    """One method at one ensemble size, over seeds."""

    method: str
    members: int
    seeds: int
    lost: int
    scores: dict[str, Interval]
    calibration: float
    milliseconds: float


def interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean: ``mean +- t(0.975, n - 1) s / sqrt(n)``."""
    numbers = np.asarray(values, dtype=np.float64)
    mean = float(numbers.mean())
    if numbers.size < 2 or not math.isfinite(mean):
        return Interval(mean, math.nan)
    factor = float(stdtrit(numbers.size - 1, 0.975))
    return Interval(mean, factor * float(numbers.std(ddof=1)) / math.sqrt(numbers.size))


def summarise(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """One line per method and ensemble size, in the order they first appear."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["members"]), []).append(row)
    lines = []
    for (method, members), group in groups.items():
        spread = np.mean([row["spread"] for row in group])
        error = np.mean([row["rmse"] for row in group])
        finite = math.isfinite(error) and error > 0
        lines.append(
            Line(
                method=method,
                members=members,
                seeds=len(group),
                lost=sum(row["lost"] for row in group),
                scores={s: interval([row[s] for row in group]) for s in SCORES},
                calibration=float(spread / error) if finite else math.nan,
                milliseconds=float(np.median([row["ms"] for row in group])),
            )
        )
    return lines


def table(setting: Experiment, lines: Sequence[Line]) -> Table:
    """The comparison, for a terminal; all scores are in the CSV."""
    measured = any(not math.isnan(line.scores["w2"].mean) for line in lines)
    shown_scores = ("rmse", "crps", "w2") if measured else ("rmse", "crps")
    shown = Table(title=f"{setting.name}: {setting.summary}", title_justify="left")
    shown.add_column("method", overflow="fold")
    heads = (*map(str.upper, shown_scores), "spread/RMSE", "lost", "ms")
    for head in ("N", *heads):
        shown.add_column(head, justify="right", no_wrap=True)
    for line in lines:
        shown.add_row(
            escape(line.method),
            str(line.members),
            *(str(line.scores[score]) for score in shown_scores),
            "" if math.isnan(line.calibration) else f"{line.calibration:.2f}",
            f"{line.lost}/{line.seeds}",
            f"{line.milliseconds:.1f}",
        )
    return shown


def references(setting: Experiment) -> Table | None:
    """Figures of others for the same setting, if any are known."""
    if not setting.expected:
        return None
    shown = Table(title="published or re-run elsewhere", title_justify="left")
    for head in ("method", "N", "score", "value", "source"):
        shown.add_column(head)
    for known in setting.expected:
        shown.add_row(
            known.method,
            str(known.members),
            known.score.upper(),
            f"{known.value:g}",
            known.source,
        )
    return shown


def write(path: Path, lines: Sequence[Line]) -> None:
    """The summary as CSV."""
    heads = [f"{score}{part}" for score in SCORES for part in ("", "_half_width")]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["method", "members", "seeds", "lost", *heads, "spread_over_rmse", "ms"]
        )
        for line in lines:
            pairs = [(line.scores[s].mean, line.scores[s].half) for s in SCORES]
            writer.writerow(
                [
                    *(line.method, line.members, line.seeds, line.lost),
                    *(value for pair in pairs for value in pair),
                    *(line.calibration, line.milliseconds),
                ]
            )
