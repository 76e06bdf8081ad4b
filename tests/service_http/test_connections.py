"""Connections: every part of an exchange has a deadline, and every refusal a reason."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import h11
import httpx
import pytest

from service.connections import FREE_CHUNKS, _Connection
from service.media.bodies import encode_body
from tests.service_http.bodies import ensemble
from tests.service_http.heavy import HEAVY
from tests.service_http.test_limits import connected
from tests.support.servers import PATIENCE, Server, serving

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that waits for nothing and takes few connections."""
    limits = {
        "HEAD_SECONDS": "0.5",
        "BODY_SECONDS": "0.5",
        "STALL_SECONDS": "0.5",
        "KEEP_ALIVE_SECONDS": "1",
        "MAX_CONNECTIONS": "8",
        "MAX_HEAD_BYTES": "4096",
        "MAX_HEADERS": "20",
    }
    with serving(tmp_path_factory.mktemp("hasty"), **limits) as running:
        yield running


def everything(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def answered(connection: socket.socket) -> bytes:
    """One answer, of a connection that goes on."""
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        piece = connection.recv(4096)
        assert piece, answer
        answer += piece
    return answer


def problem(answer: bytes) -> tuple[int, str]:
    """Status and kind of a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer
    found = json.loads(body)
    assert found["request_id"] and found["detail"]
    return int(head.split()[1]), found["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (b"GET /livez HT", 408, "head-timeout"),
        (GET, 408, "head-timeout"),
        (b"nonsense\r\n\r\n", 400, "bad-request"),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (GET + b"Host: localhost\r\n\r\n", 400, "bad-request"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "bad-request"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "bad-request"),
        (GET + b"X: " + b"x" * 8192, 431, "head-too-large"),
        (GET + b"X: " + b"x" * 8192 + b"\r\n\r\n", 431, "head-too-large"),
        (GET + b"X: x\r\n" * 20 + b"\r\n", 431, "head-too-large"),
        (POST + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
         408, "body-timeout"),
    ],
    ids=["line", "headers", "nonsense", "no-host", "two-hosts", "two-lengths",
         "chunk", "flood", "large", "many", "body"],
)  # fmt: skip
def test_what_is_late_or_malformed_is_a_problem(
    hasty: Server, sent: bytes, status: int, slug: str
) -> None:
    with connected(hasty) as connection:
        connection.sendall(sent)
        assert problem(everything(connection)) == (status, slug)


def test_a_head_that_trickles_has_no_more_time(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.settimeout(0.05)
        answer, end = b"", time.monotonic() + PATIENCE
        while not answer and time.monotonic() < end:
            try:
                connection.sendall(b"G")
                answer = connection.recv(4096)
            except TimeoutError:
                continue
        # The rest of it may come in a piece of its own.
        connection.settimeout(PATIENCE)
        with suppress(ConnectionError):
            while piece := connection.recv(4096):
                answer += piece
    assert problem(answer) == (408, "head-timeout")


def test_idle_connections_are_closed(hasty: Server) -> None:
    with connected(hasty) as silent, connected(hasty) as used:
        used.sendall(GET + b"\r\n")
        assert everything(used).endswith(b'{"status":"alive"}')
        assert everything(silent) == b""


def test_idle_ones_make_room_for_new_ones(hasty: Server) -> None:
    held = [connected(hasty) for _ in range(30)]
    try:
        answer = httpx.get(f"{hasty.url}/livez", timeout=PATIENCE)
        assert answer.status_code == 200
    finally:
        for connection in held:
            connection.close()


def test_where_all_are_busy_more_are_refused(hasty: Server) -> None:
    slow = POST + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    held = [connected(hasty) for _ in range(8)]
    try:
        for connection in held:
            connection.sendall(slow)
        time.sleep(0.1)
        with connected(hasty) as further:
            assert problem(everything(further)) == (503, "too-busy")
        for connection in held:
            assert problem(everything(connection)) == (408, "body-timeout")
    finally:
        for connection in held:
            connection.close()
    assert httpx.get(f"{hasty.url}/livez", timeout=PATIENCE).status_code == 200


@pytest.mark.slow
def test_an_answer_that_is_not_taken_is_cut(hasty: Server) -> None:
    content_type, body = encode_body(
        ensemble(50, 2000, 1), {"options": {"n_samples": 4000, "sampler": "exact"}}
    )
    head = POST + b"Content-Type: %s\r\nContent-Length: %d\r\n" % (
        content_type.encode(),
        len(body),
    )
    with connected(hasty) as connection:
        connection.sendall(head + b"Accept: application/octet-stream\r\n\r\n" + body)
        started = connection.recv(1024)
        assert b" 200 " in started, started
        # 64 MB: more than the sockets of both sides hold.
        time.sleep(2.0)
        rest = everything(connection)
    assert len(rest) < 4000 * 2000 * 8


def test_tiny_chunks_are_refused_and_small_ones_are_not(hasty: Server) -> None:
    head = (
        POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    small = b"40\r\n" + b" " * 64 + b"\r\n"
    for chunks, details in (
        (b"1\r\n[\r\n" * (FREE_CHUNKS + 20), "too many tiny chunks"),
        (b"1\r\n[\r\n" * FREE_CHUNKS, "not JSON"),
        (small * (3 * FREE_CHUNKS), "not JSON"),
    ):
        with connected(hasty) as connection:
            connection.sendall(head + chunks + b"0\r\n\r\n")
            assert details in answered(connection).decode()
    # Each body is counted by itself.
    with connected(hasty) as connection:
        for _ in range(3):
            connection.sendall(head + b"1\r\n[\r\n" * (FREE_CHUNKS - 1) + b"0\r\n\r\n")
            assert "not JSON" in answered(connection).decode()


def test_after_a_body_nobody_read_the_connection_is_as_good_as_before(
    hasty: Server,
) -> None:
    unread = (
        b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    )
    headers = b"Content-Type: %s\r\nContent-Length: %d\r\nCcdm-Timeout: 1.5\r\n\r\n"
    heavy = POST + headers % (HEAVY[0].encode(), len(HEAVY[1])) + HEAVY[1]
    with connected(hasty) as connection:
        connection.sendall(unread)
        assert problem(answered(connection)) == (404, "not-found")
        connection.sendall(b"x" * 10)
        # Longer than the rest of that body might have taken to come.
        connection.sendall(heavy)
        assert problem(answered(connection)) == (504, "deadline-exceeded")
    with connected(hasty) as connection:
        connection.sendall(unread)
        assert problem(answered(connection)) == (404, "not-found")
        connection.sendall(b"x" * 10)
        while connection.recv(4096):
            pass


def test_a_body_nobody_reads_does_not_hold_the_connection(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(
            b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        assert b" 404 " in connection.recv(4096)
        connection.settimeout(0.2)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                connection.sendall(b"x")
                if not connection.recv(4096):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it is still open")


def test_a_piece_of_a_body_is_handed_on_as_it_came() -> None:
    """The parser's own buffer, emptied: not a copy of it, nor a copy of that."""
    parser = _Connection(4096)
    parser.receive_data(POST + b"Content-Length: 100000\r\n\r\n")
    assert type(parser.next_event()) is h11.Request
    for left in (60_000, 40_000):
        parser.receive_data(bytes(left))
        held = parser._receive_buffer._data
        event = parser.next_event()
        assert type(event) is h11.Data
        assert event.data is held
        assert len(event.data) == left
    assert type(parser.next_event()) is h11.EndOfMessage
    # What belongs to the next request stays.
    parser = _Connection(4096)
    parser.receive_data(POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n")
    kinds = [type(parser.next_event()) for _ in range(3)]
    assert kinds == [h11.Request, h11.Data, h11.EndOfMessage]
    assert parser.trailing_data[0].startswith(b"GET")
