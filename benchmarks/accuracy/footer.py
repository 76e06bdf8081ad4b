"""What a table was made with: engines, libraries, seeds, the way to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.accuracy.runs import Record, is_baseline
from benchmarks.accuracy.summary import Sheet
from ccdm_engine.version import __version__
from service.cli.study.code import engine_code


def footer(sheet: Sheet, records: Sequence[Record]) -> str:
    """Below a table.

    Args:
        sheet: the table.
        records: of all runs that it shows.
    """
    libraries = sorted({(r["python"], r["numpy"], r["scipy"]) for r in records})
    used = "; ".join(
        f"Python {python}, NumPy {numpy}, SciPy {scipy}"
        for python, numpy, scipy in libraries
    )
    name, seeds = sheet.table.name, sheet.seeds
    return (
        f"CCDM {__version__}, {_engines(records)}; {used}. Seeds from 0. Again by "
        f"`python -m benchmarks.accuracy --table {name} --seeds {seeds}`."
        f"{_references(records)}"
    )


def _engines(records: Sequence[Record]) -> str:
    """Code of the engines that made CCDM's runs, and of others that were kept."""
    ours = [r for r in records if not is_baseline(r["method"])] or records
    codes = sorted({record["code"] for record in ours})
    older = "" if codes == [engine_code()] else " (an engine since changed)"
    text = f"engine code {', '.join(codes)}{older}"
    kept = [r for r in records if is_baseline(r["method"]) and r["code"] not in codes]
    if not kept:
        return text
    again = sum(1 for r in records if r["code"] in codes and r.get("again"))
    return (
        f"{text}; {len(kept)} runs of other methods and of the paper's form are kept "
        f"from engine code {', '.join(sorted({r['code'] for r in kept}))}, {again} of "
        "their kind made again and equal to the last digit"
    )


def _references(records: Sequence[Record]) -> str:
    sizes = list(_sizes(records))
    if not sizes:
        return ""
    return (
        " Effective size of the reference's particles, median over runs: from "
        f"{min(sizes):.0f} to {max(sizes):.0f}."
    )


def _sizes(records: Sequence[Record]) -> Iterator[float]:
    for record in records:
        if record.get("reference_ess"):
            yield float(record["reference_ess"])
