"""Runs kept as they finish, one line of JSON each, and never made twice.

A run is known by setting, method, ensemble size, seed, number of cycles and the code
of the engine: a change of the engine makes its figures anew, a change of its comments
does not. Runs of methods that a change does not concern may be kept on demand, and
samples of them made again to show that it does not.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy

from benchmarks.accuracy.plan import PAPERS_FORM
from service.cli.study.code import engine_code
from service.cli.study.work import Task, perform, prepare

Record = dict[str, Any]

# What a run made again must have in common with the old one, to the last digit.
FIGURES = ("rmse", "spread", "crps", "energy", "w2", "lost", "failure")


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


def is_baseline(method: str) -> bool:
    """Whether a method is not CCDM as users have it: a peer, or the paper's form.

    The paper's form leaves out everything that the engine chooses or learns.
    """
    return method.startswith(PAPERS_FORM) or not method.startswith("ccdm")


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
        reuse: keep baselines made by whatever engine, and CCDM's runs of a setting and
            size of which one, made again by the engine as it is, agreed with the older
            one to the last digit.
    """

    def __init__(self, folder: Path, *, reuse: bool = False) -> None:
        self.path = folder / "runs.jsonl"
        self.references = folder / "reference"
        self.reuse = reuse
        self._latest: dict[Key, Record] = {}
        for record in self._read():
            self._latest[_key(record)] = record

    def get(self, key: Key) -> Record | None:
        """The latest run of this key, by whatever engine."""
        return self._latest.get(key)

    def is_done(self, job: Job) -> bool:
        """Whether this run need not be made: its W2 is there, its engine will do."""
        found = self._latest.get(job.key)
        if found is None:
            return False
        if found["code"] != job.code and not self._may_keep(job, found["code"]):
            return False
        measured = job.reference is None or found["w2"] is not None
        return measured or bool(found["failure"])

    def _may_keep(self, job: Job, older: str) -> bool:
        if not self.reuse or is_baseline(job.key.method):
            return self.reuse
        return any(
            record.get("again") == older and record["code"] == job.code
            for key, record in self._latest.items()
            if key._replace(seed=0) == job.key._replace(seed=0)
        )

    def keep(self, record: Record) -> None:
        """Append a finished run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.path.exists() or self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("" if whole else "\n") + json.dumps(record) + "\n")
        self._latest[_key(record)] = record

    def repeat(self, job: Job, record: Record) -> None:
        """Keep a run made again, with the engine that had made it before.

        Raises:
            EngineChanged: where a baseline differs in any figure; the old one stays
                then. Of CCDM the new one is kept, and none of its size is.
        """
        old = self._latest[job.key]
        wrong = [name for name in FIGURES if _differ(old.get(name), record.get(name))]
        if wrong and not is_baseline(job.key.method):
            self.keep(record)
            return
        if wrong:
            raise EngineChanged(
                f"{job}: made again, {', '.join(wrong)} is not what {old['code']} "
                "made of it; baselines of that engine cannot be kept"
            )
        self.keep({**record, "again": old["code"]})

    def missing_references(self, jobs: Iterable[Job]) -> list[Job]:
        """One job for each reference that is not on file."""
        first = {
            (job.key.setting, job.key.seed, job.key.cycles): job
            for job in jobs
            if job.reference is not None
        }
        return [job for job in first.values() if job.task.lacks_reference()]

    def _read(self) -> Iterator[Record]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut short by a crash: made again


def _differ(old: Any, new: Any) -> bool:
    # A distance is not measured where nobody asked for it.
    return bool(old != new) and old is not None and new is not None


def _key(record: Record) -> Key:
    return Key(*(record[name] for name in Key._fields))
