"""Clients that leave, send twice, or read slowly, beside others that behave."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from reliability.faults.scene import Scene, title
from reliability.faults.seen import metric
from reliability.ledger import DIMS, OPTIONS, Account, Row, audit
from reliability.processes import ServiceProcess
from reliability.raw import PATIENCE, connect, cycle_request, message
from service.client import Client, RetryPolicy, Session

_OWN = 10_000


def client_leaves_in_body(scene: Scene) -> Row:
    """Clients leave in the middle of a body, then send it again."""
    spread = random.Random(1)

    def rude(port: int, request: bytes) -> int:
        with connect(port) as connection:
            connection.sendall(request[: spread.randrange(1, len(request))])
            return _unanswered(connection)

    return _with_rudeness(scene, client_leaves_in_body, rude)


def client_leaves_before_answer(scene: Scene) -> Row:
    """Clients leave while their cycle is analysed, then send it again."""
    spread = random.Random(2)

    def rude(port: int, request: bytes) -> int:
        with connect(port) as connection:
            connection.sendall(request)
            time.sleep(spread.random() * 0.03)
            return _unanswered(connection)

    return _with_rudeness(scene, client_leaves_before_answer, rude)


def every_cycle_sent_four_times(scene: Scene) -> Row:
    """Every cycle sent by four clients at the same time."""
    began = time.monotonic()
    service = scene.service()
    row = Row(title(every_cycle_sent_four_times), "sqlite")
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        clients = [stack.enter_context(Client(service.url)) for _ in range(4)]
        account, session = _session(clients[0], _OWN)
        others = [client.session(session.id) for client in clients]
        fresh = 0
        for cycle in range(1, scene.scale.clients * scene.scale.cycles + 1):
            account.asked = cycle
            account.calls += 4
            arrays = account.forecast(cycle)

            def put(one: Session, k: int = cycle, arrays: tuple = arrays):  # type: ignore[no-untyped-def,type-arg]
                return one.cycle(*arrays, number=k)

            results = list(pool.map(put, others))
            fresh += sum(not result.replayed for result in results)
            account.acknowledged[cycle] = results[0].samples.tobytes()
            row.wrong += len({result.samples.tobytes() for result in results}) - 1
        row.duplicates += fresh - len(account.acknowledged)
    row.struck = account.calls - fresh
    row.note = f"{fresh} results, {row.struck} replays"
    row.seconds = round(time.monotonic() - began, 2)
    return audit(row, [account], service.url)


def clients_read_slowly(scene: Scene) -> Row:
    """Twenty clients read a long answer byte by byte, and never to its end."""
    service = scene.service()
    with Client(service.url) as client:
        account, session = _session(client, _OWN)
        # More than the system takes in for twenty that do not read.
        options = {"sampler": "exact", "n_samples": 100_000}
        session.cycle(*account.forecast(1), options=options)
    path = f"/v1/sessions/{session.id}/cycles/1/analysis"
    asking = message("GET", path, {"Host": "127.0.0.1", "Accept": "application/json"})

    def disturb() -> int:
        waiting = 0
        with ExitStack() as stack:
            slow = [stack.enter_context(_narrow(service.port)) for _ in range(20)]
            for connection in slow:
                connection.sendall(asking)
            for _ in range(20):
                for connection in slow:
                    connection.recv(1)
                waiting += metric(service.url, "ccdm_answers_held_bytes") > 0
                time.sleep(0.05)
        return waiting

    return scene.run(clients_read_slowly, "sqlite", [service.url], disturb)


def _narrow(port: int) -> socket.socket:
    """A connection that takes little at a time, so that the service has to wait."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", port))
    return connection


def _unanswered(connection: socket.socket) -> int:
    """1 when nothing has come yet."""
    connection.settimeout(0.0)
    try:
        connection.recv(1)
    except BlockingIOError:
        return 1
    except OSError:
        pass
    return 0


def _with_rudeness(
    scene: Scene, fault: Callable[[Scene], Row], rude: Callable[[int, bytes], int]
) -> Row:
    """Sessions whose every cycle is sent rudely first, beside a storm of others."""
    service = scene.service()
    accounts: list[Account] = []

    def disturb() -> int:
        own = [Account(_OWN + len(accounts) + number) for number in range(2)]
        accounts.extend(own)
        with ThreadPoolExecutor(2) as pool:
            left = [
                pool.submit(_rude_session, service, account, rude, scene)
                for account in own
            ]
            return sum(session.result() for session in left)

    row = scene.run(fault, "sqlite", [service.url], disturb)
    row.note = f"{sum(len(a.acknowledged) for a in accounts)} cycles sent rudely first"
    storming = row.sessions
    row = audit(row, accounts, service.url)
    row.sessions = storming + len(accounts)
    return row


def _rude_session(
    service: ServiceProcess,
    account: Account,
    rude: Callable[[int, bytes], int],
    scene: Scene,
) -> int:
    """How often its client was gone before it was answered."""
    left = 0
    with Client(service.url, retry=RetryPolicy(give_up_after=60)) as client:
        _, session = _session(client, account.number, account)
        for cycle in range(1, scene.scale.cycles * 2 + 1):
            account.asked = cycle
            account.calls += 1
            left += rude(service.port, cycle_request(account, cycle))
            result = session.cycle(*account.forecast(cycle), number=cycle)
            account.acknowledged[cycle] = result.samples.tobytes()
    return left


def _session(
    client: Client, number: int, account: Account | None = None
) -> tuple[Account, Session]:
    account = account or Account(number)
    session = client.create_session(
        **DIMS, options=OPTIONS, seed=number, keep_analyses=1000
    )
    account.session_id, account.seed = session.id, number
    return account, session


FAULTS = (
    client_leaves_in_body,
    client_leaves_before_answer,
    every_cycle_sent_four_times,
    clients_read_slowly,
)
