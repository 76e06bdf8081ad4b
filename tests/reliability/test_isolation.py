"""A tenant cannot tell another's sessions from those that never were."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability import isolation
from reliability.isolation import KEYS, SETTINGS, run_isolation
from reliability.parts import stored
from reliability.processes import ServiceProcess


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_answers_about_foreign_and_unknown_sessions_are_alike(
    store: str, tmp_path: Path
) -> None:
    with (
        stored(store, tmp_path) as url,
        ServiceProcess(tmp_path, url, settings=SETTINGS) as service,
    ):
        found = run_isolation(service.url, store, rounds=1)
    assert found.operations >= 8 and found.pairs >= 6 * found.operations
    assert (found.different, found.leaks, found.changed) == (0, 0, 0), found.first


@pytest.mark.slow
def test_a_tenant_with_the_keys_of_another_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run where both keys are of one tenant: all of it has to strike."""
    settings = {"API_KEYS": ",".join(f"one:{key}" for key in KEYS.values())}
    monkeypatch.setattr(isolation, "_time", lambda *_: None)
    with ServiceProcess(tmp_path, settings=settings) as service:
        found = run_isolation(service.url, "sqlite", rounds=1)
    assert found.different > found.pairs / 5
    assert found.leaks and found.changed
