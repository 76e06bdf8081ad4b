"""Small ensembles that come one by one, and ears for events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from service.media.bodies import encode_body

Array = npt.NDArray[np.float64]
MEMBERS, DX, DY = 6, 3, 2
OBSERVATION = [0.4, -0.2]
# Bandwidths that are given need no search, which keeps these tests quick.
FIXED = {"state_bandwidth": 0.3, "measurement_bandwidth": 0.5, "sampler": "exact"}


def ensemble(seed: int = 0, members: int = MEMBERS) -> tuple[Array, Array]:
    """States ``(N, dx)`` and simulated measurements ``(N, dy)``."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, DX))
    return states, states[:, :DY] + 0.3 * rng.standard_normal((members, DY))


def new_session(http: httpx.Client, **fields: Any) -> str:
    """Address of a new session that fits these ensembles."""
    content = {"state_dim": DX, "measurement_dim": DY, "seed": 7, "options": FIXED}
    answer = http.post("/v1/sessions", json={**content, **fields})
    assert answer.status_code == 201, answer.text
    return f"/v1/sessions/{answer.json()['id']}"


def put_member(
    http: httpx.Client, path: str, k: int, i: int, state: Any, simulated: Any
) -> httpx.Response:
    """PUT one member in JSON; NaN goes as null."""

    def plain(row: Any) -> list[float | None]:
        return [None if np.isnan(x) else float(x) for x in row]

    content = {
        "forecast_state": plain(state),
        "simulated_measurement": plain(simulated),
    }
    return http.put(f"{path}/cycles/{k}/members/{i}", json=content)


def put_member_npy(
    http: httpx.Client, path: str, k: int, i: int, state: Array, simulated: Array
) -> httpx.Response:
    """PUT one member as npy parts."""
    arrays = {"forecast_state": state, "simulated_measurement": simulated}
    content_type, body = encode_body(arrays, {})
    headers = {"Content-Type": content_type}
    return http.put(f"{path}/cycles/{k}/members/{i}", content=body, headers=headers)


def observe(http: httpx.Client, path: str, k: int, **fields: Any) -> httpx.Response:
    """PUT a cycle with only its observation."""
    wait = fields.pop("wait", None)
    query = {} if wait is None else {"wait": wait}
    content = {"observation": OBSERVATION, **fields}
    return http.put(f"{path}/cycles/{k}", json=content, params=query)


class Ear:
    """Listens to a session in a thread of its own.

    Attributes:
        events: ``(name, id, data)`` in order; comments are counted in ``quiet``.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.events: list[tuple[str, str | None, Any]] = []
        self.quiet = 0
        self.ended = threading.Event()
        self.changed = threading.Condition()
        self._response = response
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self._response.iter_lines():
                with self.changed:
                    if line.startswith(":"):
                        self.quiet += 1
                    elif line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif "event" in fields:
                        self.events.append(_event(fields))
                        fields = {}
                    self.changed.notify_all()
        except (httpx.HTTPError, httpx.StreamError):
            pass
        self.ended.set()

    def names(self) -> list[str]:
        """Names of the events so far."""
        return [name for name, _, _ in self.events]

    def wait_for(self, name: str, count: int = 1, patience: float = 30.0) -> None:
        """Wait until so many events of a name have come."""
        with self.changed:
            done = self.changed.wait_for(
                lambda: self.names().count(name) >= count, patience
            )
        assert done, f"no {name!r} ({count}) among {self.names()}"

    def last_id(self) -> str:
        """Id of the last event that has one."""
        return [at for _, at, _ in self.events if at][-1]


def _event(fields: dict[str, str]) -> tuple[str, str | None, Any]:
    return fields["event"], fields.get("id"), json.loads(fields["data"])


@contextmanager
def listening(http: httpx.Client, path: str, **asked: Any) -> Iterator[Ear]:
    """Follow a session for the length of a block."""
    with http.stream("GET", f"{path}/events", **asked) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Ear(response)


def eventually(found: Any, patience: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + patience
    while not found():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
