"""The twenty commonest mistakes: what came, what was wanted, and what to do.

The table of ``docs/howto/common-mistakes.md`` is what a real service answers to each.
To write it anew: ``WRITE_PAGE=1 python -m pytest`` with this file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.client.errors import service_error
from service.problem_types import TYPES
from tests.support.mistakes import MISTAKES
from tests.support.servers import ROOT, Server, serving

FILE = ROOT / "docs" / "howto" / "common-mistakes.md"
HEADING = (
    "| The mistake | Status | The service says | What to do |\n|---|---|---|---|\n"
)
Answers = dict[str, httpx.Response]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What a real service says to each."""
    server: Server
    with (
        serving(tmp_path_factory.mktemp("mistakes")) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield {name: mistake.call(client) for name, mistake in MISTAKES.items()}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_answer_helps(answers: Answers, name: str) -> None:
    mistake, answer = MISTAKES[name], answers[name]
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert answer.status_code == problem["status"] == mistake.status
    assert problem["type"] == f"/problems/{mistake.slug}"
    assert mistake.says in problem["detail"]
    assert mistake.remedy in problem["remedy"]
    if mistake.pointer:
        places = {error["pointer"]: error for error in problem["errors"]}
        assert mistake.remedy in places[mistake.pointer]["remedy"]


def test_each_has_advice_of_its_own() -> None:
    told = [mistake.remedy for mistake in MISTAKES.values()]
    assert len(told) == len(set(told)) >= 20
    # What is said of every invalid input alike is no advice.
    general = " ".join(
        TYPES[slug].remedy
        for slug in ("invalid-input", "invalid-options", "invalid-parameters")
    )
    assert not [remedy for remedy in told if remedy in general]


@pytest.mark.parametrize("name", MISTAKES)
def test_the_python_client_s_exception_says_all_of_it(
    answers: Answers, name: str
) -> None:
    mistake, problem = MISTAKES[name], answers[name].json()
    error = service_error(problem["status"], problem, None)
    text = str(error)
    assert mistake.says in text
    assert text.count(mistake.remedy) == 1
    assert mistake.remedy in error.remedy
    assert problem["detail"] in text and problem["request_id"] in text
    assert mistake.pointer is None or error.errors[0]["remedy"]


def row(name: str, problem: dict[str, Any]) -> str:
    """A mistake as the page has it: the answer, told once."""
    detail, remedy = problem["detail"], problem["remedy"]
    says = detail.replace(remedy, "").strip().removesuffix(".")
    cells = (name, str(problem["status"]), says, remedy)
    return "| " + " | ".join(re.sub(r"\|", "\\|", cell) for cell in cells) + " |\n"


def test_the_page_shows_the_answers(answers: Answers) -> None:
    rows = [row(name, answer.json()) for name, answer in answers.items()]
    table = HEADING + "".join(rows)
    page = FILE.read_text()
    if os.environ.get("WRITE_PAGE"):
        start = page.index("| The mistake |")
        end = page.index("\n\n", start) + 1
        FILE.write_text(page[:start] + table + page[end:])
        page = FILE.read_text()
    assert table in page, "answers have changed: see the top of this file"
