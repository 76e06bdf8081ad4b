"""The documentation keeps its word: its code runs, its links lead somewhere.

One page is one story. Its blocks run in the order of the page as they stand, in a
folder that has what pages reach for of the project's, against one running service:
those in ``sh`` as one script, those in ``python`` as one program. Nothing is set for
them but what ``docs/README.md`` tells the reader to do. What is not to be run says so,
with its reason, in a comment before it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers import Server, serving

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ADDRESS = "http://127.0.0.1:8000"
SECONDS = 150

RUN = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable]}
# Excerpts of files that other tests run, and what no machine runs.
SHOWN = {
    *("text", "json", "console", "c", "cpp", "fortran", "julia", "r", "matlab"),
    *("javascript", "yaml", "nginx", "ini", "promql"),
}
_FENCE = re.compile(
    r"(?ms)^(?P<before>[^\n]*)\n+```(?P<language>\S*)\n(?P<code>.*?)^```$"
)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
_LINK = re.compile(r"\]\((?!https?:|#|/|mailto:)([^)#\s]+)")


@dataclass(frozen=True)
class Block:
    """One block of code, and the line of its page on which it begins."""

    language: str
    code: str
    line: int
    excused: bool


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    found = []
    for match in _FENCE.finditer("\n" + text):
        line = text.count("\n", 0, match.start("code") - 1) + 1
        excused = _NOT_RUN.fullmatch(match["before"].strip()) is not None
        found.append(Block(match["language"], match["code"], line, excused))
    return found


def joined(found: list[Block], language: str) -> str:
    """The blocks of a language as one source; errors name the lines of the page."""
    lines: list[str] = []
    for block in found:
        if block.language == language and not block.excused:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service that all pages talk to."""
    with serving(tmp_path_factory.mktemp("docs")) as running:
        yield running


def name_of(page: Path) -> str:
    """A page as its tests are called."""
    return str(page.relative_to(DOCS).with_suffix(""))


def run(
    command: list[str], folder: Path, environment: dict[str, str]
) -> tuple[int, str, str]:
    """Run a page's script; nothing that it has started outlives it."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, errors


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_of_a_page_runs(page: Path, service: Server, tmp_path: Path) -> None:
    found = blocks(page.read_text("utf-8"))
    # Of the project's folder, where readers are, pages use nothing else.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **{name: v for name, v in os.environ.items() if not name.startswith("CCDM_")},
        "PATH": path,  # as of ``. .venv/bin/activate``
        "PYTHONPATH": str(ROOT),  # as of the editable installation
        "MPLBACKEND": "Agg",
    }
    for pattern in ("Makefile", "examples", "scripts", "pyproject.toml", "*.lock"):
        for path_there in ROOT.glob(pattern):
            (tmp_path / path_there.name).symlink_to(path_there)
    for language, command in RUN.items():
        source = joined(found, language).replace(ADDRESS, service.url)
        if not source.strip():
            continue
        script = tmp_path / f"{page.stem}.{language}"
        script.write_text(source, "utf-8")
        code, out, errors = run([*command, str(script)], tmp_path, environment)
        assert code == 0, (
            f"{page.relative_to(ROOT)} ({language}; lines are those of the page):\n"
            f"{out[-2000:]}\n{errors[-4000:]}"
        )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    text = page.read_text("utf-8")
    found = blocks(text)
    assert 2 * len(found) == len(re.findall(r"(?m)^\s*```", text)), (
        "a block is not seen"
    )
    unknown = [
        (block.line, block.language)
        for block in found
        if block.language not in {*RUN, *SHOWN}
    ]
    assert not unknown, f"{page.name}: neither run nor shown on purpose: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_to_do_before_pasting_stands_before_the_first_block(page: Path) -> None:
    text = page.read_text("utf-8")
    found = [block for block in blocks(text) if block.language in RUN]
    if not any("ccdm" in block.code.lower() for block in found):
        return  # it asks for neither the service nor the project's programs
    told = text.find("README.md#before-you-paste)")
    assert told >= 0, "nobody is told to start the service and to activate .venv"
    assert text.count("\n", 0, told) < found[0].line


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_one_python_and_no_variables_that_nobody_sets(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.language in RUN:
            found = re.findall(r"python3|CCDM_URL|\$\{?ROOT|\"ROOT\"", block.code)
            assert not found, f"line {block.line} of {page.name}: {found}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = _LINK.findall(page.read_text("utf-8"))
    missing = [name for name in targets if not (page.parent / name).exists()]
    assert not missing, f"{page.name} links to {missing}"


def test_the_index_lists_every_page() -> None:
    listed = set(_LINK.findall((DOCS / "README.md").read_text()))
    pages = {str(page.relative_to(DOCS)) for page in PAGES} - {"README.md"}
    assert not pages - listed


def test_a_page_that_fails_is_seen() -> None:
    text = (
        "One\n\n```python\nx = 1\n```\n\n"
        "<!-- not run: it needs a cluster -->\n```python\nraise SystemExit(1)\n```\n"
        "\n```python\nassert x == 2\n```\n"
    )
    found = blocks(text)
    assert [block.excused for block in found] == [False, True, False]
    source = joined(found, "python")
    assert "SystemExit" not in source
    with pytest.raises(AssertionError) as error:
        exec(compile(source, "page.md", "exec"), {})
    assert error.tb.tb_next is not None
    assert text.splitlines()[error.tb.tb_next.tb_lineno - 1] == "assert x == 2"


def test_the_page_on_notation_has_every_symbol_of_the_theory() -> None:
    text = (DOCS / "theory.md").read_text().partition("## References")[0]
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    # Letters that stand alone, with indices; words of one letter are no symbols.
    found = set(re.findall(r"(?<![\w’'/-])([^\W\d_ΣA∇π])(?:_\w+)?(?![\w’'])", prose))
    found -= {"a", "t", "F"} | set("²¹½")  # an article, two named distributions
    notation = (DOCS / "notation.md").read_text()
    first = {
        symbol
        for line in notation.splitlines()
        if line.startswith("| ")
        for symbol in re.findall(r"[^\W\d_]+", line.split("|")[1].split("(")[0])
    }
    rest = notation.partition("## Used in one place")[2].partition("\n## ")[0]
    once = set(re.findall(r"(?<![\w’'])([^\W\d_])(?:_\w+)?(?![\w’'])", rest))
    assert not found - first - once
    assert {"m", "e", "R", "H", "V", "S", "l", "f", "d", "D"} <= first
