"""What cannot be tested on a machine is counted where nobody overlooks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.reliability.test_replicas import pytestmark as replicas
from tests.support.missing import SWITCH, not_run
from tests.support.servers import ROOT

ONE = "tests/dashboard/test_pages.py::test_an_empty_service_says_how_to_begin"


def test_needs_are_counted_and_other_skips_are_not() -> None:
    reasons = [
        "Skipped: needs a browser: install one",
        "Skipped: only root makes file systems",
        "Skipped: needs c: gcc is missing",
        "Skipped: needs a browser: install one",
        "Skipped: could not import 'h5py': No module named 'h5py'",
    ]
    assert not_run(reasons) == [
        "2 tests did not run: needs a browser: install one",
        "1 test did not run: needs c: gcc is missing",
        "1 test did not run: needs h5py",
    ]


def test_a_machine_without_nginx_is_told_how_to_get_it() -> None:
    (mark,) = (mark for mark in replicas if mark.name == "skipif")
    assert not_run([mark.kwargs["reason"]]) == [
        "1 test did not run: needs nginx: apt-get install nginx"
    ]


def test_a_run_without_a_browser_ends_with_saying_so(tmp_path: Path) -> None:
    unset = ("CHROMIUM", SWITCH)
    environment = {k: v for k, v in os.environ.items() if k not in unset}
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


def run_needing_all(folder: Path, switch: str, lines: str) -> str:
    """The end of a run of one file, under this project's rules."""
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "test_one.py").write_text(f"import pytest\n\n{lines}")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c/dev/null"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), SWITCH: switch},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return run.stdout.strip().splitlines()[-1]


def test_where_all_needs_are_met_a_skip_for_one_is_a_failure(tmp_path: Path) -> None:
    needs = 'def test_a():\n    pytest.skip("needs c: gcc is missing")\n'
    whole = 'pytest.importorskip("no_such_module")\n'
    others = (
        'def test_a():\n    pytest.skip("only root can")\n\n\n'
        'def test_b():\n    pytest.skip("needs julia: julia is missing")\n'
    )
    assert run_needing_all(tmp_path, "1", needs).startswith("1 failed")
    assert "1 error" in run_needing_all(tmp_path, "1", whole)
    assert run_needing_all(tmp_path, "1", others).startswith("2 skipped")
    assert run_needing_all(tmp_path, "", needs).startswith("1 skipped")
