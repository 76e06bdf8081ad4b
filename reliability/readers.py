"""Attacks by reading: answers asked for, and taken a byte at a time, or not at all."""

from __future__ import annotations

import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress

import numpy as np

from reliability.documents import post
from reliability.raw import HELD, connect, end_of, ended, message, status_of
from service.media.bodies import encode_body

STATES, SAMPLES = 1000, 1000
_SESSION = b'{"state_dim": %d, "measurement_dim": 1}' % STATES
# Longer than a service under attack waits for its readers.
SECONDS = 8.0


def slow_readers(port: int, times: int) -> Counter[int]:
    """Answers of 8 MB that are read a byte at a time, eight at once"""
    request = message("POST", "/v1/analyses", *_asked(SAMPLES, seed=1))
    found: Counter[int] = Counter()
    for _ in range(times):
        with ExitStack() as stack:
            readers = [stack.enter_context(connect(port)) for _ in range(8)]
            for reader in readers:
                reader.sendall(request)
            statuses = [status_of(reader.recv(64)) for reader in readers]
            _sip(readers)
            _finish(readers, statuses, 8 * STATES * SAMPLES, found)
    return found


def unread_replays(port: int, times: int) -> Counter[int]:
    """A cycle's answer of 16 MB, asked for again by 60 clients that read nothing"""
    made, session = post(port, "/v1/sessions", _SESSION)
    found = Counter([made])
    headers, body = _asked(2 * SAMPLES)
    path = f"{session}/cycles/1"
    first = message("PUT", path, {**headers, "Prefer": "return=minimal"}, body)
    found[ended(port, first)] += 1
    request = message("PUT", path, headers, body)
    for _ in range(times):
        with ExitStack() as stack:
            readers = [stack.enter_context(connect(port)) for _ in range(60)]
            for reader in readers:
                with suppress(OSError):
                    reader.sendall(request)
            time.sleep(SECONDS)
            end = time.monotonic() + HELD
            statuses = [end_of(reader, end, 64) for reader in readers]
            _finish(readers, statuses, 16 * STATES * SAMPLES, found)
    return found


def _asked(samples: int, **others: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of a long answer's request."""
    arrays = {
        "forecast_states": np.random.default_rng(1).standard_normal((20, STATES)),
        "simulated_measurements": np.arange(20.0)[:, None],
        "observation": np.array([7.5]),
    }
    options = {"n_samples": samples, "sampler": "exact"}
    kind, body = encode_body(arrays, {"options": options, **others})
    headers = {"Host": "127.0.0.1", "Accept": "application/octet-stream"}
    return headers | {"Content-Type": kind}, body


def _sip(readers: list[socket.socket]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for reader in readers:
            reader.settimeout(0.05)
            with suppress(OSError):
                reader.recv(1)
        time.sleep(0.1)


def _finish(
    readers: list[socket.socket], statuses: list[int], size: int, found: Counter[int]
) -> None:
    """Count each; one that gets the whole, or does not end, was left open."""
    for status, reader in zip(statuses, readers, strict=True):
        total, closed = _rest(reader) if status == 200 else (0, True)
        found[status if closed and total < size else -1] += 1


def _rest(reader: socket.socket) -> tuple[int, bool]:
    """Bytes that are still to be had, and whether they ended."""
    total = 0
    reader.settimeout(5.0)
    try:
        while piece := reader.recv(1 << 20):
            total += len(piece)
    except TimeoutError:
        return total, False
    except OSError:
        pass
    return total, True
