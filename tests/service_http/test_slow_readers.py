"""Answers that are taken slowly: bounded in time and in memory."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from service.media.bodies import encode_body
from tests.service_http.bodies import JSON, ensemble, json_bytes
from tests.service_http.test_limits import connected
from tests.support.servers import PATIENCE, Server, serving

pytestmark = pytest.mark.alone

MIB = 1 << 20
# 24 MB of samples.
SIZES = {"state_dim": 3000, "measurement_dim": 1}
ANSWER = 1000 * 3000 * 8


def large_cycle(server: Server) -> str:
    """The address of an analysis of 24 MB."""
    made = httpx.post(f"{server.url}/v1/sessions", json=SIZES, timeout=PATIENCE)
    path = made.headers["location"] + "/cycles/1"
    options = {"n_samples": 1000, "sampler": "exact"}
    kind, body = encode_body(ensemble(50, 3000, 1), {"options": options})
    put = httpx.put(
        server.url + path,
        content=body,
        headers={"Content-Type": kind, "Prefer": "return=minimal"},
        timeout=PATIENCE,
    )
    assert put.status_code == 201, put.text
    return path + "/analysis"


def asking(server: Server, path: str) -> socket.socket:
    """A connection on which the answer has begun."""
    connection = connected(server)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-npy"
    connection.sendall(f"{head}\r\n\r\n".encode())
    assert connection.recv(64).startswith(b"HTTP/1.1 200")
    return connection


def taken(connection: socket.socket, most: int) -> int:
    """Bytes that come until there are so many, or until it was cut."""
    total = 0
    try:
        while total < most and (piece := connection.recv(MIB)):
            total += len(piece)
    except ConnectionError:
        pass
    return total


def waiting(server: Server) -> float:
    """Bytes of answers that the service says are waiting."""
    text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
    (line,) = [x for x in text.splitlines() if x.startswith("ccdm_answers_held_bytes ")]
    return float(line.split()[1])


@pytest.mark.slow
def test_whoever_takes_an_answer_slowly_is_cut_and_in_nobodys_way(
    tmp_path: Path,
) -> None:
    settings = {"STALL_SECONDS": "20", "ANSWER_SECONDS": "4"}
    with serving(tmp_path, MAX_HELD_BYTES=str(80 * MIB), **settings) as server:
        path = large_cycle(server)
        npy = {"Accept": "application/x-npy"}
        whole = httpx.get(server.url + path, headers=npy, timeout=PATIENCE)
        assert len(whole.content) > ANSWER
        began = time.monotonic()
        slow = asking(server, path)
        assert waiting(server) > ANSWER / 2
        # Another one would be more than half of the 80 MiB.
        again = httpx.get(server.url + path, headers=npy, timeout=PATIENCE)
        assert again.status_code == 503 and again.headers["retry-after"] == "1"
        assert again.json()["type"] == "/problems/too-busy"
        # Whoever has little to take, or much to send, is served.
        analyses = f"{server.url}/v1/analyses"
        body = json_bytes()
        for content in (body, body + b" " * MIB):
            done = httpx.post(analyses, content=content, headers=JSON, timeout=PATIENCE)
            assert done.status_code == 200, done.text
        # It takes a little all the time, and is cut all the same.
        while waiting(server):
            assert time.monotonic() < began + 15
            assert slow.recv(4096)
            time.sleep(0.05)
        assert time.monotonic() > began + 3.5
        assert taken(slow, ANSWER) < ANSWER
        slow.close()
        assert httpx.get(server.url + path, timeout=PATIENCE).status_code == 200


@pytest.mark.slow
def test_slow_but_steady_is_not_taken_for_a_stall(tmp_path: Path) -> None:
    with serving(tmp_path, STALL_SECONDS="1") as server:
        slow = asking(server, large_cycle(server))
        # A quarter of the answer at 1 MB a second, then the rest.
        for _ in range(60):
            assert slow.recv(100_000)
            time.sleep(0.1)
        assert taken(slow, ANSWER // 2) >= ANSWER // 2
        slow.close()
