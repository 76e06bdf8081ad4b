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
