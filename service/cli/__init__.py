"""The command line, ``ccdm``: serve, demo, assimilate, check.

Exit codes: 0 done, 1 what was asked for failed, 2 it was asked for wrongly.
"""

from __future__ import annotations

import os

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def cap_threads() -> None:
    """One BLAS thread, unless the caller's environment says otherwise.

    Several threads on the small tiles of an analysis were measured to be up to 40
    times slower than one beside a busy core. BLAS reads these variables when it is
    loaded, so this has to come before the first import of NumPy.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")


def main() -> None:
    """Entry point of the console script."""
    cap_threads()
    from service.cli.app import run

    run()
