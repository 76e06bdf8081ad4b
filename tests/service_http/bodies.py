"""Small requests that are right, to be spoilt one way at a time."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import orjson

from service.media.multipart import encode_multipart
from service.media.npy import encode_npy

JSON = {"Content-Type": "application/json"}
STATES = [[0.9, 1.2], [1.4, 0.7], [2.1, 0.3], [0.2, 1.6], [1.1, 1.0]]
SIMULATED = [[1.0], [1.3], [2.2], [0.1], [1.2]]
OBSERVATION = [1.5]
MEMBERS, DX, DY = 5, 2, 1


def content(**changes: Any) -> dict[str, Any]:
    """The JSON body of an analysis or a cycle; ``...`` leaves a member out."""
    body = {
        "forecast_states": STATES,
        "simulated_measurements": SIMULATED,
        "observation": OBSERVATION,
    }
    return {k: v for k, v in {**body, **changes}.items() if v is not ...}


def json_bytes(**changes: Any) -> bytes:
    """The same as bytes."""
    return orjson.dumps(content(**changes))


def parts(**changes: bytes | None) -> list[tuple[str, str, bytes]]:
    """Parts of the multipart body; ``None`` leaves one out."""
    made: dict[str, bytes | None] = {
        "forecast_states": encode_npy(STATES),
        "simulated_measurements": encode_npy(SIMULATED),
        "observation": encode_npy(OBSERVATION),
        **changes,
    }
    return [
        (name, "application/octet-stream", value)
        for name, value in made.items()
        if value is not None
    ]


def form(**changes: bytes | None) -> tuple[dict[str, str], bytes]:
    """Headers and body of a multipart request."""
    content_type, body = encode_multipart(parts(**changes))
    return {"Content-Type": content_type}, body


def new_session(http: httpx.Client, **changes: Any) -> str:
    """The id of a new session that fits these bodies."""
    fields = {"state_dim": DX, "measurement_dim": DY, "seed": 7, **changes}
    answer = http.post("/v1/sessions", json=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ensemble(
    members: int, dx: int, dy: int, seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """A linear-Gaussian ensemble of any size."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((members, dx))
    simulated = states[:, :dy] + 0.1 * rng.standard_normal((members, dy))
    return {
        "forecast_states": states,
        "simulated_measurements": simulated,
        "observation": 0.5 * rng.standard_normal(dy),
    }
