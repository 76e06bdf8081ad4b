"""With scaling="none" everything is in the caller's units, wherever they lie.

Single precision inside must not show: neither in where the ensemble is, nor in how
large its numbers are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, NumericalError, assimilate
from tests.engine.law import Law, p_values

Array = npt.NDArray[np.float64]

LEVEL = 1e-4


def options(h_x: float, h_y: float, **fields: Any) -> AnalysisOptions:
    return AnalysisOptions(
        scaling="none",
        preconditioner="none",
        shrink=False,
        state_bandwidth=h_x,
        measurement_bandwidth=h_y,
        **fields,
    )


def cluster() -> Array:
    return np.random.default_rng(16).standard_normal((30, 2))


@pytest.mark.parametrize("sampler", ["ode", "sde", "exact"])
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
def test_a_far_cluster_keeps_its_law(offset: float, sampler: str) -> None:
    """Two clusters; the observation leaves the far one alone."""
    near, far = cluster(), cluster()[::-1] + offset
    states = np.concatenate([near - offset, far])
    simulated = np.repeat([[0.0], [1.0]], 30, axis=0)
    samples = assimilate(
        states,
        simulated,
        [1.0],
        options=options(0.1, 0.01, n_samples=4000, sampler=sampler),
        seed=1,
    ).samples
    law = Law(cluster()[::-1], np.full(30, 1 / 30), 0.1)
    found = p_values(samples - offset, law, np.random.default_rng(2))
    assert min(found.values()) > LEVEL, found
    assert np.unique(samples[:, 0]).size > 3900


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_uncentred_ensembles_keep_their_law(offset: float) -> None:
    samples = assimilate(
        cluster() + offset,
        np.arange(30.0)[:, None],
        [15.0],
        options=options(0.1, 1e3, n_samples=4000, center=False),
        seed=1,
    ).samples
    square = (np.arange(30) - 15.0) ** 2
    weights = np.exp(-square / 2e6)
    law = Law(cluster(), weights / weights.sum(), 0.1)
    found = p_values(samples - offset, law, np.random.default_rng(2))
    assert min(found.values()) > LEVEL, found


@pytest.mark.parametrize("sampler", ["ode", "sde", "exact", "rk45"])
@pytest.mark.parametrize("power", [-300, -120, -40, -20, 20, 40, 120, 300])
def test_powers_of_two_in_all_units_change_nothing_at_all(
    power: int, sampler: str
) -> None:
    """Exact in floating point, so equality to rounding may be asked for."""
    rng = np.random.default_rng(17)
    states = cluster()
    simulated = states[:, :1] + 0.3 * rng.standard_normal((30, 1))
    latents = rng.standard_normal((30, 2))
    unit = 2.0**power
    # Tolerances of rk45 are absolute too; they follow the units.
    atol = min(max(1e-5 * unit, 1e-100), 1e100)
    here, there = (
        assimilate(
            states * u,
            simulated * u,
            [0.5 * u],
            options=options(0.2 * u, 0.4 * u, sampler=sampler, atol=a),
            latents=latents,
            seed=1,
        ).samples
        for u, a in ((1.0, 1e-5), (unit, atol))
    )
    if sampler != "rk45" or atol == 1e-5 * unit:
        assert np.max(np.abs(there / unit - here)) < 1e-5
    assert np.isfinite(there).all()


@pytest.mark.parametrize("preconditioner", ["auto", "linear"])
@pytest.mark.parametrize("exponent", [-90, -30, 30, 90])
def test_automatic_bandwidths_follow_the_callers_units(
    exponent: int, preconditioner: str
) -> None:
    """Candidates are multiples of the spread, although distances are not scaled.

    Kernels in units of the noise have no other unit.
    """
    rng = np.random.default_rng(18)
    states = np.concatenate([cluster() - 3, cluster() + 3])
    simulated = np.abs(states[:, :1]) + 0.3 * rng.standard_normal((60, 1))
    unit = 10.0**exponent
    models = [
        assimilate(
            states * u,
            simulated * u,
            [3.0 * u],
            options={"scaling": "none", "preconditioner": preconditioner},
            seed=1,
        ).diagnostics.model
        for u in (1.0, unit)
    ]
    here, there = models
    assert here is not None and there is not None
    assert there.preconditioner == here.preconditioner
    assert there.state_bandwidth / unit == pytest.approx(here.state_bandwidth)
    own = unit if here.measurement_kernel == "pairs" else 1.0
    assert there.measurement_bandwidth / own == pytest.approx(
        here.measurement_bandwidth
    )


def test_arithmetic_that_gives_out_is_an_error_and_not_an_answer() -> None:
    states = cluster() * 3e299
    with pytest.raises(NumericalError) as caught:
        assimilate(
            states,
            cluster()[:, :1] + 0.1,
            [0.5],
            options=AnalysisOptions(inflation=1e100),
            seed=1,
        )
    assert caught.value.remedy
