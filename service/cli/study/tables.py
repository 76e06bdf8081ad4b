"""Runs summed up over seeds, with 95 % confidence intervals."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table
from scipy.special import chdtrc, stdtrit

from ccdm_engine.twin.experiment import Experiment

SCORES = ("rmse", "crps", "energy", "w2")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and the half-width of its 95 % confidence interval.

    The half-width is NaN for a single seed, the mean for none.
    """

    mean: float
    half: float

    def __str__(self) -> str:
        """As in a table."""
        if math.isnan(self.mean):
            return ""
        return f"{self.mean:.3f}" + (f" ± {self.half:.3f}" if self.half >= 0 else "")


@dataclass(frozen=True, slots=True)
class Flatness:
    """How far rank histograms are from flat, over seeds.

    Attributes:
        ratio: chi-square over its degrees of freedom; 1 where ranks are uniform and
            independent.
        p_value: of the sum over seeds. Ranks of neighbouring cycles and variables are
            not independent, so that small values are no proof.
    """

    ratio: float
    p_value: float


def flatness(chi_squares: Sequence[float], bins: Sequence[float]) -> Flatness:
    """The test of all histograms together: chi-squares of independent seeds add up.

    Args:
        chi_squares: of each histogram.
        bins: how many bins each has; those without counts have one or none.
    """
    total = float(np.sum(chi_squares))
    freedom = float(np.sum(np.asarray(bins, dtype=np.float64) - 1.0))
    if not freedom > 0:
        return Flatness(math.nan, math.nan)
    return Flatness(total / freedom, float(chdtrc(freedom, total)))


@dataclass(frozen=True, slots=True)
class Line:
    """One method at one ensemble size, over seeds.

    Attributes:
        lost: runs that lost the truth, those that broke down among them.
        broken: runs that did not reach the end; the scores leave them out.
        calibration: spread over RMSE, of the means.
        flatness: of the rank histograms.
    """

    method: str
    members: int
    seeds: int
    lost: int
    broken: int
    scores: dict[str, Interval]
    calibration: float
    flatness: Flatness
    milliseconds: float


def interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean: ``mean +- t(0.975, n - 1) s / sqrt(n)``."""
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        return Interval(math.nan, math.nan)
    mean = float(numbers.mean())
    if numbers.size < 2:
        return Interval(mean, math.nan)
    factor = float(stdtrit(numbers.size - 1, 0.975))
    return Interval(mean, factor * float(numbers.std(ddof=1)) / math.sqrt(numbers.size))


def summarise(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """One line per method and ensemble size, in the order they first appear."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["members"]), []).append(row)
    return [_line(*key, group) for key, group in groups.items()]


def _line(method: str, members: int, group: Sequence[dict[str, Any]]) -> Line:
    whole = [row for row in group if not row["failure"]]
    scores = {score: interval([row[score] for row in whole]) for score in SCORES}
    spread, error = interval([row["spread"] for row in whole]), scores["rmse"]
    return Line(
        method=method,
        members=members,
        seeds=len(group),
        lost=sum(row["lost"] for row in group),
        broken=len(group) - len(whole),
        scores=scores,
        calibration=spread.mean / error.mean if error.mean > 0 else math.nan,
        flatness=flatness(
            [row["rank_chi_square"] for row in whole],
            [row["rank_bins"] for row in whole],
        ),
        milliseconds=float(np.median([row["ms"] for row in group])),
    )


def table(setting: Experiment, lines: Sequence[Line]) -> Table:
    """The comparison, for a terminal; all scores are in the CSV."""
    measured = any(not math.isnan(line.scores["w2"].mean) for line in lines)
    # Between two lobes lies no truth: the error of the mean says nothing there.
    shown_scores: tuple[str, ...]
    shown_scores = ("crps", "energy") if setting.bimodal else ("rmse", "crps", "energy")
    shown_scores += ("w2",) if measured else ()
    shown = Table(
        title=f"{setting.name}: {setting.summary}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    shown.add_column("method", overflow="fold", min_width=12)
    shown.add_column("N", justify="right", min_width=4)
    for score in shown_scores:
        shown.add_column(score.upper(), justify="right", min_width=13)
    heads = ("spread/\nRMSE", "ranks\nχ²/df", "lost", "broke", "ms")
    for head, width in zip(heads, (7, 5, 5, 5, 5), strict=True):
        shown.add_column(head, justify="right", min_width=width)
    for line in lines:
        shown.add_row(
            escape(line.method),
            str(line.members),
            *(str(line.scores[score]) for score in shown_scores),
            "" if math.isnan(line.calibration) else f"{line.calibration:.2f}",
            "" if math.isnan(line.flatness.ratio) else f"{line.flatness.ratio:.3g}",
            f"{line.lost}/{line.seeds}",
            str(line.broken),
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
            [
                "method",
                "members",
                "seeds",
                "lost",
                "broken",
                *heads,
                "spread_over_rmse",
                "rank_chi_square_over_df",
                "rank_p_value",
                "ms",
            ]
        )
        for line in lines:
            pairs = [(line.scores[s].mean, line.scores[s].half) for s in SCORES]
            writer.writerow(
                [
                    *(line.method, line.members, line.seeds, line.lost, line.broken),
                    *(value for pair in pairs for value in pair),
                    line.calibration,
                    *(line.flatness.ratio, line.flatness.p_value),
                    line.milliseconds,
                ]
            )
