"""The service drives models: real UM-Bridge ones, and servers that behave badly."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.client import Client, CycleResult, InvalidInputError, Job
from service.operators import Operators, RegisteredModel
from service.operators.umbridge import read_output
from service.settings import Settings
from tests.support.bad_models import NASTY, Nasty
from tests.support.redis import free_port
from tests.support.servers import ROOT, in_process, serving

MEMBERS = 12


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    """Registered models, on two servers that run, and one that does not."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.umbridge_server", str(port)]
    real = subprocess.Popen(command, cwd=ROOT, stdout=-3, stderr=-3)
    nasty = ThreadingHTTPServer(("127.0.0.1", 0), Nasty)
    nasty.daemon_threads = True
    threading.Thread(target=nasty.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{port}"
    bad = f"http://127.0.0.1:{nasty.server_port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{url}/Info")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield {
            "decay": {"url": url, "model": "decay", "config": {"by": 0.1}},
            "first": {"url": url, "model": "first"},
            "nobody": {"url": f"http://127.0.0.1:{free_port()}"},
            **{name: {"url": bad, "model": name} for name in (*NASTY, "good")},
        }
    finally:
        nasty.shutdown()
        nasty.server_close()
        real.terminate()
        real.wait(20)


@pytest.fixture(scope="module")
def http(
    models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a service that knows them."""
    folder = tmp_path_factory.mktemp("driven")
    settings = {
        "UMBRIDGE_MODELS": json.dumps(models),
        "MAX_MODEL_CALLS": "4",
    }
    with (
        serving(folder, **settings) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


def begin(http: httpx.Client, ensemble: Any, **more: Any) -> str:
    """A session with an ensemble; its address."""
    options = {"measurement_error": 0.3, **more}
    body = {"state_dim": 3, "measurement_dim": 1, "seed": 5, "options": options}
    made = http.post("/v1/sessions", json={**body, "initial_ensemble": ensemble})
    return str(made.raise_for_status().headers["Location"])


def start() -> Any:
    return np.random.default_rng(1).standard_normal((MEMBERS, 3))


BOTH = {"forecast_model": "decay", "measurement_model": "first", "observation": [0.2]}


def test_driven_cycles_are_those_the_client_would_have_sent(http: httpx.Client) -> None:
    driven, sent = (begin(http, start().tolist()) for _ in range(2))
    ensemble = start()
    for k in (1, 2):
        answer = http.put(f"{driven}/cycles/{k}", json=BOTH)
        assert answer.status_code == 201, answer.text
        states = 0.9 * ensemble + 0.1 * k
        body = {
            "forecast_states": states.tolist(),
            "simulated_measurements": states[:, :1].tolist(),
            "observation": [0.2],
        }
        by_hand = http.put(f"{sent}/cycles/{k}", json=body).json()
        ensemble = np.array(answer.json()["analysis_samples"])
        np.testing.assert_array_equal(ensemble, by_hand["analysis_samples"])
    told = answer.json()["diagnostics"]["models"]
    assert told == {"forecast": "decay", "measurement": "first", "failed": 0}


def test_the_same_again_is_answered_as_before_and_others_conflict(
    http: httpx.Client,
) -> None:
    place = f"{begin(http, start().tolist())}/cycles/1"
    first = http.put(place, json=BOTH)
    again = http.put(place, json=BOTH)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Ccdm-Replayed"] == "true" and again.content == first.content
    assert http.put(place, json={**BOTH, "observation": [0.3]}).status_code == 409
    other = {**BOTH, "forecast_model": "good"}
    assert http.put(place, json=other).status_code == 409


def test_measurements_alone_may_be_left_to_a_model(http: httpx.Client) -> None:
    body = {
        "forecast_states": start().tolist(),
        "measurement_model": "first",
        "observation": [0.2],
    }
    answer = http.put(f"{begin(http, start().tolist())}/cycles/1", json=body)
    assert answer.status_code == 201, answer.text


def test_members_that_fail_go_by_the_policy(http: httpx.Client) -> None:
    ensemble = start()
    ensemble[2], ensemble[7] = -10.0, 10.0  # an exception, and NaN
    place = f"{begin(http, ensemble.tolist())}/cycles/1"
    refused = http.put(place, json=BOTH)
    assert refused.status_code == 502 and refused.json()["type"].endswith(
        "/models-failed"
    )
    assert [each["member"] for each in refused.json()["failed"]] == [2, 7]
    assert "2 of 12 members" in refused.json()["detail"]
    # Nothing was changed: the same cycle goes on once they may fail.
    body = {**BOTH, "options": {"failed_members": "refill"}}
    facts = http.put(place, json=body).raise_for_status().json()["diagnostics"]
    reasons = {each["member"]: each["reason"] for each in facts["members_failed"]}
    assert "answered 500" in reasons[2] and "NaN" in reasons[7]
    # Who has not failed takes part, all of them.
    assert facts["members_used"] == [i for i in range(MEMBERS) if i not in (2, 7)]
    assert facts["models"]["failed"] == 2


def test_a_driven_cycle_may_be_a_job(http: httpx.Client) -> None:
    place = begin(http, start().tolist())
    later = {"Prefer": "respond-async"}
    answer = http.put(f"{place}/cycles/1", json=BOTH, headers=later)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Preference-Applied"] == "respond-async"
    job = answer.headers["Location"]
    while http.get(job).json()["status"] in ("accepted", "running"):
        time.sleep(0.05)
    result = http.get(f"{job}/results").raise_for_status().json()
    waited = http.put(f"{begin(http, start().tolist())}/cycles/1", json=BOTH).json()
    assert result["analysis_samples"] == waited["analysis_samples"]
    assert result["diagnostics"]["models"] == waited["diagnostics"]["models"]
    # The same again is answered at once, job or not.
    again = http.put(f"{place}/cycles/1", json=BOTH, headers=later)
    assert again.status_code == 200 and again.headers["Ccdm-Replayed"] == "true"
    wrong = {**BOTH, "observation": [0.2, 0.3]}
    refused = http.put(f"{place}/cycles/2", json=wrong, headers=later)
    assert refused.status_code == 422 and "observation" in refused.json()["detail"]


def test_a_driven_job_tells_which_members_failed(http: httpx.Client) -> None:
    ensemble = start()
    ensemble[2] = -10.0
    place = f"{begin(http, ensemble.tolist())}/cycles/1"
    answer = http.put(place, json=BOTH, headers={"Prefer": "respond-async"})
    job = answer.headers["Location"]
    while http.get(job).json()["status"] in ("accepted", "running"):
        time.sleep(0.05)
    problem = http.get(f"{job}/results")
    assert problem.status_code == 502
    assert [each["member"] for each in problem.json()["failed"]] == [2]


async def test_a_worker_that_does_not_know_a_model_says_so() -> None:
    operators = Operators({}, at_once=1, seconds=1.0, most_bytes=1000)
    outputs, reasons = await operators.evaluate("tank", start()[:2], 3, 1)
    assert np.isnan(outputs).all() and "CCDM_UMBRIDGE_MODELS" in reasons[0]


def test_the_client_drives_models_too(http: httpx.Client) -> None:
    models = {"forecast_model": "decay", "measurement_model": "first"}
    with Client(str(http.base_url)) as client:
        session = client.session(begin(http, start().tolist()).rpartition("/")[2])
        result = session.drive([0.2], **models)
        assert result.cycle == session.current_cycle == 1
        assert result.diagnostics["models"]["forecast"] == "decay"
        assert session.analysis().tobytes() == result.samples.tobytes()
        job = session.submit_drive([0.2], **models)
        assert isinstance(job, Job) and job.wait(60).samples.shape == (MEMBERS, 3)
        assert session.refresh().cycle == 2
        again = session.submit_drive([0.2], **models, number=2)
        assert isinstance(again, CycleResult) and again.replayed
        with pytest.raises(InvalidInputError, match="wanted a model that"):
            session.drive([0.2], measurement_model="sextant", forecast_states=start())


REASON = {
    "nobody": "ConnectError",
    "slow": "no answer within 0.5 seconds",
    "drip": "no answer within 0.5 seconds",
    "huge": "more than 100000 bytes",
    "redirect": "answered 302",
    "short": "answered 1 numbers, wanted 3",
    "text": "answered 500: Traceback:  [31mno such thing",
    "error": "I will not",
    "ragged": "ragged",
    "gzip": "compressed",
}


@pytest.mark.parametrize("name", [*NASTY, "nobody"])
async def test_bad_models_fail_in_time_and_in_words(
    models: dict[str, Any], name: str
) -> None:
    operators = Operators(
        {name: RegisteredModel(**models[name])},
        at_once=4,
        seconds=0.5 if name in ("slow", "drip") else 30.0,
        most_bytes=100_000,
    )
    outputs, reasons = await operators.evaluate(name, start()[:4], 3, 1)
    assert np.isnan(outputs).all() and sorted(reasons) == [0, 1, 2, 3]
    assert all(REASON[name] in reason for reason in reasons.values())
    assert Nasty.redirected == 0


@pytest.mark.parametrize(
    "answer",
    [
        rb'{"error": "\ud800"}',
        b'{"error": [123456789012345678901234567890, NaN]}',
        b'{"error": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_an_error_that_is_hard_to_write_down_is_the_members(answer: bytes) -> None:
    with pytest.raises(Exception, match="answered an error") as caught:
        read_output(answer, 3)
    assert type(caught.value).__name__ == "_Failed"


@pytest.mark.parametrize("states", [[1.0, 2.0], [], 1.0, [[]], [[[1.0]]]])
def test_forecasts_that_are_no_ensemble_are_refused(
    http: httpx.Client, states: Any
) -> None:
    place = f"{begin(http, start().tolist())}/cycles/1"
    body = {
        "forecast_states": states,
        "measurement_model": "first",
        "observation": [0.2],
    }
    for headers in ({}, {"Prefer": "respond-async"}):
        answer = http.put(place, json=body, headers=headers)
        assert answer.status_code == 422, answer.text
        assert "forecast_states" in answer.text


def test_without_an_ensemble_there_is_nothing_to_take_on(http: httpx.Client) -> None:
    made = http.post("/v1/sessions", json={"state_dim": 3, "measurement_dim": 1})
    place = f"{made.headers['Location']}/cycles/1"
    for headers in ({}, {"Prefer": "respond-async"}):
        answer = http.put(place, json=BOTH, headers=headers)
        assert answer.status_code == 404, answer.text
        assert answer.json()["type"] == "/problems/cycle-not-found"


def test_a_model_that_is_not_there_is_told(http: httpx.Client) -> None:
    place = f"{begin(http, start()[:4].tolist(), failed_members='drop')}/cycles/1"
    answer = http.put(place, json={**BOTH, "forecast_model": "nobody"})
    assert answer.status_code == 502
    assert "4 of 4 members" in answer.json()["detail"]
    assert "model nobody no answer" in answer.json()["failed"][0]["reason"]
    assert "drop" in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("slow", "within 0.5 seconds"), ("huge", "more than 2000 bytes")],
)
async def test_the_operator_sets_the_limits(
    models: dict[str, Any], name: str, told: str, tmp_path: Path
) -> None:
    settings = {"model_seconds": 0.5, "max_model_answer_bytes": 2000}
    async with in_process(tmp_path, umbridge_models=models, **settings) as http:
        body = {"state_dim": 3, "measurement_dim": 1}
        ensemble = start()[:4].tolist()
        made = await http.post(
            "/v1/sessions", json={**body, "initial_ensemble": ensemble}
        )
        place = f"{made.headers['Location']}/cycles/1"
        answer = await http.put(place, json={**BOTH, "forecast_model": name})
    assert answer.status_code == 502 and told in answer.json()["detail"]


def test_the_deadline_of_the_request_holds(http: httpx.Client) -> None:
    place = f"{begin(http, start().tolist())}/cycles/1"
    body = {**BOTH, "forecast_model": "slow"}
    began = time.monotonic()
    late = http.put(place, json=body, headers={"Ccdm-Timeout": "0.5"})
    assert late.status_code == 503 or late.json()["type"].endswith("deadline-exceeded")
    assert time.monotonic() - began < 10


def test_few_calls_are_under_way_at_once(http: httpx.Client) -> None:
    Nasty.most = 0
    ensemble = np.random.default_rng(2).standard_normal((40, 3))
    body = {**BOTH, "forecast_model": "good"}
    answer = http.put(f"{begin(http, ensemble.tolist())}/cycles/1", json=body)
    assert answer.status_code == 201
    assert 2 <= Nasty.most <= 4


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"forecast_model": "http://127.0.0.1/"}, "/forecast_model"),
        ({"forecast_model": "other"}, "/forecast_model"),
        ({"measurement_model": None}, "/measurement_model"),
        ({"forecast_model": None}, "/forecast_model"),
        ({"forecast_states": [[0.0] * 3] * 4}, "/forecast_states"),
        ({"simulated_measurements": [[0.0]] * 4}, "/simulated_measurements"),
        ({"coupling": {"members": 4}}, "/coupling"),
    ],
)
def test_what_does_not_go_together_is_refused(
    http: httpx.Client, change: dict[str, Any], pointer: str
) -> None:
    place = f"{begin(http, start().tolist())}/cycles/1"
    refused = http.put(place, json={**BOTH, **change})
    assert refused.status_code == 422, refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer


def test_a_session_without_an_ensemble_has_nothing_to_forecast(
    http: httpx.Client,
) -> None:
    made = http.post("/v1/sessions", json={"state_dim": 3, "measurement_dim": 1})
    answer = http.put(f"{made.headers['Location']}/cycles/1", json=BOTH)
    assert answer.status_code == 404 and "initial ensemble" in answer.json()["detail"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:80", "http://a?b"])
def test_addresses_that_are_none_stop_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Settings(umbridge_models={"m": {"url": url}})
