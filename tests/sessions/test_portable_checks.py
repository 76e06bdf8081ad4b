"""What a session file says is held against what the service would have let in."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.portable import PortableError, import_session, opened, write_session
from service.sessions import SessionNotFound, Sessions, SessionSpec
from service.settings import Settings
from service.stores import Store
from tests.support.analyses import SmallAnalysis, forecast
from tests.support.stores import Clock

Entries = dict[str, bytes]


@pytest.fixture
async def entries(store: Store, clock: Clock, tmp_path: Path) -> Entries:
    """What is in the file of a session with an ensemble and two cycles."""
    sessions = Sessions(store, SmallAnalysis(), clock, keep_inputs=1)
    spec = SessionSpec(
        state_dim=3,
        measurement_dim=2,
        seed=2**63 - 1,
        initial_ensemble=forecast(0)[0],
        coupling={"members": 6},
    )
    made = await sessions.create("t", spec)
    for k in (1, 2):
        await sessions.put_cycle("t", made.id, k, *forecast(k))
    with (tmp_path / "whole.zip").open("w+b") as file:
        await write_session(store, "t", made.id, file)
    with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def refusal(
    store: Store, clock: Clock, entries: Entries, tmp_path: Path
) -> Callable[..., Any]:
    """Imports the file with other entries, and says why that was refused."""

    async def attempt(other: Entries, settings: Settings | None = None) -> str:
        found = entries | other
        contents = json.loads(found["manifest.json"])
        contents["entries"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in found.items()
            if name != "manifest.json"
        }
        found["manifest.json"] = json.dumps(contents).encode()
        path = tmp_path / "changed.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in found.items():
                archive.writestr(name, data)
        with pytest.raises(PortableError) as error, opened(path) as file:
            await import_session(store, "u", file, clock.now, settings)
        with pytest.raises(SessionNotFound):
            await store.load("u", contents["session"]["id"])
        return str(error.value)

    return attempt


def nested(levels: int) -> Any:
    """Objects within each other."""
    return json.loads('{"a":' * levels + "1" + "}" * levels)


def array(content: Any) -> bytes:
    """An array as its file."""
    file = io.BytesIO()
    np.save(file, np.asarray(content, dtype="<f8"))
    return file.getvalue()


async def test_a_session_is_what_creation_would_have_made(
    refusal: Callable[..., Any], entries: Entries
) -> None:
    document = json.loads(entries["session.json"])
    for name, value, words in (
        ("seed", 2**80, "seed: got 1208925819614629174706176, wanted less"),
        ("seed", -1, "seed: got -1"),
        ("state_dim", 10**30, "state_dim: got 10000"),
        ("state_dim", 0, "state_dim: got 0"),
        ("measurement_dim", 10**30, "measurement_dim: got 10000"),
        ("measurement_dim", -1, "measurement_dim: got -1"),
        ("keep_analyses", 0, "keep_analyses: got 0"),
        ("oldest_kept", 99, "oldest_kept: got 99, wanted a whole number from 0 to 2"),
        ("inputs_from", 77, "inputs_from: got 77, wanted a whole number from 0 to 2"),
        ("initial_members", "5", "initial_members: got '5'"),
        ("members", 7, "members: got 7, wanted 6"),
        ("metadata", [1], "metadata: got an array of 1, wanted an object"),
        ("metadata", nested(900), "metadata: nested deeper than 32"),
        ("metadata", {"n": 2**80}, "cannot be written as JSON"),
        ("metadata", {"n": float("nan")}, "is no JSON"),
        ("names", 5, "names: got 5, wanted an object"),
        ("names", {"states": ["a"]}, "/names/states: got 1 entries, wanted 3"),
        ("coordinates", "x", 'coordinates: got "x", wanted an object'),
        ("options", {"sampler": "bogus"}, 'options/sampler: got "bogus"'),
        ("options", {"localization": 5}, "options/localization: got 5"),
        ("options", {"measurement_error": [1.0] * 5}, "got 5, wanted 2"),
        ("coupling", {"members": "x"}, 'coupling/members: got "x"'),
        ("coupling", {"members": 2, "minimum_members": 3}, "minimum_members=3"),
        ("ttl_seconds", 0, "ttl_seconds: got 0"),
        ("created_at", -5, "created_at: got -5"),
    ):
        made = json.dumps({**document, name: value}).encode()
        assert words in await refusal({"session.json": made})


async def test_limits_of_the_service_hold_for_imports(
    refusal: Callable[..., Any],
) -> None:
    for name, limit in (("max_state_dim", 2), ("max_measurement_dim", 1)):
        told = await refusal({}, Settings(**{name: limit}))
        assert f"at most {limit} here. Set CCDM_{name.upper()}" in told
    assert "6 members; at most 5 here" in await refusal({}, Settings(max_members=5))


async def test_cycles_are_what_the_service_can_show(
    refusal: Callable[..., Any], entries: Entries
) -> None:
    lines = [json.loads(line) for line in entries["records.jsonl"].splitlines()]
    for name, value, words in (
        ("seed", 2**80, "cycle/2: seed: got 12089258"),
        ("n_samples", 0, "cycle/2: n_samples: got 0"),
        ("n_samples", 999, "members: got 6, wanted 999"),
        ("options", {"steps": "x"}, 'cycle/2: options/steps: got "x"'),
        ("diagnostics", {"warnings": 5}, "warnings: got 5, wanted a list"),
        ("diagnostics", {"forecast_inflation": "x"}, "forecast_inflation: got 'x'"),
        ("diagnostics", {"manifest": [1]}, "manifest: got a list of 1"),
        ("diagnostics", nested(900), "cycle/2: cannot be written as JSON"),
        ("timings", {"queue": float("inf")}, "is no JSON"),
        ("digest", 5, "digest"),
    ):
        text = b""
        for line in lines:
            found = line["document"]
            if line["name"] == "cycle/2":
                found = {**found, name: value}
            text += json.dumps({**line, "document": found}).encode() + b"\n"
        assert words in await refusal({"records.jsonl": text})


async def test_arrays_are_those_of_their_cycles(refusal: Callable[..., Any]) -> None:
    for name, content, words in (
        ("analysis/2", np.full((6, 3), np.nan), "got NaN or infinity"),
        ("analysis/2", np.zeros((1, 3)), "got shape (1, 3), wanted (6, 3)"),
        ("analysis/0", np.zeros((5, 3)), "got shape (5, 3), wanted (6, 3)"),
        ("analysis/7", np.zeros((6, 3)), "cycle: got 7, wanted a whole number"),
        ("forecast_states/2", np.zeros((6, 4)), "wanted (N, 3)"),
        ("simulated_measurements/2", np.zeros(6), "wanted (N, 2)"),
        ("observation/2", np.zeros((3, 3)), "got shape (3, 3), wanted (2,)"),
    ):
        assert words in await refusal({f"{name}.npy": array(content)})
