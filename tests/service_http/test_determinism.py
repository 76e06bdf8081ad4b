"""The same call by Python, JSON and npy gives the same bytes."""

from __future__ import annotations

import httpx
import numpy as np
import orjson
import pytest
import threadpoolctl

from ccdm_engine import AnalysisOptions, assimilate
from service import compute
from service.compute import estimates
from service.media.answers import decode_answer
from service.media.bodies import encode_body
from service.media.types import ARRAY_ANSWERS
from tests.service_http.bodies import JSON, ensemble

FIXED = {"state_bandwidth": 0.4, "measurement_bandwidth": 0.5, "max_bandwidth": 5.0}
CASES = {
    "auto": (60, 3, 1, {}),
    "ode, fixed": (80, 3, 2, {"preconditioner": "none", "shrink": False, **FIXED}),
    "sde": (50, 2, 1, {"sampler": "sde", "preconditioner": "linear", **FIXED}),
    "whitened exact": (60, 3, 1, {"sampler": "exact", "scaling": "whiten", **FIXED}),
    # Large enough to run in a worker process.
    "auto in a worker": (1200, 4, 2, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes_by_every_way(http: httpx.Client, case: str) -> None:
    members, dx, dy, options = CASES[case]
    arrays = ensemble(members, dx, dy)
    with threadpoolctl.threadpool_limits(1):
        expected = assimilate(
            *arrays.values(), options=AnalysisOptions.from_dict(options), seed=11
        ).samples.tobytes()
    params = {"options": options, "seed": 11}
    as_json = orjson.dumps({**arrays, **params}, option=orjson.OPT_SERIALIZE_NUMPY)
    content_type, as_npy = encode_body(arrays, params)
    for headers, body in ((JSON, as_json), ({"Content-Type": content_type}, as_npy)):
        for accept in ARRAY_ANSWERS:
            answer = http.post(
                "/v1/analyses", content=body, headers={**headers, "Accept": accept}
            )
            assert answer.status_code == 200, answer.text
            samples = decode_answer(
                answer.headers["content-type"],
                answer.content,
                answer.headers,
                "analysis_samples",
            )
            assert samples.tobytes() == expected


def test_the_last_case_does_run_in_a_worker() -> None:
    seconds = [
        estimates.estimated_seconds(
            np.empty((members, dx)), np.empty((members, dy)), options
        )
        for members, dx, dy, options in CASES.values()
    ]
    assert max(seconds[:-1]) < compute.SMALL_SECONDS <= seconds[-1]


def test_column_major_and_float32_arrays_are_the_same_numbers(
    http: httpx.Client,
) -> None:
    arrays = {
        name: value.astype(np.float32) for name, value in ensemble(20, 3, 2).items()
    }
    answers = set()
    for change in (np.ascontiguousarray, np.asfortranarray):
        content_type, body = encode_body(
            {name: change(value) for name, value in arrays.items()}, {"seed": 1}
        )
        headers = {"Content-Type": content_type, "Accept": "application/x-npy"}
        answers.add(http.post("/v1/analyses", content=body, headers=headers).content)
    assert len(answers) == 1


def test_without_a_seed_one_is_drawn_and_told(http: httpx.Client) -> None:
    arrays = {name: value.tolist() for name, value in ensemble(20, 2, 1).items()}
    first = http.post("/v1/analyses", json=arrays).json()
    second = http.post("/v1/analyses", json=arrays).json()
    assert first["diagnostics"]["seed"] != second["diagnostics"]["seed"]
    seed = first["diagnostics"]["seed"]
    again = http.post("/v1/analyses", json={**arrays, "seed": seed}).json()
    assert again == first
