"""Every analysis says what it was made of and by, and nothing more."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy

from ccdm_engine import AnalysisOptions, __version__, assimilate
from service import manifest
from service.manifest import described, manifest_of
from tests.support.analyses import forecast
from tests.support.servers import in_process

OPTIONS = {"steps": 9, "measurement_error": [0.5, 0.25]}


def _digest(array: Any) -> str:
    plain = np.ascontiguousarray(array, dtype="<f8")
    return hashlib.sha256(plain.tobytes()).hexdigest()


async def test_a_one_shot_analysis_carries_its_manifest(tmp_path: Path) -> None:
    states, simulated, observation = forecast(3, members=20)
    body = {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": observation.tolist(),
        "options": OPTIONS,
        "seed": 7,
    }
    async with in_process(tmp_path) as client:
        answer = (await client.post("/v1/analyses", json=body)).json()
    told = answer["diagnostics"]["manifest"]
    arrays = zip(manifest.INPUTS, (states, simulated, observation), strict=True)
    assert told["inputs"] == {
        name: {"shape": list(array.shape), "sha256": _digest(array)}
        for name, array in arrays
    }
    assert told["samples"]["sha256"] == _digest(answer["analysis_samples"])
    assert told["options"] == AnalysisOptions.from_dict(OPTIONS).to_dict()
    assert told["seed"] == 7
    assert told["versions"] == {
        "ccdm": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    assert told["platform"]["machine"] == platform.machine()
    assert told["platform"]["blas"], "the libraries that multiply are named"
    assert len(json.dumps(told)) < 2500


async def test_a_seed_that_was_drawn_is_in_the_manifest(tmp_path: Path) -> None:
    states, simulated, observation = forecast(3, members=20)
    body = {
        "forecast_states": states.tolist(),
        "simulated_measurements": simulated.tolist(),
        "observation": [None, float(observation[1])],
    }
    async with in_process(tmp_path) as client:
        answer = (await client.post("/v1/analyses", json=body)).json()
    told = answer["diagnostics"]["manifest"]
    observation[0] = np.nan
    again = assimilate(states, simulated, observation, seed=told["seed"])
    assert _digest(again.samples) == told["samples"]["sha256"]


def test_long_options_are_told_by_their_digest() -> None:
    arrays = forecast(1)
    places = np.arange(200.0).reshape(100, 2).tolist()
    moved = [*places[:-1], [0.0, 0.0]]
    told = [
        manifest_of(
            arrays, {"localization": {"state_coordinates": where}}, 1, arrays[0]
        )
        for where in (places, moved)
    ]
    first, second = (
        item["options"]["localization"]["state_coordinates"] for item in told
    )
    assert first["numbers"] == 200
    assert first["sha256"] != second["sha256"]


@pytest.mark.parametrize(
    "same", [np.asfortranarray, lambda x: x.astype(">f8"), lambda x: x[::1].copy()]
)
def test_digests_are_of_values_and_not_of_layout(same: Any) -> None:
    array = forecast(1)[0]
    assert described(same(array)) == described(array)
    assert described(array[::-1]) != described(array)


def test_the_engines_fingerprint_changes_with_its_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "one.py").write_text("a = 1\n")
    (tmp_path / "inner" / "two.py").write_text("b = 2\n")
    (tmp_path / "note.txt").write_text("not code\n")
    monkeypatch.setattr(manifest, "files", lambda package: tmp_path)
    fingerprint = manifest.engine_fingerprint.__wrapped__
    before = fingerprint()
    (tmp_path / "note.txt").write_text("changed\n")
    assert fingerprint() == before
    (tmp_path / "inner" / "two.py").write_text("b = 3\n")
    changed = fingerprint()
    (tmp_path / "inner" / "two.py").rename(tmp_path / "inner" / "three.py")
    assert len({before, changed, fingerprint()}) == 3
