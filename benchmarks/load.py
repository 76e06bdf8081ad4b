"""Requests to a service, and how long they took. One kept-alive connection per client.

The clients share the machine with what they measure, so they do as little as they can:
bytes prepared beforehand over a plain socket, of the answer the status, the length and
``Server-Timing``. What they spend themselves is told beside what the service spends.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import orjson

from benchmarks.problems import Problem
from service.media.multipart import encode_multipart
from service.media.npy import encode_npy

NAMES = ("forecast_states", "simulated_measurements", "observation")
PATIENCE = 120.0
# Larger bodies are sent after the head, not copied behind it.
COPIED = 2**16
RECEIVED = 2**20
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TIMING = re.compile(rb"\r\nserver-timing: *([^\r]*)", re.IGNORECASE)
_STAGE = re.compile(rb"(\w+);dur=([\d.]+)")


@dataclass(slots=True)
class Times:
    """Seconds of each request, and the stages that the service itself reports."""

    total: list[float] = field(default_factory=list)
    # As they came: reading them has time when nothing is measured any more.
    told: list[bytes] = field(default_factory=list)

    def add(self, seconds: float, server_timing: bytes) -> None:
        """One answered request."""
        self.total.append(seconds)
        self.told.append(server_timing)

    def percentiles(self) -> tuple[float, float, float]:
        """p50, p95, p99 in milliseconds."""
        p50, p95, p99 = 1e3 * np.percentile(self.total, [50, 95, 99])
        return float(p50), float(p95), float(p99)

    def stage(self, name: str) -> float:
        """Median milliseconds of one stage."""
        return float(np.median(self._of(name)))

    def beside(self, name: str) -> float:
        """Median milliseconds of everything but one stage, request by request."""
        return float(np.median(1e3 * np.array(self.total) - self._of(name)))

    def _of(self, name: str) -> np.ndarray:
        """Milliseconds of one stage of each request; 0 where there was none."""
        wanted = name.encode()
        stages = (dict(_STAGE.findall(told)) for told in self.told)
        return np.array([float(found.get(wanted, 0.0)) for found in stages])


class Request(NamedTuple):
    """What is sent, ready but for the path."""

    method: str
    head: bytes
    body: bytes


def prepared(method: str, body: bytes = b"", **headers: str) -> Request:
    """A request whose headers, named with ``_`` for ``-``, are made once."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Request(method, f"{lines}\r\n".encode(), body)


class Client:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname and place.port
        self._link = socket.create_connection((place.hostname, place.port), PATIENCE)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f" HTTP/1.1\r\nHost: {place.netloc}\r\n"
        self._buffer = bytearray(RECEIVED)
        self.times = Times()

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """One request; anything but success ends the measurement."""
        return self._exchange(prepared(method, body, **headers), path, keep=True)

    def send(self, request: Request, path: str) -> None:
        """One prepared request, of whose answer only the length is looked at."""
        self._exchange(request, path, keep=False)

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    def _exchange(self, request: Request, path: str, keep: bool) -> tuple[int, bytes]:
        start = time.perf_counter()
        head = f"{request.method} {path}{self._host}".encode() + request.head
        if len(request.body) <= COPIED:
            self._link.sendall(head + request.body)
        else:
            self._link.sendall(head)
            self._link.sendall(request.body)
        head, rest, length = self._head()
        content = self._body(rest, length, keep)
        seconds = time.perf_counter() - start
        status = int(head[9:12])
        if status >= 300:
            raise RuntimeError(f"{request.method} {path}: {status} {content[:500]!r}")
        told = _TIMING.search(head)
        self.times.add(seconds, told[1] if told else b"")
        return status, content

    def _head(self) -> tuple[bytes, bytes, int]:
        """Head of the answer, what came with it of the body, and the body's length."""
        found = b""
        while b"\r\n\r\n" not in found:
            count = self._link.recv_into(self._buffer)
            if not count:
                raise RuntimeError("the service closed the connection")
            found += self._buffer[:count]
        head, _, rest = found.partition(b"\r\n\r\n")
        told = _LENGTH.search(head)
        if told is None:
            raise RuntimeError("the answer does not tell its length")
        return head, rest, int(told[1])

    def _body(self, rest: bytes, length: int, keep: bool) -> bytes:
        # Of a refusal the text is wanted in any case; it comes with the head.
        content = bytearray(rest)
        left = length - len(rest)
        while left > 0:
            count = self._link.recv_into(self._buffer, min(left, RECEIVED))
            if not count:
                raise RuntimeError("the service closed the connection")
            if keep:
                content += self._buffer[:count]
            left -= count
        return bytes(content)


def body_of(of: Problem, form: str, options: dict[str, object]) -> tuple[str, bytes]:
    """Content type and bytes of the three arrays with options and a seed.

    Args:
        of: the arrays.
        form: ``"json"``, or anything else for npy parts.
        options: of the analysis.
    """
    arrays = dict(zip(NAMES, (of.states, of.simulated, of.observation), strict=True))
    params: dict[str, object] = {"options": options} if options else {}
    if form == "json":
        whole = {**arrays, **params}
        return "application/json", orjson.dumps(
            whole, option=orjson.OPT_SERIALIZE_NUMPY
        )
    parts = [
        (name, "application/octet-stream", encode_npy(array))
        for name, array in arrays.items()
    ]
    return encode_multipart(
        [*parts, ("params", "application/json", orjson.dumps(params))]
    )


class Crowd(NamedTuple):
    """What clients met who asked at the same time.

    Attributes:
        times: of all of them together.
        rate: answers per second.
        spent: processor seconds of this process meanwhile, all clients together.
    """

    times: Times
    rate: float
    spent: float


def at_once(
    clients: list[Client],
    seconds: float,
    work: Callable[[Client, int], None],
    fewest: int = 1,
) -> Crowd:
    """Clients that are each as fast as they can for so long.

    Args:
        clients: whose times start anew.
        seconds: after which nobody asks again.
        work: what one does, given its place among them.
        fewest: times that each does it, however long that takes.
    """
    for client in clients:
        client.times = Times()
    end = time.perf_counter() + seconds
    failures: list[BaseException] = []

    def run(place: int) -> None:
        done, client = 0, clients[place]
        try:
            while done < fewest or time.perf_counter() < end:
                work(client, place)
                done += 1
        except BaseException as error:  # told below, by the thread that waits
            failures.append(error)

    begin, before = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, spent = time.perf_counter() - begin, time.process_time() - before
    if failures:
        raise failures[0]
    whole = Times()
    for client in clients:
        whole.total += client.times.total
        whole.told += client.times.told
    return Crowd(whole, len(whole.total) / took, spent)
