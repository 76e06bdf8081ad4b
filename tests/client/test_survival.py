"""Replies get lost and services get killed; what was acknowledged stays."""

from __future__ import annotations

import threading
import time

import pytest

from service.cli.demo.processes import Service
from service.client import Client, CycleResult, ReplyLostError, Retry, RetryPolicy
from tests.client.pairs import DIMS, FIXED, pairs
from tests.support.client_servers import Proxy, running
from tests.support.servers import Server

PATIENT = RetryPolicy(give_up_after=40, first_delay=0.02, longest_delay=0.2)


def port_of(url: str) -> int:
    """The port of an address."""
    return int(url.rpartition(":")[2])


def undisturbed(client: Client, cycles: int) -> list[CycleResult]:
    """The results of a session that nothing happens to."""
    session = client.create_session(**DIMS, options=FIXED, seed=7)
    return [session.cycle(*pairs(k)) for k in range(cycles)]


def test_every_second_reply_to_a_cycle_is_lost_and_nothing_else(
    server: Server, client: Client
) -> None:
    seen: list[Retry] = []
    puts = 0

    def loses(request: bytes, _: int) -> bool:
        nonlocal puts
        puts += request.startswith(b"PUT")
        return request.startswith(b"PUT") and puts % 2 == 1

    proxy = Proxy(port_of(server.url), loses)
    with (
        running(proxy),
        Client(proxy.url, retry=PATIENT, on_retry=seen.append) as unlucky,
    ):
        results = undisturbed(unlucky, 4)
    assert [one.cycle for one in results] == [1, 2, 3, 4]
    assert all(one.replayed for one in results)
    assert len(seen) == len(proxy.lost) == 4
    assert all(again.attempt == 1 for again in seen)
    for got, wanted in zip(results, undisturbed(client, 4), strict=True):
        assert got.samples.tobytes() == wanted.samples.tobytes()
        assert got.diagnostics == wanted.diagnostics


def test_a_lost_deletion_is_repeated_and_a_lost_creation_is_told(
    server: Server,
) -> None:
    proxy = Proxy(port_of(server.url), lambda request, _: request.startswith(b"DELETE"))
    with running(proxy), Client(proxy.url, retry=PATIENT) as unlucky:
        session = unlucky.create_session(**DIMS)
        # The second DELETE would be lost too.
        proxy.loses = lambda request, n: request.startswith(b"DELETE") and n < 3
        session.delete()
    assert len(proxy.lost) == 1
    proxy = Proxy(port_of(server.url), lambda request, _: request.startswith(b"POST"))
    with running(proxy), Client(proxy.url, retry=PATIENT) as unlucky:
        try:
            unlucky.create_session(**DIMS)
        except ReplyLostError:
            pass
        else:
            raise AssertionError("a lost creation was not told")
    assert len(proxy.requests) == 1


@pytest.mark.slow
def test_a_service_killed_between_cycles_is_waited_for(mortal: Service) -> None:
    with Client(mortal.url, retry=PATIENT) as client:
        wanted = undisturbed(client, 2)
        session = client.create_session(**DIMS, options=FIXED, seed=7)
        results = []
        for k in range(2):
            mortal.kill()
            # It comes back while the client is already asking for it.
            coming = threading.Timer(0.3, mortal.start)
            coming.start()
            results.append(session.cycle(*pairs(k)))
            coming.join()
        assert [one.cycle for one in session.history()] == [1, 2]
        for got, undisturbed_one in zip(results, wanted, strict=True):
            assert got.samples.tobytes() == undisturbed_one.samples.tobytes()


@pytest.mark.slow
def test_a_service_killed_at_any_moment_loses_nothing_acknowledged(
    mortal: Service,
) -> None:
    results: list[CycleResult] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Client(mortal.url, retry=PATIENT) as client:
                session = client.create_session(
                    **DIMS, options=FIXED, seed=7, keep_analyses=200
                )
                names.append(session.id)
                while not done.is_set():
                    results.append(session.cycle(*pairs(len(results))))
        except BaseException as error:
            failures.append(error)

    names: list[str] = []
    done = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(2):
        reached = len(results) + 3
        end = time.monotonic() + 30
        while len(results) < reached and not failures and time.monotonic() < end:
            time.sleep(0.005)
        mortal.kill()
        mortal.start()
    done.set()
    worker.join(60)
    assert not failures
    with Client(mortal.url) as client:
        session = client.session(names[0])
        assert session.current_cycle == len(results) >= 6
        for k, result in enumerate(results, start=1):
            assert session.analysis(k).tobytes() == result.samples.tobytes()
