"""``ccdm demo``: a few cycles, a kill, a picture; and failure where it has to fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from service.cli.demo import processes, run, simulator
from service.cli.demo.journey import Journey, Plan
from service.cli.output import CommandError
from tests.cli.conftest import PATIENCE, Ccdm, surroundings

SMALL = ("--cycles", "4", "--members", "8", "--seed", "3")


@pytest.mark.slow
def test_a_short_demo_twice_into_the_same_folder(ccdm: Ccdm, tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "here" / "lorenz63.png").unlink(missing_ok=True)
        done = ccdm("demo", *SMALL, "--out", "here")
        assert "service killed (kill -9" in done.stdout
        assert "Nothing was lost." in done.stdout
        for name in ("CCDM", "EnKF", "Free run", "Reference"):
            assert f"\n{name} " in done.stdout
        assert "cycle 4 of 4" in done.stdout
        assert "\x1b" not in done.stdout, "no terminal, so no control sequences"
    scores = json.loads((tmp_path / "here" / "scores.json").read_text())
    journey = scores["journey"]
    assert journey["failures"] == []
    assert journey["cycle"] == 4
    assert 2 <= journey["killed_after"] <= journey["found_after"]
    assert journey["retries"] >= 1
    assert set(scores["scores"]) == {"CCDM", "EnKF", "Free run", "Reference"}
    for name, row in scores["scores"].items():
        assert 0 < row["crps"] < 30
        assert (row["distance"] == 0) == (name == "Reference")
        assert (row["milliseconds"] is None) == (name == "Free run")
    pixels = matplotlib.image.imread(tmp_path / "here" / "lorenz63.png")
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05


@pytest.mark.slow
def test_a_restart_that_lost_cycles_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = processes.Service.start

    def forgetful(service: processes.Service) -> float:
        for file in Path(service.store.removeprefix("sqlite:///")).parent.glob("sess*"):
            file.unlink()
        return start(service)

    monkeypatch.setattr(processes.Service, "start", forgetful)
    with pytest.raises(CommandError, match="session-not-found"):
        run.run_demo(Plan(cycles=4, members=8, seed=3, out=tmp_path / "out"))


def test_whatever_was_promised_and_not_kept_is_a_failure(
    tmp_path: Path,
) -> None:
    store, log = f"sqlite:///{tmp_path}/s.sqlite", tmp_path / "log"
    plan = Plan(cycles=2, members=5, seed=1, out=tmp_path)
    with processes.Service(store, log) as service:
        journey = Journey()
        seen = simulator.run(service.url, 2, 5, 1, 20.0, journey_session(journey))
        journey.cycle = journey.killed_after = journey.found_after = 2
        run.inspect(plan, service, journey, seen)
        assert journey.failures == []
        journey.found_after = 1
        seen["analyses"][1, 0, 0] = np.nextafter(seen["analyses"][1, 0, 0], np.inf)
        run.inspect(Plan(3, 5, 1, tmp_path), service, journey, seen)
    assert len(journey.failures) == 4
    assert "cycle 2 was acknowledged" in journey.failures[0]
    assert "cycle 2 is kept other than it was sent" in journey.failures[3]


def journey_session(journey: Journey) -> Any:
    """A listener that notes the id of the session."""

    def listen(**event: Any) -> None:
        if event["event"] == "session":
            journey.session = event["id"]

    return listen


@pytest.mark.slow
def test_a_terminated_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "demo", "--cycles", "500"],
        cwd=tmp_path,
        env=surroundings(tmp_path) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "cycle " in line and " of 500" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        end = time.monotonic() + 20
        while group_lives(process.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not group_lives(process.pid)
    finally:
        process.kill()
        process.stdout.close()


def group_lives(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_simulator_knows_nothing_of_the_engine() -> None:
    code = (
        "import sys, service.cli.demo.simulator; "
        "print([name for name in sys.modules if name.startswith('ccdm_engine')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_every_filter_meets_the_same_weather() -> None:
    truth, observations = simulator.truth_and_observations(5, 4)
    longer, _ = simulator.truth_and_observations(5, 9)
    np.testing.assert_array_equal(longer[:4], truth)
    np.testing.assert_array_equal(truth[1:, 0], truth[:-1, -1])
    errors = observations[:, 0] - truth[:, -1, 2]
    assert np.abs(errors).max() < 5 * simulator.OBSERVATION_STD
    members = simulator.initial_ensemble(5, 8)
    once, again = (simulator.forecast(members, 5, 2) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once[-1], simulator.forecast(members, 5, 3)[-1])


def test_the_model_is_lorenz_1963() -> None:
    root = np.sqrt(8 / 3 * 27)
    fixed = np.array([[0, 0, 0], [root, root, 27], [-root, -root, 27]])
    np.testing.assert_allclose(simulator.tendency(fixed), 0, atol=1e-12)
    states = simulator.initial_ensemble(1, 5)
    mirror = np.array([-1.0, -1.0, 1.0])
    np.testing.assert_array_equal(
        simulator.trajectory(states * mirror), simulator.trajectory(states) * mirror
    )
