"""What cannot be tested on a machine is counted where nobody overlooks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.reliability.test_replicas import pytestmark as replicas
from tests.support.missing import not_run
from tests.support.servers import ROOT

ONE = "tests/dashboard/test_pages.py::test_an_empty_service_says_how_to_begin"


def test_needs_are_counted_and_other_skips_are_not() -> None:
    reasons = [
        "Skipped: needs a browser: install one",
        "Skipped: only root makes file systems",
        "Skipped: needs c: gcc is missing",
        "Skipped: needs a browser: install one",
    ]
    assert not_run(reasons) == [
        "2 tests did not run: needs a browser: install one",
        "1 test did not run: needs c: gcc is missing",
    ]


def test_a_machine_without_nginx_is_told_how_to_get_it() -> None:
    (mark,) = (mark for mark in replicas if mark.name == "skipif")
    assert not_run([mark.kwargs["reason"]]) == [
        "1 test did not run: needs nginx: apt-get install nginx"
    ]


def test_a_run_without_a_browser_ends_with_saying_so(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "CHROMIUM"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ONE],
        cwd=ROOT,
        env={**environment, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    tail = run.stdout.partition("NOT TESTED HERE")[2]
    assert "1 test did not run: needs a browser" in tail
    assert "apt-get install chromium" in tail and "$CHROMIUM" in tail
