"""The commonest mistakes on the dashboard: what came, wanted, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser import FAILED
from tests.dashboard.conftest import Watch
from tests.support.mistakes import BODY, CHANGED_FILES, MISTAKES, SIMULATED, STATES
from tests.support.servers import Server

pytestmark = pytest.mark.slow

LABELS = {
    "forecast_states": "Forecast states",
    "simulated_measurements": "Simulated measurements",
    "observation": "Observation",
}
SHOWN = """async ([module, problems]) => {
  const { problemBox } = await import(new URL("problem.js", module));
  const { Problem } = await import(new URL("api.js", module));
  return problems.map((body) => problemBox(new Problem(body.status, body)).textContent);
}"""
# Chosen on the page, sent, and refused.
SENT = CHANGED_FILES
# The same seen by the page, which sends nothing then.
SEEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "members as columns": (
        {"forecast_states": np.transpose(STATES)},
        "There are 2 states and 5 simulated measurements",
        "Members are columns here: send one member a row, the transpose.",
    ),
    "too few simulated measurements": (
        {"simulated_measurements": SIMULATED[:3]},
        "There are 5 states and 3 simulated measurements",
        "Send one simulated measurement for every member",
    ),
    "an observation too long": (
        {"observation": [1.5, 2.0]},
        "The observation has 2 numbers, the simulated measurements have 1",
        "Send one number for each column; NaN for what was not observed.",
    ),
    "rows of unequal length": (
        {"forecast_states": b"1,2\n3\n"},
        "Line 2 has 1 values, the first one 2.",
        "Give every line the same columns",
    ),
    "a number as text": (
        {"observation": b"1.5\nfive\n"},
        "Line 2: “five” is not a number.",
        "Write numbers such as 1.5 or 2e-3",
    ),
    "a part that is no npy": (
        {"observation": b"PK\x03\x04 and so on"},
        "This is a zip archive, as numpy.savez writes it",
        "save each array alone",
    ),
    "an array left out": (
        {"observation": None},
        "Still to be chosen",
        "Still to be chosen: Observation.",
    ),
}
NOT_HERE = {
    "measurements as a flat list": "a list of numbers is read as a column",
    "a number for the observation": "one number is read as a list of one",
    "NaN in JSON": "the page sends npy",
    "an array misspelt": "the page names the arrays",
    "no Content-Type for JSON": "the browser sets it",
    "options as a part of their own": "the page writes the form",
    "states of another session": "one analysis has no session",
    "a cycle too far": "one analysis has no session",
    "a session that is not there": "one analysis has no session",
    "POST for a cycle": "the page chooses the method",
    "an address without /v1": "the page knows the addresses",
}


def choose(page: Page, folder: Path, changes: dict[str, Any]) -> None:
    """Choose files and options anew, of which some are wrong."""
    page.reload()
    given = BODY | changes
    for name, label in LABELS.items():
        if given[name] is None:
            continue
        file = folder / f"{name}.npy"
        if isinstance(given[name], bytes):
            file = file.with_suffix(".csv")
            file.write_bytes(given[name])
        else:
            np.save(file, np.asarray(given[name], dtype=float))
        page.get_by_label(label, exact=True).set_input_files(file)
    page.get_by_text("More options").click()
    page.get_by_label("As JSON").fill(json.dumps(given.get("options", {})))


def test_all_are_thought_of() -> None:
    assert {*SENT, *SEEN, *NOT_HERE} == set(MISTAKES)


def test_every_answer_is_shown_whole(watch: Watch, server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as http:
        problems = {name: one.call(http).json() for name, one in MISTAKES.items()}
    with watch() as found:
        page = found.open("#/try")
        module = f"{found.origin}/dashboard/static/problem.js"
        texts = page.evaluate(SHOWN, [module, list(problems.values())])
    for (name, problem), text in zip(problems.items(), texts, strict=True):
        mistake = MISTAKES[name]
        assert mistake.says in text, name
        assert text.count(mistake.remedy) == 1, (name, text)
        assert problem["request_id"] in text


def test_what_is_wrong_with_files_is_told(watch: Watch, tmp_path: Path) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        page = found.open("#/try")
        run = page.get_by_role("button", name="Run analysis")
        for says, remedy, name in (
            *((MISTAKES[name].says, MISTAKES[name].remedy, name) for name in SENT),
            *((says, remedy, name) for name, (_, says, remedy) in SEEN.items()),
        ):
            choose(page, tmp_path, SENT[name] if name in SENT else SEEN[name][0])
            if name in SENT:
                run.click()
                expect(page.get_by_role("alert")).to_contain_text(says)
                expect(page.get_by_role("alert")).to_contain_text(remedy)
            else:
                expect(page.locator("form.try")).to_contain_text(says)
                expect(page.locator("form.try")).to_contain_text(remedy)
                expect(run).to_be_disabled()
