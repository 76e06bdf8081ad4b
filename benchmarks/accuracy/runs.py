"""Runs kept as they finish, one line of JSON each, and never made twice.

A run is known by setting, method, ensemble size, seed, number of cycles and the code
of the engine: a change of the engine makes its figures anew, a change of its comments
does not.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy

import ccdm_engine
from service.cli.study.work import Task, perform, prepare

Record = dict[str, Any]


class EngineChanged(RuntimeError):
    """The engine was changed under a measurement."""


class Key(NamedTuple):
    """Which run, whatever the engine."""

    setting: str
    method: str
    members: int
    seed: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Job:
    """A run to make.

    Attributes:
        key: which.
        code: digest of the engine that is to make it.
        reference: folder of reference posteriors; ``None`` leaves W2 out.
    """

    key: Key
    code: str
    reference: Path | None = None

    @property
    def task(self) -> Task:
        """As the study wants it."""
        return Task(*self.key, self.reference)

    def __str__(self) -> str:
        """For a progress bar."""
        setting, method, members, seed, _ = self.key
        return f"{setting}, {method[:24]}, N = {members}, seed {seed}"


@cache
def engine_code() -> str:
    """Digest of the engine's code: of its syntax trees without docstrings."""
    root = Path(ccdm_engine.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(
                node, (ast.Module, ast.ClassDef, ast.FunctionDef)
            ) and ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
        whole.update(path.relative_to(root).as_posix().encode())
        whole.update(ast.dump(tree).encode())
    return whole.hexdigest()[:10]


def versions() -> dict[str, str]:
    """What the figures depend on, besides seeds."""
    return {
        "code": engine_code(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def make(job: Job) -> Record:
    """Make a run; figures that are no numbers become null.

    Raises:
        EngineChanged: when the files of the engine are no longer what they were.
    """
    if engine_code() != job.code:
        raise EngineChanged("the engine was changed meanwhile; start again")
    row = perform(job.task).row
    figures = {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in row.items()
    }
    return {**figures, "w2": row["w2"] if row["w2"] != "" else None, **versions()}


def make_reference(job: Job) -> None:
    """Make the reference posterior that several runs share."""
    prepare(job.task)


class Runs:
    """The runs on file.

    Args:
        folder: of ``runs.jsonl`` and the reference posteriors.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs.jsonl"
        self.references = folder / "reference"
        self._latest: dict[Key, Record] = {}
        for record in self._read():
            self._latest[_key(record)] = record

    def get(self, key: Key) -> Record | None:
        """The latest run of this key, by whatever engine."""
        return self._latest.get(key)

    def is_done(self, job: Job) -> bool:
        """Whether the engine as it is has made this run, its W2 included."""
        found = self._latest.get(job.key)
        if found is None or found["code"] != job.code:
            return False
        measured = job.reference is None or found["w2"] is not None
        return measured or bool(found["failure"])

    def keep(self, record: Record) -> None:
        """Append a finished run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.exists() or self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("" if whole else "\n") + json.dumps(record) + "\n")
        self._latest[_key(record)] = record

    def missing_references(self, jobs: Iterable[Job]) -> list[Job]:
        """One job for each reference that is not on file."""
        first = {
            (job.key.setting, job.key.seed, job.key.cycles): job
            for job in jobs
            if job.reference is not None
        }
        return [
            job
            for (setting, seed, cycles), job in first.items()
            if not (self.references / f"{setting}-{seed}-{cycles}.npz").exists()
        ]

    def _read(self) -> Iterator[Record]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut short by a crash: made again


def _key(record: Record) -> Key:
    return Key(*(record[name] for name in Key._fields))
