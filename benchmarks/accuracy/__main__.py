"""Make the runs behind the tables of docs/accuracy.md, and write them there.

python -m benchmarks.accuracy                     all tables; hours on two cores
python -m benchmarks.accuracy --table targets --seeds 3
python -m benchmarks.accuracy --report            write what has been run so far
python -m benchmarks.accuracy --short             a look in seconds

python -m benchmarks.accuracy --check-kept   is what was made as it would be now?
python -m benchmarks.accuracy --reuse        go on from what is; only what changed anew

It can be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import os

# Before NumPy is loaded, here and in the processes: one BLAS thread each.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks.accuracy import report  # noqa: E402
from benchmarks.accuracy.runs import EngineChanged, Runs, make, make_reference  # noqa: E402
from benchmarks.accuracy.summary import Sheet, kept_samples  # noqa: E402
from benchmarks.accuracy.tables import TABLES  # noqa: E402
from ccdm_engine.twin.experiments import find  # noqa: E402
from service.cli.output import console  # noqa: E402
from service.cli.study.pool import finished  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole = [name for name in TABLES if name != "short"]
    parser.add_argument("--table", action="append", choices=list(TABLES))
    parser.add_argument("--setting", action="append", help="run only its rows")
    parser.add_argument("--seeds", type=int, help="instead of the table's own number")
    parser.add_argument("--grid-seeds", type=int, help="on which the truth picks")
    parser.add_argument("--cycles", type=int, help="in every run, burn-in included")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--short", action="store_true", help="the table 'short'")
    parser.add_argument(
        "--report", action="store_true", help="write the page, run nothing"
    )
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="keep runs by older engines: of other methods, of the paper's form, and "
        "of CCDM where one of the same size was made again and agreed",
    )
    parser.add_argument(
        "--check-kept",
        action="store_true",
        help="make one run by an older engine of each setting and method again (of "
        "CCDM of each size), and compare",
    )
    parser.add_argument("--out", type=Path, default=Path("out/accuracy"))
    parser.add_argument("--page", type=Path, default=Path("docs/accuracy.md"))
    given = parser.parse_args(arguments)
    names = ["short"] if given.short else given.table or whole
    try:
        _measure(names, whole, given)
    except (EngineChanged, TooFewCycles) as error:
        parser.exit(1, f"{error}\n")


def _measure(names: list[str], whole: list[str], given: argparse.Namespace) -> None:
    """Make, or check, or only write what is asked for."""
    runs = Runs(given.out, reuse=given.reuse or given.check_kept)
    if given.check_kept:
        check([_sheet(name, runs, given) for name in names], given.workers)
        return
    for name in names:
        sheet = _sheet(name, runs, given)
        if not given.report:
            _fill(sheet, given.workers)
        if name == "short":
            print(report.markdown(sheet))
        else:
            report.write(given.page, sheet)
    if names != ["short"]:
        sheets = [_sheet(name, runs, given) for name in whole]
        report.write_runs(given.page.with_suffix(".csv"), sheets)


class TooFewCycles(ValueError):
    """Nothing would be left after the burn-in."""


def _sheet(name: str, runs: Runs, given: argparse.Namespace) -> Sheet:
    table = TABLES[name]
    for row in table.rows if given.cycles is not None else ():
        burn_in = find(row.setting).burn_in
        if given.cycles <= burn_in:
            raise TooFewCycles(
                f"--cycles {given.cycles}: {row.setting} is scored after {burn_in} "
                f"cycles of burn-in, give {burn_in + 1} or more"
            )
    return Sheet(
        table,
        runs,
        given.seeds or table.seeds,
        given.cycles,
        frozenset(given.setting or ()),
        given.grid_seeds,
    )


def _fill(sheet: Sheet, workers: int) -> None:
    """Make what is missing, round by round: references, grids, then their winners."""
    while jobs := sheet.waiting():
        name = sheet.table.name
        absent = sheet.runs.missing_references(jobs)
        list(finished(make_reference, absent, workers, title="references", name=str))
        for _, record in finished(make, jobs, workers, title=name, name=str):
            sheet.runs.keep(record)
    console().print(f"{sheet.table.name}: all runs are in {sheet.runs.path}")


def check(sheets: list[Sheet], workers: int) -> None:
    """Make one run of each setting and method by an older engine again.

    Raises:
        EngineChanged: where a baseline differs.
    """
    runs = sheets[0].runs
    jobs = kept_samples(sheets)
    for job, record in finished(make, jobs, workers, title="again", name=str):
        runs.repeat(job, record)
    equal = sum(1 for job in jobs if (runs.get(job.key) or {}).get("again"))
    console().print(
        f"{len(jobs)} runs by older engines are made again, {equal} of them equal"
    )


if __name__ == "__main__":
    main()
