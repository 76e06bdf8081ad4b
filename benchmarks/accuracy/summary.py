"""Jobs that a table needs, and what its finished runs come to over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.plan import Contender, Grid, Row, Score, Table
from benchmarks.accuracy.runs import Job, Key, Record, Runs, is_baseline
from service.cli.study.code import engine_code
from service.cli.study.tables import Interval, interval

FIRST_SEEDS = 2


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its runs.

    Attributes:
        table: what is compared.
        runs: what is on file.
        seeds: from 0 up to this.
        cycles: of every run; ``None`` for what each row says.
        settings: whose rows are run; empty for all.
        grid_seeds: on which the truth picks; ``None`` for what each grid says.
    """

    table: Table
    runs: Runs
    seeds: int
    cycles: int | None = None
    settings: frozenset[str] = frozenset()
    grid_seeds: int | None = None

    @property
    def rows(self) -> list[Row]:
        """The rows to be run."""
        chosen = self.settings
        return [r for r in self.table.rows if not chosen or r.setting in chosen]

    def waiting(self) -> list[Job]:
        """Jobs to make now, seed by seed; none when the table is whole.

        Those that the table's claim is about go one seed ahead. Bandwidths that the
        truth is to pick come as a grid, after the first seeds of all else, then, when
        that is made, as their winner.
        """
        places = enumerate(self.rows)
        needed = [(seed, i, job) for i, row in places for seed, job in self._jobs(row)]
        ordered = [job for _, _, job in sorted(needed, key=lambda item: item[:2])]
        return [job for job in dict.fromkeys(ordered) if not self.runs.is_done(job)]

    def jobs(self) -> Iterator[Job]:
        """All that the rows to be run need as far as that is known, made or not."""
        for row in self.rows:
            yield from (job for _, job in self._jobs(row))

    def _jobs(self, row: Row) -> Iterator[tuple[int, Job]]:
        reference = self.runs.references if "w2" in row.scores else None
        for contender in row.contenders:
            methods = contender.methods
            if contender.grid is not None:
                measured = reference if row.tuned_on == "w2" else None
                tuning = [
                    (seed, self._job(row, method, seed, measured))
                    for method in contender.grid.methods
                    for seed in self._tuning_seeds(contender.grid)
                ]
                yield from ((seed + FIRST_SEEDS, job) for seed, job in tuning)
                made = all(self.runs.is_done(job) for _, job in tuning)
                best = self.tuned(row, contender.grid)
                methods = (best,) if made and best else ()
            for method in methods:
                behind = contender.label not in self.table.claim
                for seed in range(self.seeds):
                    yield seed + behind, self._job(row, method, seed, reference)

    def _job(
        self, row: Row, method: str, seed: int, reference: Path | None = None
    ) -> Job:
        return Job(self.key(row, method, seed), engine_code(), reference)

    def key(self, row: Row, method: str, seed: int) -> Key:
        """Which run of a row."""
        cycles = row.cycles if self.cycles is None else self.cycles
        return Key(row.setting, method, row.members, seed, cycles)

    def _tuning_seeds(self, grid: Grid) -> range:
        return range(min(self.grid_seeds or grid.seeds, self.seeds))

    def tuned(self, row: Row, grid: Grid) -> str | None:
        """The method of a whole grid with the lowest mean of ``row.tuned_on``."""
        seeds = self._tuning_seeds(grid)
        means = {
            method: float(
                np.mean(
                    [
                        figure(self.runs.get(self.key(row, method, seed)), row.tuned_on)
                        for seed in seeds
                    ]
                )
            )
            for method in grid.methods
        }
        whole = not any(math.isnan(mean) for mean in means.values())
        return min(means, key=means.__getitem__) if whole else None

    def records(self, row: Row, method: str) -> dict[int, Record]:
        """The runs on file of a method, by seed."""
        found = {
            seed: self.runs.get(self.key(row, method, seed))
            for seed in range(self.seeds)
        }
        return {seed: record for seed, record in found.items() if record is not None}


