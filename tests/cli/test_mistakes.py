"""The commonest mistakes on the command line: what came, wanted, and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.cli.app import run
from tests.support.mistakes import BODY, CHANGED_FILES, MISTAKES, SIMULATED, STATES
from tests.support.servers import Server, serving

FILES = ("forecast_states", "simulated_measurements", "observation")
# What the files and words of the command line are, where they are not all right.
CHANGED: dict[str, dict[str, Any]] = {
    "members as columns": {"forecast_states": np.transpose(STATES)},
    "too few simulated measurements": {"simulated_measurements": SIMULATED[:3]},
    "measurements as a flat list": {"simulated_measurements": np.ravel(SIMULATED)},
    "an observation too long": {"observation": [1.5, 2.0]},
    "a number for the observation": {"observation": 1.5},
    **CHANGED_FILES,
}
# Where the engine is asked directly, it has words of its own.
HERE = {
    "a number for the observation": ("got shape ()", "Send a list, even of one"),
    "an option misspelt": ("got an unknown option", "Perhaps inflation was meant"),
    "an option of another value": ("got 'odee', wanted one of", "leave sampler out"),
}
# npy files have shapes, so that a number alone is an array all the same.
THERE = {"a number for the observation": HERE["a number for the observation"]}
TABLE = "1,2\n3\n4,5\n6,7\n8,9\n"
# Files as text, of these names; and what is said before anything is computed.
UNREAD: dict[str, tuple[dict[str, str], str, str]] = {
    "rows of unequal length": (
        {"forecast_states.csv": TABLE},
        "line 2: 1 cells, but line 1 has 2",
        "give every line the same columns",
    ),
    "a number as text": (
        {"observation.csv": "1.5\n'2'\n"},
        "line 2, column 1: \"'2'\" is no number",
        "write numbers such as 1.5 or 2e-3",
    ),
    "a part that is no npy": (
        {"observation.npy": "1.5\n"},
        "cannot be read as .npy: it is plain text, such as CSV",
        "name it .csv, or write it with numpy.save (.npy)",
    ),
}
# Of the command's own: how many files there are, and names in one file of all three.
OWN = ("an array left out", "an array misspelt")
NOT_HERE = {
    "NaN in JSON": "files are not JSON",
    "no Content-Type for JSON": "the client sets it",
    "options as a part of their own": "the client writes the form",
    "states of another session": "one analysis has no session",
    "a cycle too far": "one analysis has no session",
    "a session that is not there": "one analysis has no session",
    "POST for a cycle": "the client chooses the method",
    "an address without /v1": "the client knows the addresses",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service to do the work."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    """Run ``ccdm assimilate`` in this process, and what it says when it refuses."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> str:
        command = ["ccdm", "assimilate", *words, "-o", "analysis.npy"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            run()
        output, errors = capfd.readouterr()
        assert ended.value.code == 2 and not output, errors
        assert not (tmp_path / "analysis.npy").exists()
        return errors

    return ask


def written(folder: Path, changes: dict[str, Any]) -> list[str]:
    """Files with a mistake in them, and the words that name them."""
    given = BODY | changes
    for name in FILES:
        np.save(folder / f"{name}.npy", np.asarray(given[name], dtype=float))
    options = given.get("options", {})
    chosen = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    return [
        *(f"{name}.npy" for name in FILES),
        *(word for item in chosen for word in ("--option", item)),
    ]


def test_all_are_thought_of() -> None:
    assert {*CHANGED, *UNREAD, *OWN, *NOT_HERE} == set(MISTAKES)


@pytest.mark.parametrize("name", CHANGED)
def test_it_is_told_in_this_process(name: str, told: Any, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    says, remedy = HERE.get(name, (mistake.says, mistake.remedy))
    said = told(*written(tmp_path, CHANGED[name]))
    assert says in said and said.count(remedy) == 1, said


@pytest.mark.parametrize("name", CHANGED)
def test_it_is_told_by_a_service(
    name: str, told: Any, tmp_path: Path, server: Server
) -> None:
    mistake = MISTAKES[name]
    says, remedy = THERE.get(name, (mistake.says, mistake.remedy))
    said = told(*written(tmp_path, CHANGED[name]), "--url", server.url)
    assert says in said and said.count(remedy) == 1, said


@pytest.mark.parametrize("name", UNREAD)
def test_files_are_told_by_their_names(name: str, told: Any, tmp_path: Path) -> None:
    texts, says, remedy = UNREAD[name]
    words = written(tmp_path, {})
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
        words[FILES.index(file.partition(".")[0])] = file
    said = told(*words)
    assert next(iter(texts)) in said
    assert says in said and remedy in said, said


def test_arrays_that_are_not_there_are_told(told: Any, tmp_path: Path) -> None:
    two = written(tmp_path, {})[:2]
    said = told(*two)
    assert "got 2 file(s), wanted three (forecast states, simulated" in said
    np.savez(
        tmp_path / "all.npz",
        forecast_states=STATES,
        simulated_measurements=SIMULATED,
        observations=[1.5],
    )
    said = told("all.npz")
    assert "there is no observation in it; it holds forecast_states" in said
    assert "perhaps observations is meant: call it observation" in said
