"""What every answer tells of itself, and what the log keeps."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.service_http.bodies import JSON, content, json_bytes, new_session
from tests.support.servers import in_process, serving

TIMING = re.compile(r"(\w+);dur=(\d+\.\d\d)")
BEFORE = ["queue", "decode", "compute", "engine"]


def stages(answer: httpx.Response) -> dict[str, float]:
    """Server-Timing as numbers."""
    return {k: float(v) for k, v in TIMING.findall(answer.headers["server-timing"])}


def test_stages_are_timed_and_add_up(http: httpx.Client) -> None:
    sid = new_session(http)
    began = time.perf_counter()
    put = http.put(f"/v1/sessions/{sid}/cycles/1", content=json_bytes(), headers=JSON)
    outside = 1e3 * (time.perf_counter() - began)
    seen = stages(put)
    assert list(seen) == [*BEFORE, "store", "encode", "total"]
    assert seen["compute"] > 0 and seen["store"] > 0
    assert 0 < seen["engine"] < seen["compute"], "a part of it"
    apart = sum(seen.values()) - seen["engine"] - seen["total"]
    assert apart <= seen["total"] <= outside
    alone = http.post("/v1/analyses", json=content())
    assert list(stages(alone)) == [*BEFORE, "encode", "total"]
    assert 0 < stages(alone)["engine"] < stages(alone)["compute"]


@pytest.mark.parametrize("path", ["/livez", "/docs", "/v1/sessions", "/v1/nothing"])
def test_every_answer_has_a_name_and_is_not_kept(http: httpx.Client, path: str) -> None:
    first, second = http.get(path), http.get(path)
    names = [answer.headers["x-request-id"] for answer in (first, second)]
    assert names[0] != names[1] and all(re.fullmatch("[0-9a-f]{32}", n) for n in names)
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cache-control"] == "no-store"
    assert "total" in stages(first)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [("run-7.cycle_3", True), ("a" * 64, True), ("a" * 65, False), ("a b", False)],
)
def test_a_request_may_bring_its_name(
    http: httpx.Client, asked: str, kept: bool
) -> None:
    answer = http.get("/livez", headers={"X-Request-ID": asked})
    assert (answer.headers["x-request-id"] == asked) is kept


async def test_the_log_has_facts_but_neither_keys_nor_arrays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with in_process(
        tmp_path, api_keys=("alice:very-secret",), log_format="json"
    ) as http:
        headers = {
            "Authorization": "Bearer very-secret",
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
        }
        body = content(observation=[0.123456789])
        good = await http.post("/v1/analyses", json=body, headers=headers)
        bad = await http.get("/v1/sessions/abc", headers=headers)
        await http.get("/livez")
    text = capsys.readouterr().err
    first, second = (json.loads(line) for line in text.splitlines())
    assert first["request_id"] == good.headers["x-request-id"]
    assert first["trace_id"] == trace and first["tenant"] == "alice"
    assert first["route"] == "/v1/analyses" and first["status"] == 200
    assert first["bytes_out"] == len(good.content) and first["bytes_in"] > 100
    assert first["stages_ms"]["compute"] > 0
    assert second["route"] == "/v1/sessions/{session_id}"
    assert (second["status"], second["problem"]) == (404, "session-not-found")
    assert bad.status_code == 404
    assert "very-secret" not in text and "0.123456789" not in text
    assert "Bearer" not in text and "abc" not in text


async def test_text_and_levels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with in_process(tmp_path, log_format="text", log_level="debug") as http:
        await http.get("/livez")
    assert "route=/livez" in capsys.readouterr().err
    async with in_process(tmp_path, log_level="error") as http:
        await http.get("/v1/nothing")
    assert capsys.readouterr().err == ""


def test_a_location_that_is_not_there_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    places = f"gone={tmp_path}/gone,there+write={tmp_path}/there"
    with serving(tmp_path, LOG_FORMAT="json", LOCATIONS=places) as server:
        lines = server.log.read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    (line,) = [item for item in told if item["event"] == "location"]
    assert line["level"] == "warning" and line["name"] == "gone"
    assert "is not a folder; make it" in line["detail"]
