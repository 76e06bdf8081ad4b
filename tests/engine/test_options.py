"""Options: nothing invalid gets past construction, and JSON holds all of them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdm_engine import AnalysisOptions, Localization, OptionsError, assimilate
from tests.engine.ensembles import gaussian

FIELDS = [field.name for field in dataclasses.fields(AnalysisOptions)]

BANDWIDTH_WORDS = ["Auto", "", "wide", None, True, [1.0], {}, 1j, b"auto"]
BAD_NUMBERS = [0, -1, -0.5, math.nan, -math.inf, 10**400, -(10**400)]
WRONG: dict[str, list[Any]] = {
    "n_samples": [0, -1, 2.0, 1.5, True, "10", math.nan, [3], np.True_],
    "sampler": ["euler", "ODE", "", None, 1, ["ode"], True],
    "schedule": ["cosine", "VE", None, 0, ["ve"]],
    "steps": [0, -3, 10.0, False, "8", math.inf],
    "scaling": ["Whiten", "cholesky", None, 1, True],
    "preconditioner": ["kalman", None, 0, True, ["linear"]],
    "state_bandwidth": [*BANDWIDTH_WORDS, *BAD_NUMBERS, math.inf, "inf"],
    "measurement_bandwidth": [*BANDWIDTH_WORDS, *BAD_NUMBERS, "silverman"],
    "max_bandwidth": [*BANDWIDTH_WORDS, *BAD_NUMBERS, math.inf, "silverman"],
    "shrink": ["yes", None, 0, 1, 0.5, []],
    "rescue": ["yes", None, 0, 1, 0.5],
    "learned_inflation": [0.49, 101.0, math.nan, None, "2", True],
    "relaxation_to_spread": [-0.1, 1.1, math.nan, None, "0.5", True],
    "relaxation_to_perturbations": [-0.1, 1.1, math.inf, None, [0.5], False],
    "unbiased": ["yes", None, 0, 1, 0.5],
    "inflation": [*BAD_NUMBERS, math.inf, None, "1.1", True, [1.1], "auto"],
    "localization": [1.0, "auto", {"radius": 2.0}, [], True],
    "measurement_error": [
        *[-0.1, math.nan, math.inf, 10**400, "0.1", True, {}],
        *[[0.1, -1.0], ["a"], [[0.1]], np.array([[0.1, 0.2]])],
    ],
    "failed_members": ["ignore", None, 0, True],
    "center": ["yes", None, 0, 1, "auto"],
    "rtol": [0, -1e-5, math.nan, None, "small", 10**400],
    "atol": [0, -1e-5, math.inf, None, "small", True],
    "moment_matched": [None, 0, "auto"],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def test_every_field_is_tried() -> None:
    assert set(WRONG) == set(FIELDS)


@pytest.mark.parametrize(
    ("name", "value"), CASES, ids=[f"{n}={v!r}"[:40] for n, v in CASES]
)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        AnalysisOptions(**{name: value})
    error = caught.value
    assert error.argument == name
    assert error.got and error.wanted
    assert name in str(error) and error.wanted in str(error)
    assert len(str(error)) < 400


GOOD: list[dict[str, Any]] = [
    {"n_samples": 1},
    {"n_samples": np.int64(50), "steps": np.int32(9)},
    {"state_bandwidth": np.float32(0.25), "shrink": np.False_},
    {"state_bandwidth": 1, "measurement_bandwidth": 2, "max_bandwidth": 3},
    {"measurement_bandwidth": math.inf, "preconditioner": "linear"},
    {"state_bandwidth": "silverman", "shrink": True},
    {"measurement_error": 0.5},
    {"measurement_error": [0.5, 0]},
    {"measurement_error": np.array([0.5, 1.0])},
    {"inflation": 1.07, "failed_members": "refill", "schedule": "vp"},
    {"scaling": "none", "shrink": False, "center": False, "moment_matched": False},
    {"localization": Localization([0, 1, 2], [0, 1], 2.0, period=40)},
    {"localization": Localization([[0, 1], [1, 2], [2, 2]], [[0, 0]], 2, [4, 5])},
]


@pytest.mark.parametrize("fields", GOOD)
def test_options_survive_json(fields: dict[str, Any]) -> None:
    options = AnalysisOptions(**fields)
    text = json.dumps(options.to_dict(), allow_nan=False)
    again = AnalysisOptions.from_dict(json.loads(text))
    assert again.to_dict() == options.to_dict()
    assert set(options.to_dict()) == set(FIELDS)
    if options.localization is None:
        assert again == options
        assert hash(again) == hash(options)
    else:
        assert again.localization is not None
        assert np.array_equal(
            again.localization.taper_xy(), options.localization.taper_xy()
        )


@settings(deadline=None, derandomize=True)
@given(
    h_x=st.floats(1e-9, 1e9),
    h_y=st.one_of(st.floats(1e-9, 1e9), st.just(math.inf)),
    ratio=st.floats(1.001, 1e3),
    inflation=st.floats(0.1, 10),
)
def test_numbers_come_back_from_json_bit_for_bit(
    h_x: float, h_y: float, ratio: float, inflation: float
) -> None:
    options = AnalysisOptions(
        state_bandwidth=h_x,
        measurement_bandwidth=h_y,
        max_bandwidth=h_x * ratio,
        inflation=inflation,
    )
    assert AnalysisOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == (
        options
    )


def test_a_partial_dictionary_leaves_the_defaults() -> None:
    assert AnalysisOptions.from_dict({}) == AnalysisOptions()
    some = AnalysisOptions.from_dict({"measurement_bandwidth": "inf", "steps": 4})
    assert some == AnalysisOptions(measurement_bandwidth=math.inf, steps=4)


@pytest.mark.parametrize("name", ["bandwidth", "Steps", "", "__init__", "seed"])
def test_unknown_names_are_refused_and_the_known_ones_listed(name: str) -> None:
    with pytest.raises(OptionsError) as caught:
        AnalysisOptions.from_dict({name: 1})
    assert caught.value.argument == name
    for known in FIELDS:
        assert known in caught.value.wanted


def test_options_cannot_be_changed_in_place() -> None:
    options = AnalysisOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.steps = 3  # type: ignore[misc]
    assert dataclasses.replace(options, steps=3).steps == 3
    with pytest.raises(OptionsError):
        dataclasses.replace(options, steps=0)


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"state_bandwidth": 1.0, "max_bandwidth": 1.0}, "max_bandwidth"),
        ({"state_bandwidth": 2.0, "max_bandwidth": 1.0}, "max_bandwidth"),
        ({"shrink": True, "scaling": "none"}, "shrink"),
        *[
            (
                {"localization": Localization([0], [0], 1.0), "preconditioner": name},
                "localization",
            )
            for name in ("none", "shrunk", "kernel")
        ],
    ],
)
def test_options_that_contradict_each_other(
    fields: dict[str, Any], argument: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        AnalysisOptions(**fields)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("error", "accepted"),
    [([0.1], True), ([0.1, 0.2], True), ([0.1, 0.2, 0.3], False), ([], False)],
)
def test_standard_deviations_are_one_or_one_each(
    error: list[float], accepted: bool
) -> None:
    if accepted:
        assimilate(*gaussian(), options=AnalysisOptions(measurement_error=error))
    else:
        with pytest.raises(OptionsError) as caught:
            assimilate(*gaussian(), options=AnalysisOptions(measurement_error=error))
        assert caught.value.argument == "measurement_error"


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"radius": 0.0}, "localization.radius"),
        ({"radius": -1.0}, "localization.radius"),
        ({"radius": math.inf}, "localization.radius"),
        ({"radius": math.nan}, "localization.radius"),
        ({"radius": True}, "localization.radius"),
        ({"radius": "2"}, "localization.radius"),
        ({"radius": 10**400}, "localization.radius"),
        ({"period": 0.0}, "localization.period"),
        ({"period": -4}, "localization.period"),
        ({"period": math.nan}, "localization.period"),
        ({"period": [4.0, 5.0]}, "localization.period"),
        ({"period": "ring"}, "localization.period"),
        ({"state_coordinates": ["a", "b"]}, "localization.state_coordinates"),
        ({"state_coordinates": [0.0, math.nan]}, "localization.state_coordinates"),
        ({"state_coordinates": [[0.0], [1.0, 2.0]]}, "localization.state_coordinates"),
        ({"state_coordinates": 3.0}, "localization.state_coordinates"),
        (
            {"measurement_coordinates": [[[0.0]]]},
            "localization.measurement_coordinates",
        ),
        ({"measurement_coordinates": [[0, 1]]}, "localization.measurement_coordinates"),
        ({"measurement_coordinates": None}, "localization.measurement_coordinates"),
    ],
)
def test_a_wrong_localization_is_refused_by_name(
    fields: dict[str, Any], argument: str
) -> None:
    good: dict[str, Any] = {
        "state_coordinates": [0.0, 1.0],
        "measurement_coordinates": [0.5],
        "radius": 1.0,
    }
    Localization(**good)
    with pytest.raises(OptionsError) as caught:
        Localization(**good | fields)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "values", [{}, {"radius": 1.0}, {"radius": 1, "shape": "gauss"}]
)
def test_a_localization_of_other_names_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionsError) as caught:
        AnalysisOptions.from_dict({"localization": values})
    assert caught.value.argument == "localization"


@pytest.mark.parametrize(
    ("states", "measured", "argument"),
    [
        ([0, 1], [0, 1], "localization.state_coordinates"),
        ([0, 1, 2, 3], [0, 1], "localization.state_coordinates"),
        ([0, 1, 2], [0], "localization.measurement_coordinates"),
        ([0, 1, 2], [0, 1, 2], "localization.measurement_coordinates"),
    ],
)
def test_coordinates_must_number_the_columns(
    states: list[int], measured: list[int], argument: str
) -> None:
    options = AnalysisOptions(localization=Localization(states, measured, 1.0))
    with pytest.raises(OptionsError) as caught:
        assimilate(*gaussian(dx=3, dy=2), options=options)
    assert caught.value.argument == argument
