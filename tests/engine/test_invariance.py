"""Units, origins and orders are the caller's affair: the answer follows, no more.

The comparisons are in units of each column's spread and allow what rounding of inputs
at the given magnitude allows. ``ode`` with common latents is deterministic, so that
equality can be asked for sample by sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdm_engine import Analysis, AnalysisOptions, assimilate
from tests.engine.ensembles import Triple, gaussian, squared, two_lobes

Array = npt.NDArray[np.float64]

KERNELS: dict[str, Any] = {
    "preconditioner": "none",
    "state_bandwidth": 0.4,
    "measurement_bandwidth": 0.5,
    "shrink": True,
}
OPTIONS = {
    "auto": AnalysisOptions(),
    "auto_standardize": AnalysisOptions(scaling="standardize"),
    "auto_whiten": AnalysisOptions(scaling="whiten"),
    "kernels": AnalysisOptions(**KERNELS),
    "kernels_standardize": AnalysisOptions(**KERNELS, scaling="standardize"),
    "kernels_silverman": AnalysisOptions(**KERNELS | {"state_bandwidth": "silverman"}),
    "linear": AnalysisOptions(**KERNELS | {"preconditioner": "linear"}),
    "shrunk": AnalysisOptions(**KERNELS | {"preconditioner": "shrunk"}),
    "kernel_ridge": AnalysisOptions(**KERNELS | {"preconditioner": "kernel"}),
}
TRIPLES = {"gaussian": gaussian(), "two_lobes": two_lobes(), "squared": squared()}
# The transport works in float32: a few hundred roundings of 6e-8.
CLOSE = 1e-4


def latents_for(triple: Triple, seed: int = 5) -> Array:
    return np.random.default_rng(seed).standard_normal(triple.states.shape)


def analyse(triple: Triple, options: AnalysisOptions, latents: Array) -> Analysis:
    return assimilate(*triple, options=options, latents=latents, seed=1)


def assert_same(found: Array, expected: Array, states: Array) -> None:
    gap = np.abs(found - expected) / states.std(axis=0)
    assert np.max(gap) < CLOSE, np.max(gap)


powers = st.floats(-9, 9, allow_nan=False)


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(data=st.data())
def test_units_of_any_column_may_change(
    name: str, triple: str, data: st.DataObject
) -> None:
    states, simulated, observation = TRIPLES[triple]
    of = data.draw
    u = 10.0 ** np.array([of(powers) for _ in range(states.shape[1])])
    v = 10.0 ** np.array([of(powers) for _ in range(simulated.shape[1])])
    u *= np.where([of(st.booleans()) for _ in u], 1, -1)
    v *= np.where([of(st.booleans()) for _ in v], 1, -1)
    options, latents = OPTIONS[name], latents_for(TRIPLES[triple])
    here = analyse(TRIPLES[triple], options, latents)
    # A reflected axis reflects the latents along with it.
    there = analyse(
        Triple(states * u, simulated * v, observation * v),
        options,
        latents * np.sign(u),
    )
    assert_same(there.samples / u, here.samples, states)


@pytest.mark.parametrize("size", [1e-150, 1e-9, 1e9, 1e150])
@pytest.mark.parametrize("name", OPTIONS)
def test_extreme_units_beside_ordinary_ones(name: str, size: float) -> None:
    states, simulated, observation = gaussian()
    latents = latents_for(gaussian())
    options = OPTIONS[name]
    u, v = np.array([size, 1.0, 1 / size]), np.array([1 / size, size])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        here = analyse(gaussian(), options, latents)
        there = analyse(
            Triple(states * u, simulated * v, observation * v), options, latents
        )
    assert_same(there.samples / u, here.samples, states)
    assert np.allclose(there.diagnostics.innovation, here.diagnostics.innovation)


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(shift=st.floats(-1e6, 1e6), other=st.floats(-1e6, 1e6))
def test_origins_may_move(name: str, triple: str, shift: float, other: float) -> None:
    states, simulated, observation = TRIPLES[triple]
    options, latents = OPTIONS[name], latents_for(TRIPLES[triple])
    moved = Triple(states + shift, simulated + other, observation + other)
    here = analyse(TRIPLES[triple], options, latents)
    there = analyse(moved, options, latents)
    assert_same(there.samples - shift, here.samples, states)


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("name", OPTIONS)
def test_members_may_be_reordered(name: str, triple: str) -> None:
    """The mixture does not know an order; a shift keeps each member's place."""
    states, simulated, observation = TRIPLES[triple]
    options, latents = OPTIONS[name], latents_for(TRIPLES[triple])
    order = np.random.default_rng(9).permutation(states.shape[0])
    here = analyse(TRIPLES[triple], options, latents)
    there = analyse(
        Triple(states[order], simulated[order], observation), options, latents
    )
    kept = here.diagnostics.sampler == "shift"
    expected = here.samples[order] if kept else here.samples
    assert_same(there.samples, expected, states)


@pytest.mark.parametrize("triple", TRIPLES)
@pytest.mark.parametrize("name", OPTIONS)
def test_columns_may_be_reordered(name: str, triple: str) -> None:
    states, simulated, observation = TRIPLES[triple]
    options, latents = OPTIONS[name], latents_for(TRIPLES[triple])
    order, other = np.arange(states.shape[1])[::-1], np.arange(observation.size)[::-1]
    here = analyse(TRIPLES[triple], options, latents)
    there = analyse(
        Triple(states[:, order], simulated[:, other], observation[other]),
        options,
        latents[:, order],
    )
    assert_same(there.samples, here.samples[:, order], states[:, order])


@pytest.mark.parametrize("scaling", ["none", "standardize", "whiten"])
def test_only_scaling_none_depends_on_units(scaling: Any) -> None:
    """Fixed bandwidths are in units of the spread unless scaling is off."""
    states, simulated, observation = gaussian()
    options = AnalysisOptions(**KERNELS | {"shrink": False}, scaling=scaling)
    latents = latents_for(gaussian())
    here = analyse(gaussian(), options, latents).samples
    there = analyse(
        Triple(states * 10, simulated * 10, observation * 10), options, latents
    ).samples
    gap = np.max(np.abs(there / 10 - here)) / states.std()
    assert (gap > 0.05) == (scaling == "none")


@pytest.mark.parametrize("sampler", ["sde", "exact", "rk45"])
def test_other_samplers_follow_units_too(sampler: Any) -> None:
    states, simulated, observation = gaussian()
    options = replace(OPTIONS["kernels"], sampler=sampler)
    latents = latents_for(gaussian())
    u, v = np.array([1e9, 1.0, 1e-9]), np.array([1e-9, 1e9])
    here = analyse(gaussian(), options, latents)
    there = analyse(
        Triple(states * u, simulated * v, observation * v), options, latents
    )
    # The noise of `sde` amplifies single-precision roundings near mode boundaries.
    gap = np.abs(there.samples / u - here.samples) / states.std(axis=0)
    assert np.quantile(gap, 0.9) < CLOSE
