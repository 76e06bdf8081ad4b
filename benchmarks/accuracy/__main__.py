"""Make the runs behind the tables of docs/accuracy.md, and write them there.

python -m benchmarks.accuracy                     all tables; hours on two cores
python -m benchmarks.accuracy --table targets --seeds 3
python -m benchmarks.accuracy --report            write what has been run so far
python -m benchmarks.accuracy --short             a look in seconds

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
from benchmarks.accuracy.summary import Sheet  # noqa: E402
from benchmarks.accuracy.tables import TABLES  # noqa: E402
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
    parser.add_argument("--cycles", type=int, help="in every run, burn-in included")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--short", action="store_true", help="the table 'short'")
    parser.add_argument(
        "--report", action="store_true", help="write the page, run nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("out/accuracy"))
    parser.add_argument("--page", type=Path, default=Path("docs/accuracy.md"))
    given = parser.parse_args(arguments)
    names = ["short"] if given.short else given.table or whole
    runs = Runs(given.out)
    for name in names:
        sheet = Sheet(
            TABLES[name],
            runs,
            _seeds(name, given),
            given.cycles,
            frozenset(given.setting or ()),
        )
        if not given.report:
            try:
                _fill(sheet, given.workers)
            except EngineChanged as error:
                parser.exit(1, f"{error}\n")
        if name == "short":
            print(report.markdown(sheet))
        else:
            report.write(given.page, sheet)
    if names != ["short"]:
        sheets = [Sheet(TABLES[n], runs, _seeds(n, given), given.cycles) for n in whole]
        report.write_runs(given.page.with_suffix(".csv"), sheets)


def _seeds(name: str, given: argparse.Namespace) -> int:
    return given.seeds or TABLES[name].seeds


def _fill(sheet: Sheet, workers: int) -> None:
    """Make what is missing, round by round: references, grids, then their winners."""
    while jobs := sheet.waiting():
        name = sheet.table.name
        absent = sheet.runs.missing_references(jobs)
        list(finished(make_reference, absent, workers, title="references", name=str))
        for _, record in finished(make, jobs, workers, title=name, name=str):
            sheet.runs.keep(record)
    console().print(f"{sheet.table.name}: all runs are in {sheet.runs.path}")


if __name__ == "__main__":
    main()
