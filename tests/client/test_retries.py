"""What is repeated, when, and what never is."""

from __future__ import annotations

import email.utils
import threading
import time

import numpy as np
import pytest

from service.cli.demo.processes import free_port
from service.client import (
    Client,
    ConnectionFailedError,
    ReplyLostError,
    Retry,
    RetryPolicy,
    ServiceError,
    TimedOutError,
    UnavailableError,
)
from service.client.messages import Reply, Request
from service.client.retry import Attempts, retry_after
from tests.support.client_servers import Recorder, answer, running

PAIR = (np.zeros((2, 1)), np.zeros((2, 1)), [0.0])
RESULT = answer(200, b'{"analysis_samples": [[1.0]], "diagnostics": {}}')
VIEW = answer(
    201,
    b'{"id": "s", "cycle": 0, "version": 1, "state_dim": 1, "measurement_dim": 1,'
    b' "members": 2, "seed": 1}',
)
BUSY = b'{"type": "/problems/too-busy", "status": 503, "detail": "full"}'
AWAY = b'{"type": "/problems/store-unavailable", "status": 503, "detail": "away"}'
QUICK = RetryPolicy(give_up_after=5, first_delay=0.01, longest_delay=0.02)


def repeated(answers: list[bytes | None], policy: RetryPolicy = QUICK) -> list[Retry]:
    """The repetitions that one analysis needs to get through these answers."""
    seen: list[Retry] = []
    server = Recorder(answers)
    with running(server), Client(server.url, retry=policy, on_retry=seen.append) as c:
        assert c.analyse(*PAIR).samples.tolist() == [[1.0]]
    assert len(server.requests) == len(seen) + 1
    assert len(set(server.requests)) == 1, "a repetition is the same bytes"
    return seen


def test_a_lost_reply_is_asked_for_again() -> None:
    (again,) = repeated([None, RESULT])
    assert again.attempt == 1
    assert "the connection broke" in again.reason


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(status: int) -> None:
    (first, second) = repeated([answer(status, BUSY), answer(status, BUSY), RESULT])
    assert f"answered {status}" in first.reason
    assert second.attempt == 2


def test_retry_after_is_the_least_that_is_waited() -> None:
    started = time.monotonic()
    (again,) = repeated([answer(503, BUSY, Retry_After="0.4"), RESULT])
    assert again.delay >= 0.4
    assert time.monotonic() - started >= 0.4


def test_a_longer_wait_than_patience_is_not_begun() -> None:
    server = Recorder([answer(503, AWAY, Retry_After="60")])
    with running(server), Client(server.url, retry=QUICK) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            client.analyse(*PAIR)
        assert time.monotonic() - started < 2
    assert caught.value.retry_after == 60
    assert caught.value.slug == "store-unavailable"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413, 422, 500, 507])
def test_what_will_not_change_is_not_repeated(status: int) -> None:
    server = Recorder([answer(status, b'{"detail": "no"}')])
    with (
        running(server),
        Client(server.url, retry=QUICK) as client,
        pytest.raises(ServiceError, match=str(status)),
    ):
        client.analyse(*PAIR)
    assert len(server.requests) == 1


def test_the_creation_of_a_session_is_not_repeated_blindly() -> None:
    for reply in (None, answer(503, AWAY, Retry_After="0")):
        server = Recorder([reply, VIEW])
        with (
            running(server),
            Client(server.url, retry=QUICK) as client,
            pytest.raises((ReplyLostError, UnavailableError)),
        ):
            client.create_session(state_dim=1, measurement_dim=1)
        assert len(server.requests) == 1


def test_the_creation_of_a_session_is_repeated_when_it_was_turned_away() -> None:
    server = Recorder([answer(503, BUSY, Retry_After="0"), answer(429, BUSY), VIEW])
    with running(server), Client(server.url, retry=QUICK) as client:
        assert client.create_session(state_dim=1, measurement_dim=1).id == "s"
    assert len(server.requests) == 3


def test_a_service_that_comes_up_later_is_waited_for() -> None:
    port = free_port()
    servers: list[Recorder] = []
    seen: list[Retry] = []

    def come_up(again: Retry) -> None:
        seen.append(again)
        if again.attempt == 3:
            servers.append(Recorder([VIEW], port=port))
            threading.Thread(target=servers[0].serve, daemon=True).start()

    with Client(f"http://127.0.0.1:{port}", retry=QUICK, on_retry=come_up) as client:
        assert client.create_session(state_dim=1, measurement_dim=1).id == "s"
    servers[0].close()
    assert len(seen) == 3
    assert all("no connection" in again.reason for again in seen)
    assert len(servers[0].requests) == 1


def test_nobody_there_is_said_so_with_advice() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(url, retry=RetryPolicy(give_up_after=0)) as client,
        pytest.raises(ConnectionFailedError, match="ccdm serve") as caught,
    ):
        client.analyse(*PAIR)
    assert url in str(caught.value)


def test_a_silent_service_is_given_up() -> None:
    server = Recorder([])
    with (
        running(server),
        Client(server.url, timeout=0.3, retry=QUICK) as client,
        pytest.raises(TimedOutError, match=r"no answer within 0\.3 s"),
    ):
        client.create_session(state_dim=1, measurement_dim=1)
    assert len(server.requests) == 1


def test_waiting_grows_and_stays_below_its_limit() -> None:
    policy = RetryPolicy(give_up_after=1e9, first_delay=1, longest_delay=10)
    attempts = Attempts(policy, Request("GET", "/"), clock=lambda: 0, spread=lambda: 0)
    delays = [attempts.next(ReplyLostError("lost")) for _ in range(2000)]
    assert [again.delay for again in delays[:6] if again] == [1, 2, 4, 8, 10, 10]
    assert all(again is not None and again.delay <= 10 for again in delays)
    halved = Attempts(policy, Request("GET", "/"), lambda: 0, spread=lambda: 1)
    again = halved.next(ReplyLostError("lost"))
    assert again is not None
    assert again.delay == 0.5


def test_patience_counts_from_the_first_attempt() -> None:
    now = [0.0]
    policy = RetryPolicy(give_up_after=10, first_delay=1, longest_delay=1)
    attempts = Attempts(policy, Request("GET", "/"), lambda: now[0], lambda: 0)
    assert attempts.next(ReplyLostError("lost")) is not None
    now[0] = 9.5
    assert attempts.next(ReplyLostError("lost")) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0.25", 0.25), ("-1", 0.0), ("nan", 0.0), ("", None), ("soon", None)],
)
def test_retry_after_as_a_number(text: str, seconds: float | None) -> None:
    assert retry_after(Reply(503, {"retry-after": text}, b"")) == seconds


def test_retry_after_as_a_date() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    seconds = retry_after(Reply(503, {"retry-after": date}, b""))
    assert seconds is not None
    # The date has whole seconds.
    assert 28 < seconds <= 30


def test_one_connection_serves_many_calls() -> None:
    server = Recorder([RESULT])
    with running(server), Client(server.url) as client:
        for _ in range(5):
            client.analyse(*PAIR)
    assert len(server.requests) == 5
    assert server.connections == 1
