"""/metrics: what was done is counted, once, and nobody sees what is not theirs."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import PATIENCE
from tests.cli.test_serve import served
from tests.service_http.bodies import JSON, content, json_bytes
from tests.support.servers import in_process

FIELDS = {"state_dim": 2, "measurement_dim": 1}


def samples(text: str) -> dict[str, float]:
    """Every line by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def scrape(http: httpx.AsyncClient) -> dict[str, float]:
    """What Prometheus would read."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.text)


async def test_only_what_waits_is_left_out_of_the_times(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        for query in ("?nowait=1", "?a=wait=1", "?wait=1"):
            await http.get(f"/v1/sessions{query}")
        found = await scrape(http)
    name = "ccdm_requests_answered_seconds_count{route=/v1/sessions}"
    assert found[name] == 2, found


async def test_what_was_done_is_counted(tmp_path: Path) -> None:
    async with in_process(tmp_path) as http:
        made = await http.post("/v1/sessions", json=FIELDS)
        path = made.headers["location"]
        put = await http.put(f"{path}/cycles/1", content=json_bytes(), headers=JSON)
        assert put.status_code == 201
        far = content(observation=[1e6])
        assert (await http.post("/v1/analyses", json=far)).status_code == 200
        assert (await http.get("/v1/sessions/unknown")).status_code == 404
        assert (await http.get("/nowhere/at/all")).status_code == 404
        assert (await http.post("/v1/analyses", content=b"{")).status_code == 415
        found = await scrape(http)
    answered = "ccdm_requests_answered_total"
    cycles = "/v1/sessions/{session_id}/cycles/{k}"
    assert found[f"{answered}{{method=PUT,route={cycles},status=201}}"] == 1
    assert found[f"{answered}{{method=POST,route=/v1/analyses,status=200}}"] == 1
    assert found[f"{answered}{{method=GET,route=none,status=404}}"] == 1
    assert found[f"ccdm_requests_answered_seconds_count{{route={cycles}}}"] == 1
    for slug in ("session-not-found", "not-found", "unsupported-media-type"):
        assert found[f"ccdm_requests_refused_total{{problem={slug}}}"] == 1
    staged = "ccdm_requests_staged_seconds"
    for stage, count in (("queue", 2), ("compute", 2), ("decode", 3)):
        assert found[f"{staged}_count{{stage={stage}}}"] == count
    assert found[f"{staged}_sum{{stage=compute}}"] > 0
    finished = {k: v for k, v in found.items() if "analyses_finished_total" in k}
    assert sum(finished.values()) == 2
    assert found["ccdm_analyses_weighed_ratio_count{}"] == 2
    assert found["ccdm_analyses_warned_total{code=observation-outside-ensemble}"] == 1
    assert found["ccdm_store_called_seconds_count{operation=commit}"] == 2
    failed = "ccdm_store_failed_total{error=SessionNotFound,operation=load}"
    assert found[failed] == 1
    assert found["ccdm_bodies_received_bytes_total{}"] > len(json_bytes())
    assert found["ccdm_requests_open{}"] == 1
    assert found["ccdm_analyses_running{}"] == found["ccdm_bodies_held_bytes{}"] == 0
    assert found["ccdm_analyses_waiting_limit{}"] == 64


async def test_labels_name_no_client(tmp_path: Path) -> None:
    keys = ("alice:a-secret", "ops+admin:o-secret")
    async with in_process(tmp_path, api_keys=keys) as http:
        key = {"X-API-Key": "a-secret"}
        made = await http.post("/v1/sessions", json=FIELDS, headers=key)
        sid = made.json()["id"]
        await http.get(f"/v1/sessions/{sid}", headers=key)
        await http.request("BREW", f"/v1/sessions/{sid}", headers=key)
        await http.get("/v1/sessions/made-up-by-a-client", headers=key)
        text = (await http.get("/metrics", headers={"X-API-Key": "o-secret"})).text
    for word in (sid, "alice", "secret", "BREW", "made-up"):
        assert word not in text


@pytest.mark.parametrize(
    ("who", "keys", "statuses"),
    [
        ("key", (), (200, 200, 200)),
        ("key", ("t:usual", "ops+admin:ops"), (401, 403, 200)),
        ("open", ("t:usual", "ops+admin:ops"), (200, 200, 200)),
        ("off", (), (404, 404, 404)),
    ],
)
async def test_who_may_read_them(
    tmp_path: Path, who: str, keys: tuple[str, ...], statuses: tuple[int, ...]
) -> None:
    async with in_process(tmp_path, metrics=who, api_keys=keys) as http:
        found = [
            (await http.get("/metrics", headers=headers)).status_code
            for headers in ({}, {"X-API-Key": "usual"}, {"X-API-Key": "ops"})
        ]
        assert tuple(found) == statuses
        # The scope is for looking at the service, not at anybody's sessions.
        admin = await http.get("/v1/sessions", headers={"X-API-Key": "ops"})
        assert admin.status_code == (403 if keys else 200)


async def test_each_application_counts_for_itself(tmp_path: Path) -> None:
    async with in_process(tmp_path) as first, in_process(tmp_path) as second:
        for _ in range(3):
            await first.get("/livez")
        name = "ccdm_requests_answered_total{method=GET,route=/livez,status=200}"
        assert (await scrape(first))[name] == 3
        assert name not in await scrape(second)


@pytest.mark.slow
def test_a_scrape_of_one_worker_tells_of_all(tmp_path: Path) -> None:
    with served(tmp_path, "--workers", "2") as running:
        for _ in range(40):
            # A new connection each time, for any of the workers to take.
            assert httpx.get(f"{running.url}/readyz", timeout=PATIENCE).is_success
        texts = [
            httpx.get(f"{running.url}/metrics", timeout=PATIENCE).text for _ in range(4)
        ]
        assert running.process.poll() is None
    for text in texts:
        found = samples(text)
        counted = [
            v for k, v in found.items() if "route=/readyz" in k and "_total" in k
        ]
        assert sum(counted) == 40
        assert [v for k, v in found.items() if k.startswith("ccdm_build_info")] == [2]
    assert not re.search(r"pid=", texts[0])
