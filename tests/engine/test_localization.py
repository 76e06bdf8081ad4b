"""Localization: a taper that is right, applied where and only where it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, Localization, assimilate
from ccdm_engine.baselines import enkf
from ccdm_engine.localization import gaspari_cohn

Array = npt.NDArray[np.float64]


def by_convolution(z: float, grid: int = 41) -> float:
    """Gaspari-Cohn 4.10 is the self-convolution in 3-D of ``(1 - 2 r)_+``, r in z.

    With support 1/2 of the tent in units of the taper's radius 1; normalised at 0.
    """
    axis = (np.arange(grid) - grid // 2) / (grid // 2)
    x, y, w = np.meshgrid(axis, axis, axis, indexing="ij")
    here = np.maximum(1 - np.sqrt(x**2 + y**2 + w**2), 0)
    there = np.maximum(1 - np.sqrt((x - z) ** 2 + y**2 + w**2), 0)
    return float(np.sum(here * there) / np.sum(here * here))


def test_the_taper_is_the_self_convolution_it_should_be() -> None:
    for z in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.9):
        found = float(gaspari_cohn(np.array(z)))
        assert found == pytest.approx(by_convolution(z), abs=3e-3), z


def test_the_taper_has_its_published_values_and_limits() -> None:
    found = gaspari_cohn(np.array([0.0, 1.0, 2.0, 2.5, 1e300]))
    assert np.array_equal(found[[0, 2, 3, 4]], [1.0, 0.0, 0.0, 0.0])
    assert found[1] == pytest.approx(5 / 24, abs=1e-15)
    z = np.linspace(0, 2.2, 2201)
    values = gaspari_cohn(z)
    assert np.all((values >= 0) & (values <= 1))
    assert np.all(np.diff(values) <= 1e-15)
    # Continuous with its slope at the joints z = 1 and z = 2.
    assert np.max(np.abs(np.diff(values, 2))) < 1e-5


def test_the_taper_is_a_correlation_function() -> None:
    places = np.random.default_rng(1).uniform(0, 10, (60, 3))
    taper = Localization(places, places, 2.0).taper_yy()
    assert np.array_equal(taper, taper.T)
    assert np.linalg.eigvalsh(taper).min() > -1e-12


def test_distances_go_around_a_ring() -> None:
    ring = Localization(np.arange(40), [1.0, 39.0], 3.0, period=40.0)
    straight = Localization(np.arange(40), [1.0, 39.0], 3.0)
    taper = ring.taper_xy()
    assert taper[39, 0] == taper[3, 0] == gaspari_cohn(np.array(2 / 3))
    assert straight.taper_xy()[39, 0] == 0
    assert np.allclose(taper[:, 1], np.roll(taper[:, 0], -2))
    assert ring.taper_yy()[0, 1] == gaspari_cohn(np.array(2 / 3))


def test_distances_in_the_plane_with_one_periodic_length_per_axis() -> None:
    torus = Localization([[0.0, 0.0]], [[9.0, 0.0], [9.0, 19.0]], 2.0, (10.0, 20.0))
    expected = gaspari_cohn(np.array([1.0, np.sqrt(2)]) / 2)
    assert np.allclose(torus.taper_xy()[0], expected)


def ring_pairs(members: int = 30, seed: int = 0) -> tuple[Array, Array, Array]:
    """40 states on a ring, neighbours correlated, every fourth observed."""
    rng = np.random.default_rng([7, seed])
    white = rng.standard_normal((members, 40))
    states = white + np.roll(white, 1, axis=1) + np.roll(white, 2, axis=1)
    simulated = states[:, ::4] + 0.5 * rng.standard_normal((members, 10))
    return states, simulated, simulated[0] + 1.0


def around(radius: float, **fields: Any) -> AnalysisOptions:
    places = Localization(np.arange(40), np.arange(0, 40, 4), radius, period=40.0)
    return AnalysisOptions(localization=places, **fields)


def test_states_beyond_the_taper_are_untouched() -> None:
    states, simulated, observation = ring_pairs()
    only = np.full(10, np.nan)
    only[5] = observation[5]  # the measurement at place 20
    options = around(3.0, measurement_bandwidth=np.inf)
    samples = assimilate(states, simulated, only, options=options, seed=1).samples
    distance = np.abs(np.arange(40) - 20)
    far = distance >= 6
    gap = np.abs(samples - states)
    # The scaling of columns to and fro costs one rounding.
    assert np.max(gap[:, far]) < 1e-14
    assert np.all(gap[:, ~far].max(axis=0) > 1e-9)


def test_a_huge_radius_is_the_plain_linear_update() -> None:
    states, simulated, observation = ring_pairs(80)
    plain = AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf)
    expected = assimilate(states, simulated, observation, options=plain, seed=1).samples
    found = assimilate(
        states,
        simulated,
        observation,
        options=around(1e9, measurement_bandwidth=np.inf, preconditioner="linear"),
        seed=1,
    )
    assert np.max(np.abs(found.samples - expected)) < 1e-9
    assert found.diagnostics.model is not None
    assert found.diagnostics.model.preconditioner == "localized"


def test_the_localized_update_is_the_localized_enkf() -> None:
    states, simulated, observation = ring_pairs()
    options = around(4.0, measurement_bandwidth=np.inf, preconditioner="linear")
    ours = assimilate(states, simulated, observation, options=options, seed=1).samples
    theirs = enkf(states, simulated, observation, options=options, seed=1).samples
    assert np.max(np.abs(ours - theirs)) < 1e-9


def test_localization_helps_where_members_are_few() -> None:
    """Error of the mean against the Kalman answer of 20 000 members."""
    plain = AnalysisOptions(preconditioner="linear", measurement_bandwidth=np.inf)
    many = ring_pairs(20_000, seed=99)
    errors: dict[str, list[float]] = {"plain": [], "localized": []}
    for seed in range(5):
        states, simulated, observation = ring_pairs(15, seed=seed)
        truth = assimilate(
            many[0], many[1], observation, options=plain, seed=1
        ).samples.mean(axis=0)
        for name, options in (
            ("plain", plain),
            ("localized", around(4.0, measurement_bandwidth=np.inf)),
        ):
            samples = assimilate(
                states, simulated, observation, options=options, seed=1
            ).samples
            gap = samples.mean(axis=0) - truth
            errors[name].append(float(np.sqrt(np.mean(gap**2))))
    assert np.mean(errors["localized"]) < 0.7 * np.mean(errors["plain"])


def test_constant_states_and_missing_measurements_keep_their_places() -> None:
    """Columns that drop out do not shift the coordinates of the others."""
    states, simulated, observation = ring_pairs()
    states[:, 3] = 5.0
    only = np.full(10, np.nan)
    only[5] = observation[5]
    options = around(3.0, measurement_bandwidth=np.inf)
    samples = assimilate(states, simulated, only, options=options, seed=1).samples
    assert np.all(samples[:, 3] == 5.0)
    moved = np.abs(samples - states).max(axis=0) > 1e-9
    assert np.array_equal(np.flatnonzero(moved), np.arange(15, 26))
