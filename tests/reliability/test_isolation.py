"""A tenant cannot tell another's sessions from those that never were."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from reliability import isolation
from reliability.isolation import KEYS, SETTINGS, run_isolation
from reliability.ledger import DIMS
from reliability.parts import stored
from reliability.processes import ServiceProcess


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_answers_about_foreign_and_unknown_sessions_are_alike(
    store: str, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "MAX_TENANT_SESSIONS": "4"}
    with (
        stored(store, tmp_path) as url,
        ServiceProcess(tmp_path, url, settings=settings) as service,
    ):
        found = run_isolation(service.url, store, rounds=1)
        # Each has two sessions now; what one fills up is not the other's.
        with _owner(service, "alice") as alice, _owner(service, "bob") as bob:
            made = [_created(alice) for _ in range(4)]
            full = _created(alice)
            others = [_created(bob), bob.get("/v1/sessions/none")]
    assert found.operations >= 8 and found.pairs >= 4 * found.operations
    assert (found.different, found.leaks, found.changed) == (0, 0, 0), found.first
    assert [answer.status_code for answer in made] == [201, 201, 507, 507]
    assert full.json()["type"] == "/problems/quota-exceeded"
    assert [answer.status_code for answer in others] == [201, 404]


def _owner(service: ServiceProcess, tenant: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"X-API-Key": KEYS[tenant]})


def _created(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/sessions", json=DIMS, timeout=60)


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
