"""Run the measurements and write them into the documentation.

python -m benchmarks engine             tables, CSV, pictures (under ten minutes)
python -m benchmarks service            latencies and throughput over HTTP
python -m benchmarks replicas           two services on two processors, one on one
python -m benchmarks scale              how cost grows, Dask (a quarter of an hour)
python -m benchmarks scale-curves       the first half of that: processor seconds
python -m benchmarks scale-dask         the other half, on the wall, on a quiet machine
python -m benchmarks all --short        a look at everything, in seconds
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


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    what = ["engine", "service", "replicas", "scale", *SCALE, "all"]
    parser.add_argument("what", choices=what)
    parser.add_argument("--short", action="store_true", help="few sizes, few rounds")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="write here")
    given = parser.parse_args()
    if given.what in ("engine", "all"):
        report.engine(given.docs, short=given.short)
    if given.what in ("scale", *SCALE):
        from benchmarks.scale import report as scaling

        if given.what != "scale-dask":
            scaling.curves(given.docs, short=given.short)
        if given.what != "scale-curves":
            scaling.large(given.docs, short=given.short)
    if given.what in ("service", "all"):
        report.service(given.docs, short=given.short)
    if given.what in ("replicas", "all"):
        report.replicas(given.docs, short=given.short)


if __name__ == "__main__":
    main()
