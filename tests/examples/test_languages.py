"""Every language couples a simulator of its own and reaches its score.

Each example is built and run as a person would run it, by its ``run.sh``, against one
real service. What this machine lacks is skipped by name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import Client
from tests.support.missing import NEEDS
from tests.support.servers import ROOT, Server, serving

EXAMPLES = ROOT / "examples"
LANGUAGES = ("c", "cpp", "fortran", "javascript", "julia", "octave", "python", "r")
SCORE = r"score: RMSE (\d*\.\d+), wanted below (\d(?:\.\d)?)"
NOT_RUN = 77


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service for all of them."""
    with serving(tmp_path_factory.mktemp("examples")) as running:
        yield running


def run(
    script: Path, url: str, folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script of the examples, in an environment without settings of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
    return subprocess.run(
        [str(script), *words],
        env={**inherited, "CCDM_URL": url, "TMPDIR": str(folder), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", [*LANGUAGES, "shell"])
def test_the_example_reaches_its_score(
    language: str, server: Server, tmp_path: Path
) -> None:
    done = run(EXAMPLES / language / "run.sh", server.url, tmp_path)
    if done.returncode == NOT_RUN:
        assert done.stdout.startswith("not run: ") or "\nnot run: " in done.stdout
        reason = done.stdout.strip().splitlines()[-1].removeprefix("not run: ")
        pytest.skip(f"{NEEDS}{language}: {reason}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(SCORE, done.stdout)
    partly = "not run over libcurl" in done.stdout
    assert len(found) == (2 if language == "fortran" and not partly else 1)
    for score, wanted in found:
        # Ten times better than chance is not what a broken coupling gives; and an
        # error of next to nothing would be one of the score.
        assert 0.1 < float(score) < float(wanted) == 1.0
    assert not list(tmp_path.iterdir())
    with Client(server.url) as client:
        assert not list(client.sessions())
    if partly:
        pytest.skip(f"{NEEDS}libcurl: libcurl4-openssl-dev, for half of the example")


@pytest.mark.parametrize("language", ["python", "shell"])
def test_a_refusal_ends_the_example_and_is_shown(language: str, tmp_path: Path) -> None:
    """A key that the service does not know."""
    with serving(tmp_path, API_KEYS="t:the-right-key-of-this-test") as closed:
        environment = {"CCDM_API_KEY": "another"}
        script = EXAMPLES / language / "run.sh"
        refused = run(script, closed.url, tmp_path, **environment)
    assert refused.returncode not in (0, NOT_RUN)
    assert "score" not in refused.stdout
    assert "/problems/unauthorized" in refused.stderr


def test_the_run_of_all_says_what_was_not_run(server: Server, tmp_path: Path) -> None:
    """With tools hidden, by a PATH that has few."""
    tools = tmp_path / "bin"
    tools.mkdir()
    needed = "sh cat dirname mktemp rm sed grep sleep head"
    for name in needed.split():
        found = subprocess.run(
            ["sh", "-c", f"command -v {name}"], capture_output=True, text=True
        ).stdout.strip()
        (tools / name).symlink_to(found)
    done = run(
        EXAMPLES / "run_all.sh", server.url, tmp_path, "c", "julia", PATH=str(tools)
    )
    assert done.returncode == 0
    assert "reached their score: none" in done.stdout
    assert re.search(
        r"not run:\n +c: gcc is missing \(Debian.*\n +julia: ", done.stdout
    )


def test_the_page_names_every_language() -> None:
    page = (ROOT / "docs" / "howto" / "other-languages.md").read_text()
    named = set(re.findall(r"`examples/(\w+)/", page))
    assert named == {*LANGUAGES, "shell"}
    for name in re.findall(r"`(examples/[\w./]+)`", page):
        assert (ROOT / name).exists(), name


def test_julia_is_julia() -> None:
    """Julia is seldom on a test machine: at least its syntax holds."""
    grammar = pytest.importorskip(
        "tree_sitter_julia", reason=f"{NEEDS}the grammar of Julia: pip install '.[dev]'"
    )
    from tree_sitter import Language, Parser

    parser = Parser(Language(grammar.language()))
    for file in sorted((EXAMPLES / "julia").glob("*.jl")):
        source = file.read_bytes()
        assert not parser.parse(source).root_node.has_error, file
        assert parser.parse(source.replace(b")", b"")).root_node.has_error


def test_examples_in_python_need_nothing_of_this_project() -> None:
    """The copy works elsewhere: it imports NumPy and the standard library alone."""
    source = (EXAMPLES / "python" / "ccdm_http.py").read_text()
    found = set(re.findall(r"(?m)^(?:import|from) (\w+)", source))
    assert found - {"numpy"} <= sys.stdlib_module_names
