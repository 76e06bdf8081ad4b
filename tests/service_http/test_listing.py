"""A session that cannot be shown does not hide the others of its tenant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.stores import open_store
from service.stores.protocol import Change
from tests.support.servers import in_process

SESSION = {"state_dim": 2, "measurement_dim": 1}


@pytest.mark.parametrize(
    "odd",
    [
        {"seed": 2**80},
        {"metadata": {"n": 2**70}},
        {"created_at": 1e300},
        {"format": 99},
        {"metadata": json.loads('{"a":' * 900 + "1" + "}" * 900)},
    ],
    ids=["seed", "number", "time", "format", "deep"],
)
async def test_one_odd_session_is_left_out_of_the_list(
    tmp_path: Path, odd: dict[str, object]
) -> None:
    async with in_process(tmp_path) as http:
        made = (await http.post("/v1/sessions", json=SESSION)).json()["id"]
        store = open_store(f"sqlite:///{tmp_path}/sessions.sqlite")
        await store.open()
        loaded = await store.load("default", made)
        document = json.dumps(json.loads(loaded.meta) | odd).encode()
        change = Change(
            expected_version=0,
            token="0" * 32,
            meta=document,
            expires_at=loaded.expires_at,
        )
        await store.commit("default", "odd", change)
        await store.close()
        answer = await http.get("/v1/sessions")
        assert answer.status_code == 200
        assert [item["id"] for item in answer.json()["sessions"]] == [made]
