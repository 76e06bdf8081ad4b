"""Tenants get what is theirs: so many requests, sessions and bytes, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import TooManyRequestsError
from service.rates import Rates
from tests.service_http.bodies import JSON, STATES, content, json_bytes
from tests.support.servers import in_process

KEYS = ("alice:a-key", "bob:b-key")
ALICE, BOB = ({"X-API-Key": key.partition(":")[2]} for key in KEYS)
FIELDS = {"state_dim": 2, "measurement_dim": 1}


def test_a_bucket_fills_at_its_rate() -> None:
    now = 0.0
    rates = Rates(2.0, 3, lambda: now)
    for _ in range(3):
        rates.take("t")
    with pytest.raises(TooManyRequestsError) as caught:
        rates.take("t")
    assert caught.value.retry_after == 1
    rates.take("another")
    now = 0.5
    rates.take("t")
    with pytest.raises(TooManyRequestsError):
        rates.take("t")
    now = 1000.0
    for _ in range(3):
        rates.take("t")
    with pytest.raises(TooManyRequestsError):
        rates.take("t")


async def test_requests_of_one_tenant_are_bounded(tmp_path: Path) -> None:
    async with in_process(
        tmp_path, api_keys=KEYS, requests_per_second=0.01, request_burst=3
    ) as http:
        answers = [await http.get("/v1/sessions", headers=ALICE) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["type"] == "/problems/too-many-requests"
        assert int(answers[-1].headers["retry-after"]) > 1
        assert (await http.get("/v1/sessions", headers=BOB)).status_code == 200
        assert (await http.get("/livez", headers=ALICE)).status_code == 200
        # Nobody spends the tokens of another's key.
        wrong = {"X-API-Key": "wrong"}
        for _ in range(5):
            assert (await http.get("/v1/sessions", headers=wrong)).status_code == 401
        assert (await http.get("/v1/sessions", headers=BOB)).status_code == 200


async def test_sessions_of_one_tenant_are_bounded(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS, max_tenant_sessions=2) as http:
        made = [
            await http.post("/v1/sessions", json=FIELDS, headers=ALICE)
            for _ in range(3)
        ]
        assert [a.status_code for a in made] == [201, 201, 507]
        problem = made[-1].json()
        assert problem["type"] == "/problems/quota-exceeded"
        assert problem["limit_name"] == "max_tenant_sessions"
        assert (problem["limit"], problem["used"]) == (2, 2)
        others = await http.post("/v1/sessions", json=FIELDS, headers=BOB)
        assert others.status_code == 201
        gone = await http.delete(made[0].headers["location"], headers=ALICE)
        assert gone.status_code == 204
        again = await http.post("/v1/sessions", json=FIELDS, headers=ALICE)
        assert again.status_code == 201


async def test_bytes_of_one_tenant_are_bounded(tmp_path: Path) -> None:
    async with in_process(tmp_path, api_keys=KEYS, max_tenant_bytes=6000) as http:
        fields = {**FIELDS, "initial_ensemble": STATES * 40}
        made = await http.post("/v1/sessions", json=fields, headers=ALICE)
        assert made.status_code == 201
        refused = await http.post("/v1/sessions", json=fields, headers=ALICE)
        assert refused.status_code == 507
        assert refused.json()["limit_name"] == "max_tenant_bytes"
        path = f"{made.headers['location']}/cycles/1"
        large = json_bytes(options={"n_samples": 500})
        put = await http.put(path, content=large, headers={**JSON, **ALICE})
        assert put.status_code == 507, put.text
        # One-shot analyses keep nothing, and go on.
        done = await http.post("/v1/analyses", json=content(), headers=ALICE)
        assert done.status_code == 200
