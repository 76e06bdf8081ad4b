"""A small request for much: refused before memory or minutes are spent on it."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from pydantic import ValidationError

from service.initial import gaussian_ensemble
from service.schemas.options import Options
from service.schemas.sessions import SessionParams
from tests.service_http.bodies import JSON

DIMS = {"state_dim": 1, "measurement_dim": 1}
MIB = 2**20


@pytest.mark.parametrize(
    ("dx", "members"), [(40_000, 3_000), (100_000, 100_000), (8 * 1024, 1025)]
)
def test_an_ensemble_to_be_drawn_is_bounded_as_one_that_is_sent(
    http: httpx.Client, dx: int, members: int
) -> None:
    asked = {**DIMS, "state_dim": dx, "initial_mean": [0] * dx, "initial_std": 1}
    answer = http.post("/v1/sessions", json={**asked, "members": members})
    assert answer.status_code == 413, answer.text
    told = answer.json()
    assert (told["limit_name"], told["limit"]) == ("max_body_bytes", 64 * MIB)
    assert str(8 * dx * members) in told["detail"]


def test_a_large_draw_is_made_aside_and_is_the_same() -> None:
    """In place, and bit for bit what a mean and a deviation give."""
    found = gaussian_ensemble(7, [1.0, -2.0], [3.0, 0.5], 4)
    draws = gaussian_ensemble(7, [0.0, 0.0], 1.0, 4)
    np.testing.assert_array_equal(found, [1.0, -2.0] + np.array([3.0, 0.5]) * draws)


MANY = 200_000


@pytest.mark.parametrize(
    "params",
    [
        {"names": {"states": [""] * MANY}},
        {"initial_mean": [""] * MANY, "initial_std": 1, "members": 3},
        {"coordinates": {"states": [[""]] * MANY}},
        {"options": {"measurement_error": [""] * MANY}},
    ],
    ids=["names", "mean", "coordinates", "options"],
)
def test_lists_that_no_state_has_are_not_read(
    http: httpx.Client, params: dict[str, Any]
) -> None:
    content = orjson.dumps({**DIMS, **params})
    answer = http.post("/v1/sessions", content=content, headers=JSON)
    assert answer.status_code == 413, answer.text
    assert answer.json()["limit_name"] == "max_state_dim"


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (SessionParams, {**DIMS, "names": {"states": [""] * 999}}),
        (SessionParams, {**DIMS, "initial_mean": [""] * 999}),
        (SessionParams, {**DIMS, "initial_std": [""] * 999}),
        (SessionParams, {**DIMS, "coordinates": {"states": [["", ""]] * 999}}),
        (Options, {"measurement_error": [-1.0] * 999}),
        (Options, {"localization": {"period": [0.0] * 999}}),
        (Options, {"localization": {"state_coordinates": [""] * 999}}),
    ],
)
def test_a_list_of_wrong_elements_is_one_error(
    model: type[Options] | type[SessionParams], params: dict[str, Any]
) -> None:
    """Millions were noted one by one before the first 50 of them were told."""
    with pytest.raises(ValidationError) as raised:
        model.model_validate(params)
    assert raised.value.error_count() < 10


@pytest.mark.parametrize("padding", [0, 2 * MIB])
@pytest.mark.parametrize("levels", [300, 980, 1022])
@pytest.mark.parametrize("form", ["objects", "lists", "lists behind numbers"])
def test_json_nested_too_deep_is_refused(
    http: httpx.Client, form: str, levels: int, padding: int
) -> None:
    """Small bodies and large ones, which another process reads."""
    before, after = {"objects": ('{"a":', "}"), "lists": ("[", "]")}.get(
        form, ("[1,", "]")
    )
    inside = before * (levels - 1) + "1" + after * (levels - 1)
    content = f'{{"metadata": {inside}}}' + " " * padding
    answer = http.post("/v1/sessions", content=content, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == "/problems/invalid-json"


def test_a_minimum_that_no_ensemble_reaches_is_refused(http: httpx.Client) -> None:
    beyond = {"coupling": {"minimum_members": 10**12}}
    made = http.post("/v1/sessions", json=DIMS)
    path = made.headers["location"]
    cycle = {"observation": [1.0], **beyond}
    for answer in (
        http.post("/v1/sessions", json={**DIMS, **beyond}),
        http.patch(path, json=beyond, headers={"If-Match": made.headers["etag"]}),
        http.put(f"{path}/cycles/1", json=cycle),
    ):
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["pointer"] == "/coupling/minimum_members"
        assert "at most 100000, which is max_members" in error["message"]
    largest = {"coupling": {"minimum_members": 100_000}}
    assert http.post("/v1/sessions", json={**DIMS, **largest}).status_code == 201
