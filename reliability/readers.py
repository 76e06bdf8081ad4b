"""An attack by reading: answers asked for, and taken a byte at a time."""

from __future__ import annotations

import socket
import time
from collections import Counter
from contextlib import ExitStack, suppress

import numpy as np

from reliability.raw import connect, message, status_of
from service.media.bodies import encode_body

STATES, SAMPLES = 1000, 1000
# Longer than a service under attack waits for its readers.
SECONDS = 8.0


def slow_readers(port: int, times: int) -> Counter[int]:
    """Answers of 8 MB that are read a byte at a time, eight at once"""
    arrays = {
        "forecast_states": np.random.default_rng(1).standard_normal((20, STATES)),
        "simulated_measurements": np.arange(20.0)[:, None],
        "observation": np.array([7.5]),
    }
    options = {"n_samples": SAMPLES, "sampler": "exact"}
    kind, body = encode_body(arrays, {"options": options, "seed": 1})
    headers = {"Host": "127.0.0.1", "Accept": "application/octet-stream"}
    request = message("POST", "/v1/analyses", headers | {"Content-Type": kind}, body)
    found: Counter[int] = Counter()
    for _ in range(times):
        with ExitStack() as stack:
            readers = [stack.enter_context(connect(port)) for _ in range(8)]
            for reader in readers:
                reader.sendall(request)
            statuses = [status_of(reader.recv(64)) for reader in readers]
            _sip(readers)
            for status, reader in zip(statuses, readers, strict=True):
                whole = status == 200 and _rest(reader) >= 8 * STATES * SAMPLES
                found[-1 if whole else status] += 1
    return found


def _sip(readers: list[socket.socket]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for reader in readers:
            reader.settimeout(0.05)
            with suppress(OSError):
                reader.recv(1)
        time.sleep(0.1)


def _rest(reader: socket.socket) -> int:
    """Bytes that are still to be had."""
    total = 0
    reader.settimeout(5.0)
    with suppress(OSError):
        while piece := reader.recv(1 << 20):
            total += len(piece)
    return total
