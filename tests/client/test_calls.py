"""Every call against the real service: arrays in, arrays out, errors with reasons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from service.client import (
    AnalysisNotKeptError,
    Client,
    CycleConflictError,
    CycleNotFoundError,
    InvalidInputError,
    NotAuthorizedError,
    PreconditionFailedError,
    RequestRejectedError,
    RetryPolicy,
    SessionGoneError,
    SessionNotFoundError,
    calls,
)
from tests.client.pairs import DIMS, FIXED, pairs
from tests.support.client_servers import Recorder, answer, running
from tests.support.servers import Server, serving


def test_an_analysis_is_the_engine_s_own(client: Client) -> None:
    result = client.analyse(*pairs(), options=FIXED, seed=3)
    local = assimilate(*pairs(), options=AnalysisOptions.from_dict(FIXED), seed=3)
    assert result.samples.tobytes() == local.samples.tobytes()
    facts = dict(result.diagnostics)
    assert facts.pop("manifest")["options"]["sampler"] == FIXED["sampler"]
    assert facts == local.diagnostics.to_dict()
    assert 0 < result.timing["compute"] < 60
    assert result.request_id


def test_options_may_be_the_engine_s_own(client: Client) -> None:
    options = AnalysisOptions(
        measurement_bandwidth=np.inf, preconditioner="linear", failed_members="drop"
    )
    states, simulated, observation = pairs()
    states[3] = np.nan
    result = client.analyse(states, simulated, observation, options=options, seed=0)
    local = assimilate(states, simulated, observation, options=options, seed=0)
    assert result.samples.tobytes() == local.samples.tobytes()
    assert 3 not in result.diagnostics["members_used"]


def test_missing_observations_are_left_out(client: Client) -> None:
    states, simulated, _ = pairs()
    for missing in ([0.4, np.nan], [0.4, None]):
        result = client.analyse(states, simulated, missing, options=FIXED, seed=0)
        status = result.diagnostics["observation_status"]
        assert status == ["assimilated", "missing"]
    nothing = client.analyse(states, simulated, [np.nan, np.nan], options=FIXED)
    assert nothing.diagnostics["status"] == "unchanged"
    np.testing.assert_array_equal(nothing.samples, states)


def test_wrong_input_names_the_place(client: Client) -> None:
    states, simulated, observation = pairs()
    with pytest.raises(InvalidInputError, match="simulated_measurements") as caught:
        client.analyse(states, simulated[:5], observation)
    error = caught.value
    assert (error.status, error.slug) == (422, "invalid-input")
    assert error.errors[0]["pointer"] == "/simulated_measurements"
    assert error.request_id
    assert error.request_id in str(error)
    with pytest.raises(InvalidInputError, match="magic") as caught:
        client.analyse(states, simulated, observation, options={"magic": 1})
    assert caught.value.slug == "invalid-options"


def test_a_session_runs_from_creation_to_deletion(client: Client) -> None:
    ensemble, _, _ = pairs(9)
    session = client.create_session(
        **DIMS,
        initial_ensemble=ensemble,
        options=FIXED,
        seed=5,
        ttl_seconds=600,
        keep_analyses=2,
        metadata={"run": "a"},
    )
    assert session.current_cycle == 0
    assert session.info.members == len(ensemble)
    np.testing.assert_array_equal(session.analysis(), ensemble)
    np.testing.assert_array_equal(
        session.analysis(0, members=slice(2, 5)), ensemble[2:5]
    )
    np.testing.assert_array_equal(session.analysis(members=(10, 12)), ensemble[10:])
    results = [session.cycle(*pairs(k)) for k in range(3)]
    assert [one.cycle for one in results] == [1, 2, 3]
    assert not any(one.replayed for one in results)
    assert session.analysis().tobytes() == results[2].samples.tobytes()
    assert session.diagnostics(1).diagnostics == results[0].diagnostics
    assert [one.cycle for one in session.history()] == [1, 2, 3]
    with pytest.raises(AnalysisNotKeptError):
        session.analysis(1)
    with pytest.raises(CycleNotFoundError):
        session.diagnostics(4)
    session.delete()
    with pytest.raises(SessionGoneError):
        session.refresh()
    session.delete()


def test_a_session_is_taken_up_by_its_id(client: Client, server: Server) -> None:
    session = client.create_session(**DIMS, options=FIXED, seed=1)
    first = session.cycle(*pairs())
    with Client(server.url) as elsewhere:
        again = elsewhere.session(session.id)
        assert again.current_cycle == 1
        assert again.analysis().tobytes() == first.samples.tobytes()
        assert again.cycle(*pairs(1)).cycle == 2
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert again.info.expires_at is not None
    assert again.info.expires_at > soon


def test_the_same_cycle_again_is_replayed(client: Client) -> None:
    session = client.create_session(**DIMS, options=FIXED, seed=1)
    first = session.cycle(*pairs())
    again = session.cycle(*pairs(), number=1)
    assert again.replayed
    assert again.samples.tobytes() == first.samples.tobytes()
    assert session.current_cycle == 1


def test_two_writers_meet_in_a_conflict_that_says_where_to_go_on(
    client: Client,
) -> None:
    mine = client.create_session(**DIMS, options=FIXED, seed=1)
    theirs = client.session(mine.id)
    theirs.cycle(*pairs(0))
    with pytest.raises(CycleConflictError) as caught:
        mine.cycle(*pairs(1))
    assert caught.value.current_cycle == 1
    assert mine.refresh().cycle == 1
    assert mine.analysis().shape == (12, 2)
    assert mine.cycle(*pairs(1)).cycle == 2


def test_a_cycle_may_have_options_of_its_own(client: Client) -> None:
    session = client.create_session(**DIMS, options=FIXED, seed=1)
    result = session.cycle(*pairs(), options={"n_samples": 5})
    assert result.samples.shape == (5, 2)
    assert session.cycle(*pairs(1)).samples.shape == (12, 2)


def test_large_samples_come_as_npy_and_are_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.create_session(**DIMS, options=FIXED, seed=1).cycle(*pairs())
    monkeypatch.setattr(calls, "LARGE", 3)
    apart = client.create_session(**DIMS, options=FIXED, seed=1).cycle(*pairs())
    assert apart.samples.tobytes() == whole.samples.tobytes()
    assert apart.diagnostics == whole.diagnostics


def test_a_session_is_changed_only_as_it_was_seen(client: Client) -> None:
    session = client.create_session(**DIMS, metadata={"a": 1})
    seen = session.info.version
    changed = session.update(metadata={"a": 2}, expected_version=seen)
    assert changed.view["metadata"] == {"a": 2}
    with pytest.raises(PreconditionFailedError):
        session.update(metadata={"a": 3}, expected_version=seen)
    changed = session.update(metadata={"a": None, "b": 4}, ttl_seconds=90)
    assert changed.view["metadata"] == {"b": 4}
    assert changed.view["ttl_seconds"] == 90


def test_all_sessions_are_listed_page_by_page(tmp_path: Path) -> None:
    with serving(tmp_path) as fresh, Client(fresh.url) as client:
        made = {client.create_session(**DIMS).id for _ in range(5)}
        assert {info.id for info in client.sessions()} == made
        page, following = client.run(calls.list_sessions(limit=2))
        rest, end = client.run(calls.list_sessions(after=following, limit=50))
        assert len(page) == 2
        assert {info.id for info in [*page, *rest]} == made
        assert end is None


def test_a_long_history_is_read_page_by_page(client: Client) -> None:
    session = client.create_session(**DIMS, options=FIXED, seed=1)
    for k in range(103):
        session.cycle(*pairs(k, members=3))
    assert [one.cycle for one in session.history()] == list(range(1, 104))


def test_unknown_sessions_and_sizes_too_large_are_told(client: Client) -> None:
    with pytest.raises(SessionNotFoundError):
        client.session("s" + "0" * 31)
    with pytest.raises(RequestRejectedError, match="64 MiB") as caught:
        client.analyse(np.zeros((3_000_000, 3)), np.zeros((1, 1)), [0.0])
    assert caught.value.status == 413


def test_the_key_is_asked_for_and_sent(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEYS="team:secret-of-mine") as guarded:
        with Client(guarded.url) as nobody, pytest.raises(NotAuthorizedError):
            nobody.analyse(*pairs())
        with Client(guarded.url, api_key="secret-of-mine") as known:
            assert known.analyse(*pairs(), options=FIXED).samples.shape == (12, 2)


def test_readiness_is_an_answer_even_when_it_is_no(client: Client) -> None:
    assert client.ready()["status"] == "ready"
    no = b'{"status": "not ready", "checks": [{"name": "store", "ok": false}]}'
    away = Recorder([answer(503, no, Retry_After="9")])
    with running(away), Client(away.url, retry=RetryPolicy()) as elsewhere:
        assert elsewhere.ready()["status"] == "not ready"
    assert len(away.requests) == 1
