"""Every setting is documented, and does what its page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.cli.output import CommandError
from service.cli.serve import read_settings
from service.cli.settings import reference
from service.settings import Settings
from tests.service_http.bodies import JSON, STATES, content, json_bytes
from tests.support.servers import ROOT, in_process

HTTP, CLI = "tests/service_http", "tests/cli"
# Where each setting is shown to have an effect.
JOBS = "tests/jobs"
DRIVEN = "tests/facades/test_driven.py"
EFFECTS = {
    "store_url": f"{CLI}/test_serve.py::test_it_says_where_it_is_and_answers_there",
    "host": f"{CLI}/test_serve.py::"
    "test_beyond_loopback_a_key_is_made_once_and_asked_for",
    "port": f"{CLI}/test_serve.py::test_what_keeps_it_from_starting_is_told",
    "max_body_bytes": f"{HTTP}/test_limits.py::test_the_default_limit_is_64_mebibytes",
    "max_held_bytes": f"{HTTP}/test_limits.py::test_bodies_held_at_once_are_bounded",
    "max_members": f"{HTTP}/test_limits.py::test_ensembles_beyond_a_limit",
    "max_state_dim": f"{HTTP}/test_limits.py::test_ensembles_beyond_a_limit",
    "max_measurement_dim": f"{HTTP}/test_limits.py::test_ensembles_beyond_a_limit",
    "max_samples": f"{HTTP}/test_settings.py::test_what_is_beyond_it_is_refused",
    "max_steps": f"{HTTP}/test_settings.py::test_what_is_beyond_it_is_refused",
    "max_session_document_bytes": f"{HTTP}/test_documents.py::"
    "test_what_a_session_keeps_besides_arrays_is_bounded",
    "max_metadata_bytes": f"{HTTP}/test_settings.py::test_what_is_beyond_it_is_refused",
    "max_session_ttl_seconds": f"{HTTP}/test_settings.py::"
    "test_what_is_beyond_it_is_refused",
    "max_keep_analyses": f"{HTTP}/test_settings.py::test_what_is_beyond_it_is_refused",
    "max_memory_bytes": f"{HTTP}/test_limits.py::test_memory_is_bounded_in_fact",
    "max_staged_bytes": "tests/coupling::test_staged_members_are_bounded",
    "max_running": f"{HTTP}/test_limits.py::"
    "test_the_deadline_kills_and_the_queue_is_bounded",
    "max_queued": f"{HTTP}/test_limits.py::"
    "test_the_deadline_kills_and_the_queue_is_bounded",
    "deadline_seconds": f"{HTTP}/test_limits.py::"
    "test_a_client_cannot_have_more_time_than_there_is",
    "head_seconds": f"{HTTP}/test_connections.py::"
    "test_what_is_late_or_malformed_is_a_problem",
    "body_seconds": f"{HTTP}/test_limits.py::"
    "test_a_body_that_does_not_come_is_not_waited_for",
    "stall_seconds": f"{HTTP}/test_connections.py::"
    "test_an_answer_that_is_not_taken_is_cut",
    "answer_seconds": f"{HTTP}/test_slow_readers.py::"
    "test_whoever_takes_an_answer_slowly_is_cut_and_in_nobodys_way",
    "keep_alive_seconds": f"{HTTP}/test_connections.py::"
    "test_idle_connections_are_closed",
    "max_connections": f"{HTTP}/test_connections.py::"
    "test_where_all_are_busy_more_are_refused",
    "max_head_bytes": f"{HTTP}/test_connections.py::"
    "test_what_is_late_or_malformed_is_a_problem",
    "max_headers": f"{HTTP}/test_connections.py::"
    "test_what_is_late_or_malformed_is_a_problem",
    "drain_seconds": f"{CLI}/test_stopping.py::"
    "test_running_requests_finish_while_readiness_is_withdrawn",
    "shutdown_seconds": f"{CLI}/test_stopping.py::test_what_does_not_finish_is_cut_off",
    "session_ttl_seconds": f"{HTTP}/test_settings.py::test_what_a_session_is_given",
    "keep_analyses": f"{HTTP}/test_settings.py::test_what_a_session_is_given",
    "keep_inputs": f"{HTTP}/test_settings.py::test_forecasts_are_kept_as_told",
    "max_tenant_sessions": f"{HTTP}/test_rates.py::"
    "test_sessions_of_one_tenant_are_bounded",
    "max_tenant_bytes": f"{HTTP}/test_rates.py::test_bytes_of_one_tenant_are_bounded",
    "requests_per_second": f"{HTTP}/test_rates.py::"
    "test_requests_of_one_tenant_are_bounded",
    "request_burst": f"{HTTP}/test_rates.py::test_requests_of_one_tenant_are_bounded",
    "api_keys": f"{HTTP}/test_auth.py::test_a_key_is_needed_where_keys_are_set",
    "api_keys_file": f"{HTTP}/test_auth.py::"
    "test_a_first_key_is_made_once_and_only_where_it_is_needed",
    "allowed_hosts": f"{HTTP}/test_auth.py::test_hosts_may_be_named",
    "metrics": f"{HTTP}/test_metrics.py::test_who_may_read_them",
    "tracing": f"{HTTP}/test_tracing.py::test_spans_are_sent_and_hold_no_arrays",
    "log_level": f"{HTTP}/test_observability.py::test_text_and_levels",
    "log_format": f"{HTTP}/test_observability.py::test_text_and_levels",
    "max_wait_seconds": "tests/coupling::test_waits_are_cut_to_what_the_service_allows",
    "max_streams": "tests/coupling::test_streams_are_bounded_for_each_tenant",
    "heartbeat_seconds": "tests/coupling::test_a_quiet_stream_says_so",
    "job_workers": f"{JOBS}/test_life.py::"
    "test_tenants_do_not_see_each_other_and_have_limits",
    "max_jobs": f"{JOBS}/test_life.py::"
    "test_tenants_do_not_see_each_other_and_have_limits",
    "max_tenant_jobs": f"{JOBS}/test_life.py::"
    "test_tenants_do_not_see_each_other_and_have_limits",
    "job_ttl_seconds": f"{JOBS}/test_limits.py::test_jobs_have_their_time",
    "job_deadline_seconds": f"{JOBS}/test_limits.py::test_jobs_have_their_time",
    "job_lease_seconds": f"{JOBS}/test_survival.py::test_a_restart_in_the_middle",
    "job_attempts": f"{JOBS}/test_survival.py::"
    "test_a_job_that_kills_its_workers_fails_in_the_end",
    "umbridge_models": f"{DRIVEN}::test_a_model_that_is_not_there_is_told",
    "max_model_calls": f"{DRIVEN}::test_few_calls_are_under_way_at_once",
    "model_seconds": f"{DRIVEN}::test_the_operator_sets_the_limits",
    "max_model_answer_bytes": f"{DRIVEN}::test_the_operator_sets_the_limits",
    "umbridge": "tests/facades::test_the_facades_are_off_unless_asked_for",
    "compute": "tests/scale/test_places.py::test_the_default_is_processes",
    "analysis_threads": "tests/scale/test_places.py::"
    "test_threads_of_a_process_share_its_parts",
    "locations": "tests/scale/test_stored.py::"
    "test_a_file_gives_the_bytes_of_the_same_arrays_in_memory",
    "dask_ca_file": "tests/scale/test_tls.py::test_a_scheduler_with_certificates",
    "dask_cert_file": "tests/scale/test_tls.py::test_a_scheduler_with_certificates",
    "dask_key_file": "tests/scale/test_tls.py::test_a_scheduler_with_certificates",
    "open_inference": "tests/facades::test_the_facades_are_off_unless_asked_for",
}
FIELDS: dict[str, Any] = {"state_dim": 2, "measurement_dim": 1}


def test_every_setting_has_a_test_of_its_effect() -> None:
    assert set(EFFECTS) == set(Settings.model_fields)
    for name, place in EFFECTS.items():
        where, _, test = place.partition("::")
        files = [ROOT / where] if where.endswith(".py") else (ROOT / where).glob("*.py")
        found = [file.read_text() for file in files]
        assert any(f"def {test}(" in text for text in found), place
        # The file has to name what it shows.
        shown = f"{name}|--{name.partition('_')[0]}"
        assert any(re.search(shown, text, re.I) for text in found), (name, place)


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference(), "run: python -m scripts.reference"
    for name in Settings.model_fields:
        assert page.count(f"`CCDM_{name.upper()}`") == 1, name


@pytest.mark.parametrize(
    ("setting", "path", "body", "status"),
    [
        ("max_samples", "analyses", content(options={"n_samples": 8}), 413),
        ("max_steps", "analyses", content(options={"steps": 8}), 413),
        ("max_metadata_bytes", "sessions", FIELDS | {"metadata": {"a": "b" * 9}}, 413),
        ("max_session_ttl_seconds", "sessions", FIELDS | {"ttl_seconds": 8}, 422),
        ("max_keep_analyses", "sessions", FIELDS | {"keep_analyses": 8}, 422),
    ],
)
async def test_what_is_beyond_it_is_refused(
    tmp_path: Path, setting: str, path: str, body: dict[str, Any], status: int
) -> None:
    for value, expected in ((7, status), (1000, 0)):
        folder = tmp_path / str(value)
        folder.mkdir()
        async with in_process(folder, **{setting: value}) as http:
            answer = await http.post(f"/v1/{path}", json=body)
        if expected:
            assert answer.status_code == expected, answer.text
        else:
            assert answer.is_success, answer.text


async def test_what_a_session_is_given(tmp_path: Path) -> None:
    async with in_process(tmp_path, session_ttl_seconds=77, keep_analyses=3) as http:
        made = (await http.post("/v1/sessions", json=FIELDS)).json()
        asked = (
            await http.post(
                "/v1/sessions", json={**FIELDS, "ttl_seconds": 9, "keep_analyses": 2}
            )
        ).json()
    assert (made["ttl_seconds"], made["keep_analyses"]) == (77, 3)
    assert (asked["ttl_seconds"], asked["keep_analyses"]) == (9, 2)


async def test_forecasts_are_kept_as_told(tmp_path: Path) -> None:
    for cycles in (0, 2):
        folder = tmp_path / str(cycles)
        folder.mkdir()
        fields = {**FIELDS, "initial_ensemble": STATES}
        async with in_process(folder, keep_inputs=cycles) as http:
            made = await http.post("/v1/sessions", json=fields)
            path = made.headers["location"]
            for k in (1, 2, 3):
                put = await http.put(
                    f"{path}/cycles/{k}", content=json_bytes(), headers=JSON
                )
                assert put.status_code == 201, put.text
            store = http._transport.app.state.store  # type: ignore[attr-defined]
            names = await store.names("default", made.json()["id"])
        kept = [name for name in names.blobs if "input" in name or "forecast" in name]
        found = {int(number) for name in kept for number in re.findall(r"\d+", name)}
        assert found == {k for k in (1, 2, 3) if k > 3 - cycles}, names.blobs


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MAX_BODY_BYTES", "64MiB", 'got "64MiB", wanted a valid integer; give a '
         "number of bytes: 67108864"),
        ("MAX_BODY_BYTES", "64M", "give a number of bytes: 67108864"),
        ("MAX_BODY_BYTES", "3kB", "give a number of bytes: 3000"),
        ("MAX_BODY_BYTES", "much", "give a number of bytes, such as 67108864"),
        ("PORT", "x", 'CCDM_PORT: got "x", wanted a valid integer'),
        ("LOCATIONS", "a=b", "CCDM_LOCATIONS: got 'a=b', wanted name=/folder"),
        ("LOG_LEVEL", "loud", 'CCDM_LOG_LEVEL: got "loud", wanted \'debug\''),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"CCDM_{name}", value)
    with pytest.raises(CommandError) as refused:
        read_settings()
    assert words in str(refused.value)
    assert not re.search("Value error|Input should|unable to", str(refused.value))
