"""Input that means harm costs its sender, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from reliability import attacks, raw
from reliability.hostile import OTHERS_MS, Hostile, run_hostile

CHOSEN = (
    attacks.npy_bombs,
    attacks.npy_headers,
    attacks.zip_bombs,
    attacks.lying_lengths,
    attacks.slow_heads,
    attacks.tiny_parts,
    attacks.deep_json,
    attacks.long_strings,
    attacks.long_numbers,
    attacks.huge_shapes,
    attacks.header_floods,
    attacks.duplicate_headers,
    attacks.path_tricks,
    attacks.slow_readers,
)
# "Made" must not be among the answers to an attack, and nothing may stay open.
NEVER = {-1, 201}


@pytest.mark.slow
def test_memory_is_bounded_and_everybody_else_is_served(tmp_path: Path) -> None:
    rows = run_hostile(tmp_path, 1, CHOSEN, seconds=1.0)
    assert len(rows) == len(CHOSEN)
    for row in rows:
        assert row.withstood, row
        assert not NEVER & row.answers.keys(), row


def test_what_was_not_withstood_is_seen() -> None:
    good = Hostile("", {422: 3, 503: 1, 0: 1}, 100.0, 100.0, 200.0, others=3)
    assert good.withstood
    for bad in (
        replace(good, service_mb=400.0),
        replace(good, worker_mb=2000.0),
        replace(good, failed=1),
        replace(good, others=0),
        replace(good, answers={500: 1}),
        replace(good, answers={422: 3, -1: 1}),
        replace(good, answers={}),
        replace(good, slowest_ms=OTHERS_MS + 1),
        replace(good, livez_ms=OTHERS_MS + 1),
    ):
        assert not bad.withstood


@pytest.fixture
def listening() -> Iterator[Callable[[bytes | None], int]]:
    """A port whose connections get some bytes and are closed, or stay open."""
    with ExitStack() as stack:

        def opened(answer: bytes | None) -> int:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                for _ in range(3):
                    connection = stack.enter_context(server.accept()[0])
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()

            Thread(target=serve, daemon=True).start()
            port: int = server.getsockname()[1]
            return port

        yield opened


@pytest.mark.parametrize(
    ("answer", "status"),
    [(None, -1), (b"", 0), (b"HTTP/1.1 408 Request Timeout\r\n\r\n", 408)],
)
def test_closed_is_told_from_left_open(
    listening: Callable[[bytes | None], int], answer: bytes | None, status: int
) -> None:
    port = listening(answer)
    assert raw.held(port, [b""], 0.2) == {status: 1}
    assert raw.dripping(port, b"G", 1, 0.4) == {status: 1}
    assert raw.ended(port, b"", 0.2) == status
