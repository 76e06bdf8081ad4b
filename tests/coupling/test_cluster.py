"""The cluster example, in short form: workers crash, the cycles go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import ROOT, serving


@pytest.mark.slow
def test_twenty_workers_of_which_three_crash(tmp_path: Path) -> None:
    script = ROOT / "examples" / "cluster" / "cluster.py"
    with serving(tmp_path) as server:
        done = subprocess.run(
            [sys.executable, str(script), server.url, "--cycles=8", "--deadline=4"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=170,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "crashed workers: 3 of 20" in done.stdout
    assert "cycle   8: 51 of 60 members" in done.stdout
