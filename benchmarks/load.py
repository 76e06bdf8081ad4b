"""Requests to a service, and how long they took. One connection per client."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.problems import Problem
from service.media.multipart import encode_multipart
from service.media.npy import encode_npy

NAMES = ("forecast_states", "simulated_measurements", "observation")


@dataclass(slots=True)
class Times:
    """Seconds of each request, and the stages that the service itself reports."""

    total: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)

    def add(self, seconds: float, server_timing: str | None) -> None:
        """One answered request."""
        self.total.append(seconds)
        stages = (server_timing or "").split(",")
        parts = (stage.strip().split(";dur=") for stage in stages)
        self.stages.append({p[0]: float(p[1]) / 1e3 for p in parts if len(p) == 2})

    def percentiles(self) -> tuple[float, float, float]:
        """p50, p95, p99 in milliseconds."""
        p50, p95, p99 = 1e3 * np.percentile(self.total, [50, 95, 99])
        return float(p50), float(p95), float(p99)

    def stage(self, name: str) -> float:
        """Median milliseconds of one stage."""
        return 1e3 * float(np.median([stages.get(name, 0.0) for stages in self.stages]))

    def beside(self, name: str) -> float:
        """Median milliseconds of everything but one stage."""
        pairs = zip(self.total, self.stages, strict=True)
        rest = [total - stages.get(name, 0.0) for total, stages in pairs]
        return 1e3 * float(np.median(rest))


class Client:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        self._link = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self.times = Times()

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        """One request; anything but success ends the measurement."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        start = time.perf_counter()
        self._link.request(method, path, body, named)
        answer = self._link.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - start
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:500]!r}")
        self.times.add(seconds, answer.getheader("Server-Timing"))
        return answer.status, content


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


def at_once(
    url: str, clients: int, seconds: float, work: Callable[[Client, int], None]
) -> tuple[Times, float]:
    """So many clients, each as fast as it can for so long.

    Returns:
        Their times together, and answers per second.
    """
    links = [Client(url) for _ in range(clients)]
    end = time.perf_counter() + seconds
    failures: list[BaseException] = []

    def run(place: int) -> None:
        try:
            while time.perf_counter() < end:
                work(links[place], place)
        except BaseException as error:  # told below, by the thread that waits
            failures.append(error)

    begin = time.perf_counter()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    if failures:
        raise failures[0]
    whole = Times()
    for link in links:
        whole.total += link.times.total
        whole.stages += link.times.stages
    return whole, len(whole.total) / took


def floats(array: npt.NDArray[np.float64]) -> list[list[float]]:
    """As JSON has it."""
    return [list(map(float, row)) for row in array]
