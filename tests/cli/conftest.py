"""The command line as its user has it: a process, its output and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.redis import redis_server
from tests.support.stores import store_url

__all__ = ["redis_server", "store_url"]

Ccdm = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE = 120.0


def surroundings(home: Path) -> dict[str, str]:
    """An environment whose data folder is the test's own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        inherited.pop(name, None)
    return inherited | {
        "XDG_DATA_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "COLUMNS": "200",
    }


@pytest.fixture
def ccdm(tmp_path: Path) -> Ccdm:
    """Run ``ccdm`` in a folder of the test's own."""

    def run(
        *words: str | Path, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *map(str, words)],
            cwd=tmp_path,
            env=surroundings(tmp_path / "home") | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run
