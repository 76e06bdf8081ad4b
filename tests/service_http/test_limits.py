"""Limits: of size, of time, of work at once; and what happens to work nobody wants."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from service import compute
from service.media.bodies import encode_body
from service.media.errors import TooLargeError
from service.settings import Settings
from tests.service_http.bodies import JSON, ensemble, json_bytes
from tests.service_http.heavy import heavy, until_idle
from tests.support.servers import PATIENCE, Server, serving

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "status"), [(63 * MIB, 400), (64 * MIB, 400), (64 * MIB + 1, 413)]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_the_default_limit_is_64_mebibytes(
    http: httpx.Client, size: int, status: int, chunked: bool
) -> None:
    # Not JSON: whatever is read in full is refused for that.
    pieces = [b"x" * MIB] * (size // MIB) + [b"x" * (size % MIB)]
    content = iter(pieces) if chunked else b"".join(pieces)
    answer = http.post("/v1/analyses", content=content, headers=JSON)
    assert answer.status_code == status, answer.text
    if status == 413:
        assert answer.json()["limit_name"] == "max_body_bytes"
        assert answer.json()["limit"] == 64 * MIB


def test_a_body_declared_too_long_is_not_waited_for(server: Server) -> None:
    head = (
        b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 68157440\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert b" 413 " in first_line(server, head)


def test_a_client_that_breaks_off_does_no_harm(
    server: Server, http: httpx.Client
) -> None:
    head = b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"
    for rest in (
        b"Content-Type: application/json\r\nContent-Length: 999\r\n\r\n{",
        b"",
    ):
        with connected(server) as connection:
            connection.sendall(head + rest)
    assert http.get("/livez").status_code == 200
    assert "failure" not in server.log.read_text()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that allows little of everything."""
    folder = tmp_path_factory.mktemp("small")
    limits = {
        "MAX_BODY_BYTES": str(4 * MIB),
        "MAX_HELD_BYTES": str(5 * MIB),
        "MAX_MEMBERS": "5000",
        "MAX_STATE_DIM": "50",
        "MAX_MEASUREMENT_DIM": "2",
        "MAX_RUNNING": "1",
        "MAX_QUEUED": "1",
        "DEADLINE_SECONDS": "2",
        "BODY_SECONDS": "0.5",
    }
    with serving(folder, **limits) as running:
        # Its deadline is too short for workers that have to be started first.
        body = b"[" + b" " * MIB
        while (
            httpx.post(
                f"{running.url}/v1/analyses",
                content=body,
                headers=JSON,
                timeout=PATIENCE,
            ).status_code
            != 400
        ):
            time.sleep(1.0)
        yield running


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((5001, 1, 1), "max_members"),
        ((3, 51, 1), "max_state_dim"),
        ((3, 3, 3), "max_measurement_dim"),
    ],
)
def test_ensembles_beyond_a_limit(
    small: Server, shape: tuple[int, int, int], name: str
) -> None:
    content_type, body = encode_body(ensemble(*shape), {})
    answer = httpx.post(
        f"{small.url}/v1/analyses",
        content=body,
        headers={"Content-Type": content_type},
        timeout=PATIENCE,
    )
    assert answer.status_code == 413
    assert answer.json()["limit_name"] == name


def test_a_body_that_does_not_come_is_not_waited_for(small: Server) -> None:
    head = (
        b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    began = time.monotonic()
    assert b" 408 " in first_line(small, head)
    assert time.monotonic() - began < PATIENCE / 2


def test_bodies_held_at_once_are_bounded(small: Server) -> None:
    length = b"Content-Length: %d\r\n\r\n" % (3 * MIB)
    head = (
        b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n" + length
    )
    with connected(small) as first:
        first.sendall(head + b"x" * (3 * MIB - 1))
        time.sleep(0.1)
        answer = first_line(small, head + b"x" * (3 * MIB))
        assert b" 503 " in answer
        assert b" 408 " in first.recv(4096)
    # What was held is given back.
    assert b" 400 " in first_line(small, head + b"x" * (3 * MIB))


def test_the_deadline_kills_and_the_queue_is_bounded(small: Server) -> None:
    # Ready to run at once: what is measured is the queue, not the start of workers.
    until_idle(small, PATIENCE)
    with ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(heavy, small) for _ in range(4)]
        answers = [item.result() for item in pending]
    by_status = sorted(answer.status_code for answer in answers)
    # One ran, one waited, both until the deadline; the others were sent away.
    assert by_status == [503, 503, 504, 504]
    for answer in answers:
        slug = answer.json()["type"].rpartition("/")[2]
        if answer.status_code == 503:
            assert slug == "too-busy"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        else:
            assert slug == "deadline-exceeded"
    # The work has ended, not only the waiting for it.
    until_idle(small, 1.0)
    done = httpx.post(
        f"{small.url}/v1/analyses", content=json_bytes(), headers=JSON, timeout=PATIENCE
    )
    assert done.status_code == 200


def test_a_client_may_allow_less_time(server: Server) -> None:
    began = time.monotonic()
    answer = heavy(server, headers={"Ccdm-Timeout": "0.7"})
    assert answer.status_code == 504, answer.text
    assert "within 0.7 seconds" in answer.json()["detail"]
    # The service's own deadline is five minutes away.
    assert time.monotonic() - began < PATIENCE / 2
    until_idle(server, 1.0)


def test_a_client_cannot_have_more_time_than_there_is(small: Server) -> None:
    answer = heavy(small, headers={"Ccdm-Timeout": "1000"})
    assert answer.status_code == 504
    assert "within 2 seconds" in answer.json()["detail"]


def connected(server: Server) -> socket.socket:
    """A plain connection."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), PATIENCE)


def first_line(server: Server, request: bytes) -> bytes:
    """Send raw bytes, and read the beginning of the answer."""
    with connected(server) as connection:
        connection.sendall(request)
        return connection.recv(4096).partition(b"\r\n")[0]


def test_memory_is_bounded_by_estimate(http: httpx.Client) -> None:
    content_type, body = encode_body(ensemble(2, 20_000, 15_000), {})
    answer = http.post(
        "/v1/analyses", content=body, headers={"Content-Type": content_type}
    )
    assert answer.status_code == 413, answer.text
    assert answer.json()["limit_name"] == "max_memory_bytes"


async def test_memory_is_bounded_in_fact() -> None:
    limit = 64 * MIB
    settings = Settings(max_memory_bytes=limit, store_url="sqlite:///unused")
    workers = compute.Compute(settings)
    await workers.in_process(compute.warm_up, limit)
    beyond = limit + compute.WORKER_BASE_BYTES
    with pytest.raises(TooLargeError, match="more of memory"):
        await workers.in_process(bytearray, beyond)
    # The worker has survived it, and works on.
    assert await workers.in_process(len, b"123") == 3
