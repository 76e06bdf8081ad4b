"""Whatever is sent to a façade, its answer has the neighbour's shape and no 500."""

from __future__ import annotations

import json
import random
from typing import Any

import httpx
import pytest

ODD = (
    *(None, True, False, 0, -1, 1, 2, 2.0, 16.0, 1e308, 10**30, "", "1", "FP64"),
    *([], [[]], [1], [1, 2], [[1, 2], [3, 4]], [None], ["x"], {}, {"seed": 1}),
)
CALL = {
    "name": "ccdm-analysis",
    "config": {"n": 2, "dx": 1, "dy": 1, "seed": 1, "options": {"n_samples": 2}},
    "input": [[1.0, 2.0], [1.0, 2.0], [1.0]],
}
INFERENCE = {
    "id": "a",
    "inputs": [
        {
            "name": name,
            "datatype": "FP64",
            "shape": shape,
            "data": data,
            "parameters": {"binary_data_size": None},
        }
        for name, shape, data in (
            ("forecast_states", [2, 1], [1.0, 2.0]),
            ("simulated_measurements", [2, 1], [1.0, 2.0]),
            ("observation", [1], [1.5]),
        )
    ],
    "outputs": [{"name": "analysis_samples", "parameters": {"binary_data": False}}],
    "parameters": {"seed": 1, "binary_data_output": False},
}


def changed(rng: random.Random, content: Any) -> Any:
    """A copy with one thing in it, anywhere, replaced by something odd."""
    root = json.loads(json.dumps(content))
    node = root
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if not isinstance(node[key], (dict, list)) or rng.random() < 0.3:
            node[key] = rng.choice(ODD)
            return root
        node = node[key]


@pytest.mark.slow
def test_odd_requests_are_told_so_in_the_neighbours_shape(http: httpx.Client) -> None:
    rng = random.Random(1)
    refused = 0
    for _ in range(60):
        first = http.post("/umbridge/Evaluate", json=changed(rng, CALL))
        second = http.post("/v2/models/ccdm/infer", json=changed(rng, INFERENCE))
        for answer in (first, second):
            assert answer.status_code in (200, 400, 413, 422), answer.request.content
            refused += answer.status_code != 200
        if first.status_code != 200:
            assert set(first.json()["error"]) == {"type", "message"}
        if second.status_code != 200:
            assert isinstance(second.json()["error"], str)
    assert refused > 40


def test_unaltered_they_are_answered(http: httpx.Client) -> None:
    assert http.post("/umbridge/Evaluate", json=CALL).status_code == 200
    assert http.post("/v2/models/ccdm/infer", json=INFERENCE).status_code == 200
