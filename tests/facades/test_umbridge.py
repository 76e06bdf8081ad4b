"""UM-Bridge's own client gets the service's own samples; errors keep its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import umbridge

from tests.facades.conftest import OPTIONS, SEED, Array
from tests.support.servers import Server, in_process

MODEL = "ccdm-analysis"
CONFIG = {"n": 8, "dx": 3, "dy": 2, "seed": SEED, "options": OPTIONS}
Three = tuple[Array, Array, Array]


@pytest.fixture
def model(server: Server) -> Any:
    """The model as the neighbour's client shows it."""
    return umbridge.HTTPModel(f"{server.url}/umbridge", MODEL)


def test_the_client_finds_the_model_and_what_it_can(model: Any, server: Server) -> None:
    assert umbridge.supported_models(f"{server.url}/umbridge") == [MODEL]
    assert model.supports_evaluate()
    assert not model.supports_gradient()
    assert not model.supports_apply_jacobian()
    assert not model.supports_apply_hessian()
    assert model.get_input_sizes(CONFIG) == [24, 16, 2]
    assert model.get_output_sizes(CONFIG) == [24]
    more = {**CONFIG, "options": {"n_samples": 5}}
    assert model.get_output_sizes(more) == [15]
    assert model.get_input_sizes() == [2, 2, 1]


def test_the_client_gets_the_same_samples(
    model: Any, arrays: Three, samples: Array
) -> None:
    vectors = [array.reshape(-1).tolist() for array in arrays]
    (output,) = model(vectors, CONFIG)
    np.testing.assert_array_equal(np.reshape(output, (8, 3)), samples)
    assert model(vectors, CONFIG) == [output]


def test_wrong_input_is_told_by_the_client(model: Any, arrays: Three) -> None:
    vectors = [array.reshape(-1).tolist() for array in arrays]
    with pytest.raises(Exception, match="lengths"):
        model(vectors, {**CONFIG, "n": 7})
    with pytest.raises(Exception, match="sampler"):
        model(vectors, {**CONFIG, "options": {"sampler": "none"}})


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("Evaluate", {"name": "other", "input": []}, "ModelNotFound"),
        ("Evaluate", {"name": MODEL, "input": [[1.0]]}, "InvalidInput"),
        ("Evaluate", {"name": MODEL}, "InvalidInput"),
        ("InputSizes", {"name": MODEL, "config": {"n": -1}}, "InvalidInput"),
        ("InputSizes", {"name": MODEL, "config": {"N": 5}}, "InvalidInput"),
        ("InputSizes", {"name": MODEL, "config": {}}, None),
        ("InputSizes", {"name": MODEL}, None),
        *(
            (path, {"name": MODEL, name: value}, "InvalidInput")
            for path in ("InputSizes", "Evaluate", "ModelInfo")
            for name, value in (
                *(("config", wrong) for wrong in ([], None, False, 0, "")),
                *(("input", wrong) for wrong in ({}, None, False, 0, "")),
            )
        ),
        ("ModelInfo", {}, "ModelNotFound"),
        ("Gradient", {"name": MODEL}, "UnsupportedFeature"),
        ("Evaluate", {"name": MODEL, "input": [["x"], [1], [1]]}, "InvalidInput"),
        # As long as it is told to be, and a matrix all the same.
        (
            "Evaluate",
            {"name": MODEL, "input": [[[1, 2], [3, 4]], [1, 2], [1]]},
            "InvalidInput",
        ),
    ],
)
def test_errors_have_the_neighbours_shape(
    http: httpx.Client, path: str, content: Any, kind: str | None
) -> None:
    answer = http.post(f"/umbridge/{path}", json=content)
    if kind is None:
        assert answer.status_code == 200
        return
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["message"]


def test_limits_hold_here_too(http: httpx.Client) -> None:
    broken = http.post("/umbridge/Evaluate", content=b'{"name": NaN}')
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "InvalidJson")
    large = http.post("/umbridge/Evaluate", content=b" " * (2**20 + 1))
    assert (large.status_code, large.json()["error"]["type"]) == (413, "TooLarge")


async def test_the_facades_are_off_unless_asked_for(tmp_path: Path) -> None:
    async with in_process(tmp_path) as client:
        assert (await client.get("/umbridge/Info")).status_code == 404
        assert (await client.get("/v2")).status_code == 404


async def test_a_defect_has_the_neighbours_shape_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("not for others")

    monkeypatch.setattr("service.facades.umbridge.decode_call", defect)
    monkeypatch.setattr("service.facades.open_inference.decode", defect)
    async with in_process(tmp_path, umbridge=True, open_inference=True) as client:
        first = await client.post("/umbridge/Evaluate", json={})
        second = await client.post("/v2/models/ccdm/infer", json={})
    assert (first.status_code, second.status_code) == (500, 500)
    assert first.json()["error"]["type"] == "Internal"
    assert set(second.json()) == {"error"}
    assert "not for others" not in first.text + second.text


async def test_a_key_is_needed_where_one_is_needed(tmp_path: Path) -> None:
    keys = {"api_keys": ("secret",), "umbridge": True, "open_inference": True}
    async with in_process(tmp_path, **keys) as client:
        refused = await client.get("/umbridge/Info")
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "Unauthorized"
        assert "Bearer" in refused.headers["www-authenticate"]
        assert (await client.get("/v2")).json()["error"]
        key = {"Authorization": "Bearer secret"}
        known = await client.get("/umbridge/Info", headers=key)
        assert known.json() == {"protocolVersion": 1.0, "models": [MODEL]}
