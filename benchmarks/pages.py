"""Results as CSV, as Markdown between markers, and as log-log pictures."""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy

PAPER, FLOOR = "paper (a)", "floor (c)"
STYLES = {
    PAPER: ("#b2182b", "s-", "the paper's configuration (a)"),
    "rk45": ("#ef8a62", "v-", "rk45"),
    "sde": ("#998ec3", "^-", "sde"),
    "ode": ("#2166ac", "o-", "ode (default)"),
    FLOOR: ("#666666", "--", "products and exponentials alone (c)"),
    "exact": ("#1b7837", "d:", "exact"),
}


def write_csv(path: Path, found: Sequence[Mapping[str, Any]]) -> None:
    """One line per row, columns by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        for row in found:
            writer.writerow({key: short(value) for key, value in row.items()})


def write_long_csv(
    path: Path, parts: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]
) -> None:
    """Tables of different columns in one file: a line for each figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("table", "row", "column", "value"))
        for title, (head, lines) in parts.items():
            for number, line in enumerate(lines, start=1):
                for name, value in zip(head, line, strict=True):
                    writer.writerow((title, number, name, short(value)))


def table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    text = [head, ["---"] * len(head)]
    text += [[short(value) for value in line] for line in lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in text)


def fill(page: Path, part: str, text: str) -> None:
    """Put generated text between the markers of one part of a page written by hand."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    whole = page.read_text() if page.exists() else f"{begin}\n{end}\n"
    if begin not in whole:
        whole += f"\n{begin}\n{end}\n"
    before, _, rest = whole.partition(begin)
    after = rest.partition(end)[2]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def machine() -> str:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{model}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, one BLAS thread"
    )


def draw(folder: Path, found: Sequence[Mapping[str, Any]]) -> None:
    """Cost against N and against dx, log-log."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ccdm"
    folder.mkdir(parents=True, exist_ok=True)
    for dimension in (3, 40):
        chosen = [
            row
            for row in found
            if row["dimension"] == dimension and row["observation"] == "sharp"
        ]
        _picture(
            folder / f"performance-members-{dimension}.svg",
            chosen,
            "members",
            f"members N (dx = {dimension})",
            2.0,
        )
    chosen = [
        row for row in found if row["members"] == 100 and row["observation"] == "sharp"
    ]
    _picture(
        folder / "performance-variables.svg",
        chosen,
        "dimension",
        "state variables dx (N = 100)",
        1.0,
    )


def _picture(
    path: Path, found: Sequence[Mapping[str, Any]], key: str, label: str, slope: float
) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for method, (colour, style, text) in STYLES.items():
        points = sorted(
            (row[key], row["best_seconds"]) for row in found if row["method"] == method
        )
        if points:
            axes.loglog(
                *zip(*points, strict=True),
                style,
                color=colour,
                label=text,
                markersize=4,
                linewidth=1.3,
            )
    sizes = np.array(sorted({row[key] for row in found})[-2:], dtype=float)
    anchor = max(row["best_seconds"] for row in found if row["method"] == "ode")
    guide = anchor * (sizes / sizes[-1]) ** slope * 0.4
    axes.loglog(sizes, guide, color="#bbbbbb", linewidth=3, zorder=0)
    axes.annotate(f"slope {slope:g}", (sizes[0], guide[0]), color="#888888", fontsize=8)
    axes.set_xlabel(label)
    axes.set_ylabel("processor seconds")
    axes.grid(True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def short(value: Any) -> Any:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return value
