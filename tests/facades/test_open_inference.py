"""Triton's own client gets the service's own samples, in JSON and in binary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton

from tests.facades.conftest import OPTIONS, SEED, Array
from tests.support.servers import Server

NAMES = ("forecast_states", "simulated_measurements", "observation")
PARAMETERS = {"seed": SEED, "options": json.dumps(OPTIONS)}
Three = tuple[Array, Array, Array]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    """The neighbour's client."""
    connected = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield connected
    connected.close()


def inputs(arrays: Three, *, binary: bool, dtype: str = "FP64") -> list[Any]:
    """The arrays as the client sends them."""
    found = []
    for name, array in zip(NAMES, arrays, strict=True):
        tensor = triton.InferInput(name, list(array.shape), dtype)
        kind = {"FP64": np.float64, "FP32": np.float32}[dtype]
        tensor.set_data_from_numpy(array.astype(kind), binary_data=binary)
        found.append(tensor)
    return found


def test_the_client_finds_the_server_and_the_model(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("ccdm")
    assert client.is_model_ready("ccdm", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("ccdm")
    assert [tensor["name"] for tensor in metadata["inputs"]] == list(NAMES)
    assert metadata["outputs"][0]["datatype"] == "FP64"


@pytest.mark.parametrize("sent", [True, False], ids=["binary-in", "json-in"])
@pytest.mark.parametrize("wanted", [True, False, None], ids=["bin", "json", "unsaid"])
def test_the_client_gets_the_same_samples(
    client: Any, arrays: Three, samples: Array, sent: bool, wanted: bool | None
) -> None:
    name = "analysis_samples"
    outputs = None
    if wanted is not None:
        outputs = [triton.InferRequestedOutput(name, binary_data=wanted)]
    result = client.infer(
        "ccdm",
        inputs(arrays, binary=sent),
        outputs=outputs,
        request_id="mine",
        parameters=PARAMETERS,
    )
    np.testing.assert_array_equal(result.as_numpy(name), samples)
    response = result.get_response()
    assert (response["id"], response["parameters"]["seed"]) == ("mine", SEED)


def test_single_precision_and_missing_observations(client: Any, arrays: Three) -> None:
    states, simulated, observation = arrays
    unseen = np.full_like(observation, np.nan)
    result = client.infer(
        "ccdm",
        inputs((states, simulated, unseen), binary=True, dtype="FP32"),
        parameters=PARAMETERS,
    )
    # Nothing observed: the forecast comes back, as it was sent.
    np.testing.assert_array_equal(
        result.as_numpy("analysis_samples"), states.astype(np.float32)
    )


def test_errors_have_the_neighbours_shape(client: Any, arrays: Three) -> None:
    with pytest.raises(triton.InferenceServerException, match="missing observation"):
        client.infer("ccdm", inputs(arrays, binary=True)[:2])
    with pytest.raises(triton.InferenceServerException, match="one model"):
        client.infer("other", inputs(arrays, binary=True))
    wrong = {"seed": 1, "options": '{"sampler": "none"}'}
    with pytest.raises(triton.InferenceServerException, match="sampler"):
        client.infer("ccdm", inputs(arrays, binary=False), parameters=wrong)
    other = [triton.InferRequestedOutput("diagnostics")]
    with pytest.raises(triton.InferenceServerException, match="outputs"):
        client.infer("ccdm", inputs(arrays, binary=True), outputs=other)


def tensor(**changes: Any) -> dict[str, Any]:
    """One input in JSON, changed."""
    good = {"name": "observation", "datatype": "FP64", "shape": [2], "data": [1, 2]}
    return {**good, **changes}


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (b"[]", None),
        (b"{}", "99"),
        (b"{}", "-1"),
        (b"{}", "1e3"),
        (json.dumps({"inputs": {}}).encode(), None),
        (json.dumps({"inputs": [tensor(shape=[3])]}).encode(), None),
        (json.dumps({"inputs": [tensor(shape=[-2])]}).encode(), None),
        (json.dumps({"inputs": [tensor(shape=[1, 1, 2])]}).encode(), None),
        (json.dumps({"inputs": [tensor(datatype="BYTES")]}).encode(), None),
        (json.dumps({"inputs": [tensor(), tensor()]}).encode(), None),
        (
            json.dumps(
                {"inputs": [tensor(parameters={"binary_data_size": 10**12})]}
            ).encode(),
            None,
        ),
        *(
            (whole + bytes(16), str(len(whole)))
            for size in (16.0, "16", [16])
            for whole in [
                json.dumps(
                    {"inputs": [tensor(parameters={"binary_data_size": size})]}
                ).encode()
            ]
        ),
    ],
)
def test_what_is_no_request_is_refused(
    http: httpx.Client, content: bytes, header: str | None
) -> None:
    headers = {} if header is None else {"Inference-Header-Content-Length": header}
    answer = http.post("/v2/models/ccdm/infer", content=content, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()) == {"error"}
