"""Run the measurements and write them into the documentation.

python -m benchmarks                    all that follows but scale
python -m benchmarks engine             tables, CSV, pictures (under ten minutes)
python -m benchmarks service            latencies and throughput over HTTP
python -m benchmarks replicas           two services on two processors, one on one
python -m benchmarks scale              how cost grows, Dask (a quarter of an hour)
python -m benchmarks scale-curves       the first half of that: processor seconds
python -m benchmarks scale-dask         the other half, on the wall, on a quiet machine
python -m benchmarks --short            a quick look, written into out/benchmarks
"""

from __future__ import annotations

import os

# Before NumPy is loaded: one BLAS thread for every side.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402

from benchmarks import report  # noqa: E402

SCALE = ("scale-curves", "scale-dask")
PUBLISHED, SHORT = Path("docs"), Path("out/benchmarks")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    given = _parser().parse_args(arguments)
    # What a quick look finds must not replace what is published, unless told to.
    docs = given.docs or (SHORT if given.short else PUBLISHED)
    if given.what in ("engine", "all"):
        report.engine(docs, short=given.short)
    if given.what in ("scale", *SCALE):
        _scale(docs, given.what, short=given.short)
    if given.what in ("service", "all"):
        report.service(docs, short=given.short)
    if given.what in ("replicas", "all"):
        report.replicas(docs, short=given.short)
    print(f"Written into {docs}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = ["engine", "service", "replicas", "scale", *SCALE, "all"]
    parser.add_argument("what", choices=what, nargs="?", default="all")
    parser.add_argument("--short", action="store_true", help="few sizes, few rounds")
    parser.add_argument(
        "--docs",
        type=Path,
        help=f"write here; {PUBLISHED} unless given, of a short run {SHORT}",
    )
    return parser


def _scale(docs: Path, what: str, *, short: bool) -> None:
    from benchmarks.scale import report as scaling

    if what == "scale-dask" and not (docs / "scaling.json").exists():
        raise SystemExit(
            f"scale-dask goes on from scaling.json, which is not in {docs}: run "
            "scale-curves first, or say with --docs where it is"
        )
    if what != "scale-dask":
        scaling.curves(docs, short=short)
    if what != "scale-curves":
        scaling.large(docs, short=short)


if __name__ == "__main__":
    main()
