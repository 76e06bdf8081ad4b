"""Where members are fewer than it takes, the defaults stay on track and others do not.

Short forms of rows of ``docs/accuracy.md``. Lorenz-96 in 40 variables: the climate has
an RMSE of 3.6, an ensemble on track 0.4 to 0.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.twin import cycle, experiments

pytestmark = pytest.mark.slow


def error(members: int, *, knows: bool = False, **fields: Any) -> float:
    """Largest RMSE of three seeds over the last 40 of 80 cycles."""
    options = AnalysisOptions(**fields)
    method = cycle.Method("ccdm", assimilate, knows_error=knows, options=options)
    setting = experiments.find("L96_01")
    found = []
    for seed in range(3):
        run = cycle.run(setting, method, members, seed, cycles=80)
        found.append(np.mean(np.nan_to_num(run.rmse[40:], nan=np.inf)))
    return float(np.max(found))


def test_fifty_members_without_coordinates_stay_on_track() -> None:
    assert error(50) < 0.8


def test_they_would_not_with_plain_least_squares() -> None:
    assert error(50, preconditioner="linear", measurement_bandwidth=np.inf) > 2.0


def test_a_declared_error_is_worth_something() -> None:
    assert error(50, knows=True) < 0.45


@pytest.mark.parametrize("dims", [(20, 20, 20), (30, 60, 40), (60, 120, 80)])
def test_more_measurements_than_members_do_not_widen_the_ensemble(
    dims: tuple[int, int, int],
) -> None:
    """A stable linear model, independent variables, thirty cycles, R declared.

    Once spreads grew from cycle to cycle there, to a thousand times the climate's,
    which is 0.92; the error of no analysis may leave its range.
    """
    members, states, measurements = dims
    rng = np.random.default_rng(dims)
    truth, ensemble = (
        rng.standard_normal(states),
        rng.standard_normal((members, states)),
    )
    for cycle_ in range(30):
        truth = 0.9 * truth + 0.4 * rng.standard_normal(states)
        forecast = 0.9 * ensemble + 0.4 * rng.standard_normal(ensemble.shape)
        observation = truth[:measurements] + 0.3 * rng.standard_normal(measurements)
        ensemble = assimilate(
            forecast,
            forecast[:, :measurements],
            observation,
            options={"measurement_error": 0.3},
            seed=cycle_,
        ).samples
        seen = ensemble[:, :measurements]
        assert np.all(ensemble.std(axis=0) <= 1.25 * forecast.std(axis=0))
        if cycle_ > 5:
            gap = seen.mean(axis=0) - truth[:measurements]
            assert np.sqrt(np.mean(gap**2)) < 0.8
            assert np.sqrt(np.mean(seen.var(axis=0))) < 0.8