@dataclass(frozen=True, slots=True)
class Cell:
    """A contender in a line.

    Attributes:
        method: the tuning shown.
        by_seed: scores of the runs that reached the end.
        seeds: runs made.
        lost: of these, the ones that broke down or lost the truth.
        records: of all runs, by seed.
    """

    method: str
    by_seed: dict[int, float]
    seeds: int
    lost: int
    records: dict[int, Record]

    @property
    def interval(self) -> Interval:
        """Mean over the runs that reached the end, and its 95 % interval."""
        return interval(list(self.by_seed.values()))


def cell(sheet: Sheet, row: Row, contender: Contender, score: Score) -> Cell | None:
    """The contender's best tuning on this score; ``None`` before its first run."""
    methods = contender.methods
    if contender.grid is not None:
        best = sheet.tuned(row, contender.grid)
        methods = (best,) if best else ()
    cells = [_cell(sheet.records(row, method), method, score) for method in methods]
    made = [one for one in cells if one.seeds]
    return min(made, key=_rank, default=None)


def _cell(records: dict[int, Record], method: str, score: Score) -> Cell:
    scores = {seed: figure(record, score) for seed, record in records.items()}
    # Runs that picked a bandwidth were not all measured against the reference.
    records = {s: r for s, r in records.items() if not math.isnan(scores[s])}
    return Cell(
        method,
        {seed: value for seed, value in scores.items() if math.isfinite(value)},
        len(records),
        sum(record["lost"] for record in records.values()),
        records,
    )


def _rank(one: Cell) -> tuple[bool, float]:
    """The lowest score, of tunings by which half of the runs reach the end.

    Lost seeds count by what they score: where beliefs have two lobes, a tuning that
    never loses them may be one that never narrows either.
    """
    broke = 2 * len(one.by_seed) < one.seeds
    return broke, one.interval.mean if one.by_seed else math.inf


def figure(record: Record | None, score: Score) -> float:
    """A score of a run: NaN where it was not measured, infinity after a failure."""
    if record is None:
        return math.nan
    if record["failure"]:
        return math.inf
    value = record[score]
    return math.nan if value is None else float(value)


def paired(ours: Cell, theirs: Cell, factor: float = 1.0) -> Interval:
    """Mean of ours less theirs (times a factor), over the seeds that both finished."""
    common = sorted(ours.by_seed.keys() & theirs.by_seed.keys())
    return interval(
        [ours.by_seed[seed] - factor * theirs.by_seed[seed] for seed in common]
    )


def betrayed(sheet: Sheet, row: Row) -> list[int] | None:
    """Seeds that the first of the claim loses and the other, of any tuning, holds.

    Returns:
        ``None`` before either of the two has been run.
    """
    found = [
        [sheet.records(row, method) for method in contender.methods]
        for label in sheet.table.claim
        for contender in row.contenders
        if contender.label == label and contender.methods
    ]
    if len(found) != 2 or not found[0][0] or not any(found[1]):
        return None
    [ours], theirs = found
    return [
        seed
        for seed, record in sorted(ours.items())
        if record["lost"]
        and any(not made[seed]["lost"] for made in theirs if seed in made)
    ]


def kept_samples(sheets: Sequence[Sheet]) -> list[Job]:
    """Runs on file of an older engine that say whether others need be made again.

    Of baselines one for each setting and method, the cheapest in members and cycles;
    of CCDM one for each size, too.
    """
    chosen: dict[tuple[Any, ...], Job] = {}
    for sheet in sheets:
        for job in sheet.jobs():
            found = sheet.runs.get(job.key)
            if found is None or found["code"] == job.code:
                continue
            kind = job.key[:2] if is_baseline(job.key.method) else job.key[:3]
            best = chosen.setdefault(kind, job)
            if _cost(job) < _cost(best):
                chosen[kind] = job
    return list(chosen.values())


def _cost(job: Job) -> tuple[int, int]:
    return job.key.members * job.key.cycles, job.key.seed
