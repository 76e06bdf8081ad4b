"""Every refusal says which argument, what was got, what was wanted, what to do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import ccdm_engine
from ccdm_engine import (
    AnalysisOptions,
    CcdmError,
    DtypeError,
    InputError,
    Localization,
    NonFiniteError,
    NumericalError,
    OptionsError,
    ShapeError,
    TooFewMembersError,
    assimilate,
)
from ccdm_engine.samplers import SAMPLERS, Task
from tests.engine.ensembles import Triple, gaussian

X, Y, OBSERVED = gaussian(20, dx=3, dy=2)
STATES, SIMULATED, OBSERVATION = (
    "forecast_states",
    "simulated_measurements",
    "observation",
)


def changed(array: np.ndarray, place: Any, value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


BAD: dict[str, tuple[Any, Any, Any, type[CcdmError], str]] = {
    "states 1-D": (X[:, 0], Y, OBSERVED, ShapeError, STATES),
    "states 3-D": (X[None], Y, OBSERVED, ShapeError, STATES),
    "states scalar": (1.0, Y, OBSERVED, ShapeError, STATES),
    "states without columns": (X[:, :0], Y, OBSERVED, ShapeError, STATES),
    "states empty": ([], Y, OBSERVED, ShapeError, STATES),
    "states ragged": ([[1.0], [1.0, 2.0]], Y, OBSERVED, ShapeError, STATES),
    "states text": ([["a", "b"]] * 20, Y, OBSERVED, DtypeError, STATES),
    "states numerals": ([["1", "2"]] * 20, Y, OBSERVED, DtypeError, STATES),
    "states bool": (X > 0, Y, OBSERVED, DtypeError, STATES),
    "states complex": (X + 0j, Y, OBSERVED, DtypeError, STATES),
    "states object": (X.astype(object), Y, OBSERVED, DtypeError, STATES),
    "states None": (None, Y, OBSERVED, DtypeError, STATES),
    "states with None": ([[None, 1.0, 2.0]] * 20, Y, OBSERVED, DtypeError, STATES),
    "states dates": (X.astype("M8[s]"), Y, OBSERVED, DtypeError, STATES),
    "states huge integers": ([[10**400, 0, 0]] * 20, Y, OBSERVED, DtypeError, STATES),
    "states dict": ({"a": 1}, Y, OBSERVED, DtypeError, STATES),
    "one member": (X[:1], Y[:1], OBSERVED, TooFewMembersError, STATES),
    "no members": (X[:0], Y[:0], OBSERVED, TooFewMembersError, STATES),
    "measurements 1-D": (X, Y[:, 0], OBSERVED, ShapeError, SIMULATED),
    "measurements 3-D": (X, Y[None], OBSERVED, ShapeError, SIMULATED),
    "fewer measurements": (X, Y[:-1], OBSERVED, ShapeError, SIMULATED),
    "transposed measurements": (X, Y.T, OBSERVED, ShapeError, SIMULATED),
    "measurements text": (X, Y.astype(str), OBSERVED, DtypeError, SIMULATED),
    "observation too long": (X, Y, [1.0, 2.0, 3.0], ShapeError, OBSERVATION),
    "observation too short": (X, Y, [1.0], ShapeError, OBSERVATION),
    "observation empty": (X, Y, [], ShapeError, OBSERVATION),
    "observation scalar": (X, Y, 1.0, ShapeError, OBSERVATION),
    "observation 2-D": (X, Y, np.ones((2, 2)), ShapeError, OBSERVATION),
    "observation text": (X, Y, ["a", "b"], DtypeError, OBSERVATION),
    "observation with None": (X, Y, [None, 1.0], DtypeError, OBSERVATION),
    "observation infinite": (X, Y, [1.0, np.inf], NonFiniteError, OBSERVATION),
    "states NaN": (changed(X, (4, 1), np.nan), Y, OBSERVED, NonFiniteError, STATES),
    "states infinite": (
        changed(X, (4, 1), -np.inf),
        Y,
        OBSERVED,
        NonFiniteError,
        STATES,
    ),
    "measurement NaN": (
        X,
        changed(Y, (7, 1), np.nan),
        OBSERVED,
        NonFiniteError,
        SIMULATED,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_with_reasons(name: str) -> None:
    states, simulated, observation, kind, argument = BAD[name]
    with pytest.raises(CcdmError) as caught:
        assimilate(states, simulated, observation)
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, InputError) and isinstance(error, ValueError)
    assert error.argument == argument
    assert argument in str(error)
    assert f"got {error.got}" in str(error)
    assert f"wanted {error.wanted}" in str(error)
    assert error.remedy in str(error)


@pytest.mark.parametrize(
    ("triple", "index"),
    [
        (Triple(changed(X, (4, 1), np.nan), Y, OBSERVED), (4, 1)),
        (Triple(X, changed(Y, (7, 1), np.nan), OBSERVED), (7, 1)),
        (Triple(X, Y, np.array([1.0, np.inf])), (1,)),
        # The position is the caller's even when a column before it is missing.
        (Triple(X, changed(Y, (7, 1), np.inf), changed(OBSERVED, 0, np.nan)), (7, 1)),
    ],
)
def test_the_first_bad_element_is_pointed_at(
    triple: Triple, index: tuple[int, ...]
) -> None:
    with pytest.raises(NonFiniteError) as caught:
        assimilate(*triple)
    assert caught.value.index == index
    assert f"[{', '.join(map(str, index))}]" in str(caught.value)


@pytest.mark.parametrize("latents", [np.zeros((20, 2)), np.zeros((19, 3)), np.zeros(3)])
def test_latents_of_another_shape_are_refused(latents: np.ndarray) -> None:
    with pytest.raises(ShapeError) as caught:
        assimilate(X, Y, OBSERVED, latents=latents)
    assert caught.value.argument == "latents"
    assert "(20, 3)" in caught.value.wanted


def test_latents_must_be_finite_numbers() -> None:
    with pytest.raises(NonFiniteError):
        assimilate(X, Y, OBSERVED, latents=np.full((20, 3), np.nan))
    with pytest.raises(DtypeError):
        assimilate(X, Y, OBSERVED, latents=np.full((20, 3), "z"))
    options = AnalysisOptions(n_samples=5)
    assimilate(X, Y, OBSERVED, options=options, latents=np.zeros((5, 3)))


def test_an_integration_that_cannot_go_on_says_so() -> None:
    """No step is small enough where the denoiser has no answer: below s = 5."""
    task = Task(
        denoise=lambda x, s: np.full_like(x, 0.0 if s > 5 else np.nan),
        levels=np.array([10.0, 1e-3]),
        start=np.ones((2, 1)),
        latents=np.ones((2, 1)),
        centres=np.zeros((2, 1)),
        weights=np.array([0.5, 0.5]),
        rng=lambda: np.random.default_rng(1),
    )
    with pytest.raises(NumericalError) as caught:
        SAMPLERS["rk45"](task)
    assert "rk45" in str(caught.value) and "rtol" in caught.value.remedy


ERRORS: list[CcdmError] = [
    kind("observation", got="this", wanted="that", remedy="Do so.", index=(3, 4))
    for kind in (
        CcdmError,
        InputError,
        ShapeError,
        DtypeError,
        NonFiniteError,
        TooFewMembersError,
        OptionsError,
        NumericalError,
    )
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: CcdmError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        for name in ("code", "argument", "got", "wanted", "remedy", "index"):
            assert getattr(again, name) == getattr(error, name)


def test_the_text_says_it_all() -> None:
    error = ShapeError("observation", got="3 values", wanted="2", index=(1,))
    assert str(error) == "observation[1]: got 3 values, wanted 2."
    assert str(ERRORS[0]) == "observation[3, 4]: got this, wanted that. Do so."


def test_codes_are_distinct_and_every_error_is_public() -> None:
    def tree(kind: type[CcdmError]) -> list[type[CcdmError]]:
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in tree(sub))]

    kinds = [
        kind for kind in tree(CcdmError) if kind.__module__ == "ccdm_engine.errors"
    ]
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert getattr(ccdm_engine, kind.__name__) is kind
    assert issubclass(OptionsError, ValueError)
    assert issubclass(NumericalError, ArithmeticError)


@pytest.mark.parametrize(
    ("places", "index"), [([0.0, None], (1,)), ([[0, 1], [2, float("nan")]], (1, 1))]
)
def test_a_coordinate_that_is_none_is_told_by_its_place(
    places: list[Any], index: tuple[int, ...]
) -> None:
    with pytest.raises(OptionsError, match="got nan, wanted a finite number") as found:
        Localization(places, [[0.0, 0.0]], radius=1.0)
    assert found.value.index == index
    assert found.value.argument == "localization.state_coordinates"


def test_every_option_error_says_what_to_do() -> None:
    with pytest.raises(OptionsError, match="leave inflation out: every option has"):
        AnalysisOptions(inflation=-1.0)
    again = pickle.loads(pickle.dumps(OptionsError("steps", got="0", wanted="1")))
    assert str(again).count("leave steps out") == 1


@pytest.mark.parametrize("options", [{}, {"moment_matched": False}, {"schedule": "vp"}])
def test_arithmetic_that_breaks_down_is_told_as_such(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    states, simulated = rng.standard_normal((400, 64)), rng.standard_normal((400, 1))
    states[-1] = 1e160
    fixed = {"scaling": "none", "measurement_bandwidth": 0.03, "center": False}
    with np.errstate(all="ignore"):
        try:
            found = assimilate(
                states, simulated, [0.0], options={**fixed, **options}, seed=1
            )
        except NumericalError as error:
            assert "Check the units" in error.remedy
        else:
            assert np.isfinite(found.samples).all()


def test_what_is_masked_is_missing() -> None:
    states, simulated, observation = gaussian()
    masked = np.ma.masked_array(simulated.copy())
    masked[3, 0] = 1e6
    masked[3, 0] = np.ma.masked
    with pytest.raises(NonFiniteError, match=r"simulated_measurements\[3, 0\]"):
        assimilate(states, masked, observation)
    seen = np.ma.masked_array([observation[0], 1e6], mask=[False, True])
    twice = np.hstack([simulated[:, :1], simulated[:, :1]])
    here = assimilate(states, twice, seen, seed=1).samples
    there = assimilate(states, twice, [observation[0], np.nan], seed=1).samples
    assert np.array_equal(here, there)


@pytest.mark.parametrize("threads", [0, -1, 2.5, "2", True])
def test_threads_are_counted(threads: Any) -> None:
    with pytest.raises(OptionsError, match="threads"):
        assimilate(*gaussian(), threads=threads)
