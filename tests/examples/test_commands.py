"""The documented commands, run as a person would: from a copy without an environment.

The tutorials' simulators in short settings, to the scores that their scripts state.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.missing import NEEDS
from tests.support.servers import ROOT

NOT_RUN = 77
SCORE = re.compile(r"score: (?:RMSE )?(\d\.\d+)[^\n]*wanted below (\d\.\d)")
# Simulators are slow where all processors are busy.
pytestmark = pytest.mark.timeout(600)
PNG = b"\x89PNG\r\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The examples alone, as a clean checkout has them."""
    folder = tmp_path / "checkout" / "examples"
    shutil.copytree(
        ROOT / "examples", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def run(script: Path, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the examples; it starts a service by the ``ccdm`` on the PATH."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
    temporary = script.parents[2] / "tmp"
    temporary.mkdir(exist_ok=True)
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(script), *words],
        cwd=temporary,
        env={**inherited, "TMPDIR": str(temporary), "PATH": path or own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    if done.returncode == NOT_RUN:
        pytest.skip(f"{NEEDS}{done.stdout.partition('not run: ')[2].strip()}")
    return done


def reached(done: subprocess.CompletedProcess[str]) -> list[float]:
    """The bounds that were stated and kept."""
    assert done.returncode == 0, done.stdout + done.stderr
    scores = [
        (float(score), float(wanted)) for score, wanted in SCORE.findall(done.stdout)
    ]
    assert all(0 < score < wanted for score, wanted in scores)
    return [wanted for _, wanted in scores]


@pytest.mark.slow
def test_the_water_network(copy: Path) -> None:
    done = run(copy / "water" / "run.sh", "--hours", "30")
    assert reached(done) == [0.6, 0.5]
    assert "CCDM, localized, watched" in done.stdout


@pytest.mark.slow
def test_the_pictures_of_the_water_network(copy: Path, tmp_path: Path) -> None:
    done = run(copy / "water" / "run.sh", "--pictures", str(tmp_path), "--hours", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("water-demands.png", "water-roughness.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


@pytest.mark.slow
def test_the_reactor_and_its_picture(copy: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    words = ("--cycles", "18", "--picture", str(picture))
    done = run(copy / "reactor" / "run.sh", *words)
    assert reached(done) == [0.3]
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.slow
def test_twenty_workers_of_which_three_crash(copy: Path) -> None:
    done = run(copy / "cluster" / "run.sh", "--cycles", "16", "--deadline", "3")
    assert reached(done) == [0.8]
    assert "crashed workers: 3 of 20" in done.stdout
    assert "cycle  16: 51 of 60 members" in done.stdout
    assert "worker 48: Cycle 8 is finished without member 48" in done.stdout


def examples() -> list[str]:
    """Their folders."""
    return sorted(file.parent.name for file in (ROOT / "examples").glob("*/run.sh"))


def tools(folder: Path) -> str:
    """A PATH with a shell's usual tools and nothing else."""
    folder.mkdir()
    for name in ("sh", "basename", "dirname", "mktemp", "rm", "cat"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


def test_without_ccdm_each_example_says_what_to_do(copy: Path, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin")
    for name in examples():
        told = run(copy / name / "run.sh", path=path)
        assert told.returncode == 1
        assert f"'make example-{name}' does that" in told.stderr
    told = run(copy / "run_all.sh", path=path)
    assert told.returncode == 1 and "'make examples' does that" in told.stderr


def test_make_runs_each_example_and_its_help_says_so() -> None:
    def make(*words: str) -> str:
        return subprocess.run(
            ["make", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    for name in examples():
        assert f"examples/{name}/run.sh" in make("-n", f"example-{name}")
    listed = re.findall(r"(?m)^  make (\S+)", make("help"))
    assert {"examples", "example-tools", "example-c"} <= set(listed)


def test_all_examples_are_among_all_and_in_the_table() -> None:
    script = (ROOT / "examples" / "run_all.sh").read_text().replace("\\\n", "")
    (named,) = re.findall(r"(?m)set -- (.+)$", script)
    assert sorted(named.split()) == examples()
    page = (ROOT / "examples" / "README.md").read_text()
    for name in examples():
        assert f"`{name}`" in page or f"make example-{name} " in page


def test_examples_are_read_so_they_are_short() -> None:
    files = [f for f in (ROOT / "examples").rglob("*") if "__pycache__" not in str(f)]
    for file in files:
        if file.is_file():
            assert len(file.read_text().splitlines()) <= 150, file
