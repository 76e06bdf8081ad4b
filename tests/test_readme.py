"""The README keeps its word: its code runs, its commands and names exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ccdm_engine import AnalysisOptions
from service.cli.app import app
from service.compute.estimates import estimated_bytes
from service.media.npy import decode_npy
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CHOICES = README + (ROOT / "docs" / "howto" / "choose-options.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The fenced code of a language, in order."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", README)


def test_the_most_measurements_are_those_that_the_service_lets_in() -> None:
    told = re.search(
        r"refused with 413 .*?: ([\d.]+) GiB for those ten thousand measurements, so "
        r"that about (\d+) are the most \(with (\d+) members of (\d+) variables\)",
        " ".join(README.split()),
    )
    assert told
    states = np.empty((int(told[3]), int(told[4])))

    def needed(dy: int) -> int:
        return estimated_bytes(states, np.empty((len(states), dy)), {})

    assert f"{needed(10_000) / 2**30:.1f}" == told[1]
    most = int(told[2])
    assert needed(most) <= Settings().max_memory_bytes < needed(most + 100)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real service, as ``make serve`` starts it, on a free port."""
    store = tmp_path_factory.mktemp("readme") / "sessions.sqlite3"
    start = "from service.cli import main; main()"
    command = [sys.executable, "-c", start, "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--store", f"sqlite:///{store}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the service did not say where it listens"
            _wait_until_alive(found.group())
            yield found.group()
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _wait_until_alive(url: str) -> None:
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, timeout=20) as client:
        assert client.get(f"{url}/livez").status_code == 200


def test_the_curl_example_works_when_pasted(url: str) -> None:
    """As curl would send it, so that the test needs no curl."""
    (block,) = blocks("sh")
    words = shlex.split(block.replace("\\\n", ""))
    assert words[:2] == ["curl", "-s"] and words[3] == "-H" and words[5] == "-d"
    name, value = words[4].split(": ")
    response = httpx.post(
        words[2].replace(ADDRESS, url), headers={name: value}, content=words[6]
    )
    answer = response.raise_for_status().json()
    samples = np.array(answer["analysis_samples"])
    assert samples.shape == (5, 2)
    assert answer["diagnostics"]["seed"] == 1


def test_the_python_examples_run_in_order(url: str) -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block.replace(ADDRESS, url), "README.md", "exec"), names)
    assert names["session"].current_cycle == 3
    assert names["ensemble"].shape == (100, 2)
    assert names["facts"]["status"] == "unchanged"  # the third reading was missing
    assert names["analysis"].samples.shape == (50, 2)


def test_the_session_example_has_ten_lines() -> None:
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 11


def test_column_major_arrays_need_no_transposition() -> None:
    """The memory of a dx x N array behind a header that says (N, dx), as is."""
    by_columns = np.asfortranarray([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n"
    length = len(header).to_bytes(2, "little")
    memory = by_columns.tobytes(order="A")
    npy = b"\x93NUMPY\x01\x00" + length + header.encode() + memory
    assert np.array_equal(decode_npy(npy, ""), by_columns.T)


@pytest.mark.parametrize(
    "text",
    sorted(set(re.findall(r'`("[a-z_]+": (?:"[a-z]+"|[\d.]+)(?:, ".*?)?)`', CHOICES))),
)
def test_the_options_of_the_tables_are_accepted(text: str) -> None:
    options = AnalysisOptions.from_dict(json.loads("{" + text + "}"))
    assert options != AnalysisOptions()


def test_the_settings_it_names_exist() -> None:
    text = README + (ROOT / "docker-compose.yml").read_text()
    known = {f"CCDM_{name.upper()}" for name in Settings.model_fields}
    # Settings of the composition itself, not of the service.
    compose = {"CCDM_PUBLISH", "CCDM_REDIS_FSYNC", "CCDM_REDIS_MAXMEMORY"}
    named = set(re.findall(r"CCDM_[A-Z_]*[A-Z]", text))
    assert named - compose <= known


def test_the_make_targets_and_files_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(
        re.findall(r"make ([a-z]+)\b(?=[`\s]*(?:#|`|starts|uses))", README)
    ):
        assert re.search(rf"(?m)^{target}:", makefile), target
    for name in re.findall(r"`([\w./]+\.(?:py|lock|conf|example|yml|sh))`", README):
        assert (ROOT / name).exists(), name


def test_the_commands_it_names_exist() -> None:
    named = set(re.findall(r"ccdm ([a-z]+)\b", README)) - {"import"}
    known = {
        command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }
    known |= {group.name for group in app.registered_groups if group.name}
    assert {"assimilate", "check", "experiment"} <= named <= known


def test_the_numbers_it_promises_are_the_defaults() -> None:
    fields = Settings.model_fields
    assert "64 MiB" in README and fields["max_body_bytes"].default == 64 * 2**20
    assert "300 s" in README and fields["deadline_seconds"].default == 300
    assert "used for a day" in README
    assert fields["session_ttl_seconds"].default == 86_400
    assert "last 10 cycles" in README and fields["keep_analyses"].default == 10
