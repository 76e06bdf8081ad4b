"""The burning reactor: Cantera behind the service, shorter than in the tutorial."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import Client
from tests.support.servers import ROOT, serving

FOLDER = ROOT / "examples" / "reactor"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules of the example, by name."""
    pytest.importorskip("cantera", reason="needs cantera: pip install '.[examples]'")
    monkeypatch.syspath_prepend(str(FOLDER))
    # The simulator's own imports are not ours to mend.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("reactor")
    return importlib.import_module


def settled(reactor: Any, strength: float, loss: float) -> Any:
    state = reactor.burning(strength)
    return reactor.advance(state, strength, loss, 0.1)


def test_the_reactor_burns_as_the_books_have_it(load: Any) -> None:
    reactor = load("reactor").Reactor()
    lean, rich = settled(reactor, 0.7, 1.0), settled(reactor, 1.5, 1.0)
    best = settled(reactor, 1.05, 1.0)
    assert 1500 < lean[0] < best[0] < 2300 and rich[0] < best[0]
    # Lean mixtures leave oxygen, rich ones hydrogen.
    assert lean[2] > 0.04 > 0.01 > lean[1] and rich[1] > 0.1 > 0.01 > rich[2]
    assert settled(reactor, 0.7, 1.5)[0] < lean[0] - 50
    # Settled is settled, but for the radicals that a state does not tell.
    again = reactor.advance(lean, 0.7, 1.0, 0.01)
    np.testing.assert_allclose(again, lean, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_strength_and_loss_are_found(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mixture = load("mixture")
    monkeypatch.setattr(mixture, "SPIN_UP", 6)
    monkeypatch.setattr(mixture, "MEMBERS", 60)
    reactor = load("reactor").Reactor()
    truth, readings = mixture.truth_and_readings(reactor, mixture.TRUTHS["lean"], 0, 14)
    with serving(tmp_path) as server, Client(server.url) as client:
        found = mixture.estimate(client, reactor, readings, 0, {})
    alone = mixture.estimate(None, reactor, readings, 0, {})
    errors, without = (mixture.scores(each, truth)[:2] for each in (found, alone))
    assert (errors < 0.5 * without).all()


def test_the_tutorial_names_what_is_there() -> None:
    page = (ROOT / "docs" / "tutorials" / "reactor.md").read_text()
    for name in ("reactor.py", "mixture.py", "run.sh"):
        assert (FOLDER / name).exists() and name in page
