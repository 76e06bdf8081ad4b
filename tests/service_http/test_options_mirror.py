"""The options in the documentation are those of the engine, and are refused alike."""

from __future__ import annotations

import dataclasses
import typing

import pytest
from pydantic import ValidationError

from ccdm_engine import AnalysisOptions, Localization, OptionsError
from service.schemas.options import LocalizationOptions, Options

VALUES = [
    ("n_samples", [None, 1, 10, 0, -1, 2.5, "1", True]),
    ("steps", [None, 1, 0, 1.5]),
    ("sampler", ["ode", "rk45", "sde", "exact", "ODE", None, 1]),
    ("schedule", ["ve", "vp", "", None]),
    ("scaling", ["auto", "none", "standardize", "whiten", "standardise"]),
    ("preconditioner", ["auto", "none", "linear", "shrunk", "kernel", None]),
    ("state_bandwidth", ["auto", "silverman", 0.5, 2, 0, -1, "inf", None, True]),
    ("measurement_bandwidth", ["auto", "inf", 0.5, 0, -1.0, "silverman", None]),
    ("max_bandwidth", ["auto", 3.5, 0, "inf", None]),
    ("shrink", ["auto", True, False, 1, None, "yes"]),
    ("inflation", [1.0, 1, 0.5, "adaptive", 0, -1, "1", None, True]),
    ("rescue", ["auto", True, False, 1, None, "yes"]),
    ("learned_inflation", [1.0, 1, 100, None, "2", True, -1]),
    ("relaxation_to_spread", [0, 0.5, 1, -0.1, 1.1, None, "0", True]),
    ("relaxation_to_perturbations", [0.0, 1, 2, None, False]),
    ("unbiased", ["auto", True, False, 1, None, "yes"]),
    ("measurement_error", [None, 0.0, 0.1, [0.1, 0], -0.1, [-1.0], ["1"], "x", True]),
    ("failed_members", ["error", "drop", "refill", "ignore", None]),
    ("center", [True, False, None, 1]),
    ("rtol", [1e-5, 1, 0, -1, None]),
    ("atol", [1e-5, 0, "1"]),
    ("moment_matched", [True, False, 0]),
]


def test_names_and_defaults_are_the_same() -> None:
    engine = {
        field.name: field.default for field in dataclasses.fields(AnalysisOptions)
    }
    mirror = {name: field.default for name, field in Options.model_fields.items()}
    assert mirror == engine
    assert list(mirror) == list(engine)


def test_localization_has_the_same_names() -> None:
    engine = [field.name for field in dataclasses.fields(Localization)]
    assert list(LocalizationOptions.model_fields) == engine


def test_every_option_is_tried_below() -> None:
    tried = {name for name, _ in VALUES}
    assert tried == set(Options.model_fields) - {"localization"}


def test_every_word_of_the_engine_is_documented() -> None:
    hints = typing.get_type_hints(AnalysisOptions)
    for name, values in VALUES:
        words = set(_words(hints[name]))
        assert words <= {value for value in values if isinstance(value, str)}


def _words(hint: object) -> list[str]:
    if typing.get_origin(hint) is typing.Literal:
        return [str(word) for word in typing.get_args(hint)]
    return [word for part in typing.get_args(hint) for word in _words(part)]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in VALUES for value in values]
)
def test_both_accept_and_refuse_the_same(name: str, value: object) -> None:
    try:
        expected = AnalysisOptions.from_dict({name: value}).to_dict()
    except OptionsError:
        with pytest.raises(ValidationError):
            Options.model_validate({name: value})
    else:
        chosen = Options.model_validate({name: value}).chosen()
        assert AnalysisOptions.from_dict(chosen).to_dict() == expected


def test_what_the_engine_writes_is_read() -> None:
    options = AnalysisOptions(
        localization=Localization([0.0, 1.0], [[0.0]], 2.0, period=4.0),
        measurement_error=[0.1, 0.2],
        measurement_bandwidth=float("inf"),
    )
    chosen = Options.model_validate(options.to_dict()).chosen()
    assert AnalysisOptions.from_dict(chosen).to_dict() == options.to_dict()
