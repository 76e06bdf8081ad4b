"""The engine, loaded once per process."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def engine() -> Any:
    """The engine, with one BLAS thread per analysis.

    Two threads on small tiles were 40 times slower than one beside a busy core.
    """
    import threadpoolctl  # type: ignore[import-untyped]

    import ccdm_engine

    threadpoolctl.threadpool_limits(limits=1)
    return ccdm_engine
