"""Work that takes longer than anybody waits, and watching it end."""

from __future__ import annotations

import re
import time

import httpx

from service.media.bodies import encode_body
from tests.service_http.bodies import ensemble
from tests.support.servers import PATIENCE, Server

# About a minute of work: no member is left out, and the sampler takes small steps.
HEAVY = encode_body(
    ensemble(2000, 40, 2),
    {
        "options": {
            "sampler": "rk45",
            "preconditioner": "none",
            "scaling": "none",
            "shrink": False,
            "state_bandwidth": 0.05,
            "measurement_bandwidth": 1e6,
            "max_bandwidth": 20.0,
            "n_samples": 20_000,
        }
    },
)


def heavy(
    server: Server, timeout: float = PATIENCE, headers: dict[str, str] | None = None
) -> httpx.Response:
    """An analysis that takes longer than anybody waits."""
    return httpx.post(
        f"{server.url}/v1/analyses",
        content=HEAVY[1],
        headers={"Content-Type": HEAVY[0], **(headers or {})},
        timeout=timeout,
    )


def workers(server: Server) -> str:
    """How busy the workers are."""
    checks = httpx.get(f"{server.url}/readyz", timeout=PATIENCE).json()["checks"]
    return str(checks[1]["detail"])


def until_idle(server: Server, seconds: float) -> None:
    """Wait until nothing runs any more."""
    end = time.monotonic() + seconds
    while not re.match(r"0 of \d+ running, 0 of", workers(server)):
        assert time.monotonic() < end, workers(server)
        time.sleep(0.02)
