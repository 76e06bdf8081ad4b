"""The water network: EPANET behind the service, shorter than in the tutorial."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import Client
from tests.support.servers import ROOT, serving

pytestmark = pytest.mark.slow
FOLDER = ROOT / "examples" / "water"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a real service."""
    with (
        serving(tmp_path_factory.mktemp("water")) as server,
        Client(server.url) as client,
    ):
        yield client


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the example, by name."""
    pytest.importorskip("wntr", reason="needs wntr: pip install '.[examples]'")
    monkeypatch.syspath_prepend(str(FOLDER))
    # The simulator's own imports are not ours to mend.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("network")
    return importlib.import_module


def test_pressures_follow_demand(load: Any) -> None:
    network = load("network").Network()
    usual = network.pressures(np.zeros(59), 8)
    thirsty = network.pressures(np.full(59, 0.3), 8)
    rough = network.pressures(np.zeros(59), 8, np.full(4, -0.2))
    again = network.pressures(np.zeros(59), 8, np.zeros(4))
    assert (thirsty < usual + 1e-6).all() and thirsty.mean() < usual.mean() - 1
    assert rough.mean() < usual.mean() - 0.3
    np.testing.assert_allclose(again, usual, atol=1e-3)


def test_a_stuck_sensor_is_taken_out_and_the_pressures_are_found(
    load: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    demands, town, scores = load("demands"), load("town"), load("scores")
    monkeypatch.setattr(scores, "SPIN_UP", 4)
    monkeypatch.setattr(town, "STUCK_FROM", 6)
    network = load("network").Network()
    truth, pressures, readings = town.truth_and_readings(network, 0, 0.1, True, 20)
    assert np.isnan(readings).any()
    score = {}
    watch = load("watch").Watch()
    for name, who, seen in (
        ("alone", None, None),
        ("trusting", client, None),
        ("watched", client, watch),
    ):
        options = demands.localized(network)
        found = demands.assimilate(who, network, readings, 0, options, seen)
        score[name] = scores.scores(network, found, truth, pressures)[2]
    assert score["watched"] < 0.6 * score["alone"]
    assert score["watched"] < score["trusting"]
    assert watch.excluded[town.STUCK] and watch.excluded.sum() <= 2


def test_the_tutorial_names_what_is_there() -> None:
    page = (ROOT / "docs" / "tutorials" / "water-network.md").read_text()
    for name in ("network.py", "demands.py", "watch.py", "roughness.py"):
        assert Path(FOLDER / name).exists() and name in page
