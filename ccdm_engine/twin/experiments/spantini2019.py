"""spantini2019: Lorenz-96, half observed, long gaps.

Figure 9 of Spantini, Baptista and Marzouk (2022, first posted 2019), as configured
in DAPPER. Sparse in space and in time, so that it is both nonlinear and 40-D.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz96
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import every_second

_DAPPER = "DAPPER 1.7, mods/Lorenz96/spantini2019.py"
_MAPS = "localized EnKF of the map filter's authors, re-run"

EXPERIMENT = Experiment(
    name="spantini2019",
    source=_DAPPER,
    summary="Lorenz-96, 20 of 40 components observed, R = 0.5, every 0.4, RK4",
    model=partial(advance, tendency=lorenz96.tendency, scheme=rk4, step=0.02, steps=20),
    observe=every_second,
    initial=partial(gaussian_start, mean=(1.0,) + (0.0,) * 39, std=math.sqrt(0.1)),
    state_dim=40,
    measurement_dim=20,
    error=math.sqrt(0.5),
    process_noise=0.0,
    truth_noise=0.0,
    interval=0.4,
    cycles=2000,
    burn_in=50,
    lost_above=lorenz96.CLIMATE_CRPS / 2,
    period=40.0,
    measured_at=tuple(range(0, 40, 2)),
    expected=(
        Expected("ETKF, inflation 1.10", 60, "rmse", 1.3, _DAPPER),
        Expected("ETKF, inflation 1.10", 100, "rmse", 0.97, _DAPPER),
        Expected("LETKF, inflation 1.10, radius 4", 40, "rmse", 1.0, _DAPPER),
        Expected("LETKF, inflation 1.02, radius 4", 60, "rmse", 0.89, _DAPPER),
        Expected("LETKF, inflation 1.02, radius 4", 100, "rmse", 0.84, _DAPPER),
        Expected("localized EnKF", 60, "rmse", 0.97, _MAPS),
        Expected("localized EnKF", 200, "rmse", 0.83, _MAPS),
        Expected("localized EnKF", 600, "rmse", 0.78, _MAPS),
    ),
)
