"""Runs on disk: one CSV line each, appended as it finishes, and its series beside it.

A run that is on file is not made again. The key is setting, method with its options,
ensemble size, seed, number of cycles and code of the engine, so that an edited engine
makes its runs anew.
"""

from __future__ import annotations

import csv
import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.cli.study.work import Outcome, Task

Array = npt.NDArray[np.float64]

COLUMNS = (
    *("setting", "method", "members", "seed", "cycles", "code", "version"),
    *("rmse", "spread", "crps", "energy", "w2", "reference_ess"),
    *("rank_chi_square", "rank_bins", "ms", "lost", "failure"),
)
_NUMBERS = (
    *("rmse", "spread", "crps", "energy", "w2", "reference_ess"),
    *("rank_chi_square", "rank_bins", "ms"),
)


class Records:
    """The runs of one folder.

    Args:
        folder: made when it is first wanted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "runs.csv"

    def prove_writable(self) -> None:
        """Make the folder, and see that runs can be kept there.

        Raises:
            OSError: where they cannot.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass
        if self.path.exists():
            self.path.open("a").close()

    def rows(self) -> list[dict[str, Any]]:
        """All runs on file; numbers as numbers, the rest as text."""
        if not self.path.exists() or not self._is_ours():
            return []
        with self.path.open(newline="") as file:
            # A line cut short by a crash has no last column, and is made again.
            lines = [row for row in csv.DictReader(file) if row["failure"] is not None]
        return [_typed(row) for row in lines]

    def done(self, *, with_w2: bool) -> set[tuple[str, ...]]:
        """Keys of the runs on file; those without W2 do not count where it is asked."""
        return {
            tuple(str(row[name]) for name in COLUMNS[:6])
            for row in self.rows()
            if not with_w2 or row["w2"] == row["w2"] or row["failure"]
        }

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Append one finished run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.series_path(task)
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, **outcome.series)  # type: ignore[arg-type]
        if self.path.exists() and not self._is_ours():
            # Of a version that kept other columns: set aside, not mixed.
            self.path.replace(self.path.with_suffix(".old.csv"))
        fresh = not self.path.exists()
        whole = fresh or self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", newline="") as file:
            if not whole:
                file.write("\n")
            writer = csv.DictWriter(file, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(outcome.row)

    def _is_ours(self) -> bool:
        with self.path.open(newline="") as file:
            return next(csv.reader(file), None) == list(COLUMNS)

    def series(self, task: Task) -> dict[str, Array]:
        """The series of a run on file; empty when they are not there."""
        path = self.series_path(task)
        if not path.exists():
            return {}
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def series_path(self, task: Task) -> Path:
        """Where the series of a run are."""
        readable = re.sub(r"[^A-Za-z0-9_.=-]+", "-", "-".join(task.key))[:120]
        digest = hashlib.sha256("|".join(task.key).encode()).hexdigest()[:8]
        return self.folder / "series" / f"{readable}-{digest}.npz"


def chosen(
    rows: Iterable[dict[str, Any]], tasks: Iterable[Task]
) -> list[dict[str, Any]]:
    """The rows of these tasks, the latest of each."""
    wanted = {task.key for task in tasks}
    latest = {
        key: row
        for row in rows
        if (key := tuple(str(row[name]) for name in COLUMNS[:6])) in wanted
    }
    return list(latest.values())


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: float(row[name] or "nan") for name in _NUMBERS}
    whole = {name: int(row[name]) for name in ("members", "seed", "cycles", "lost")}
    return row | numbers | whole
