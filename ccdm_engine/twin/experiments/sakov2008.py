"""sakov2008: Lorenz-96, everything observed at short intervals.

The setting of Sakov and Oke (2008) and of many papers since, as configured in
DAPPER. Nearly linear: the test of sampling error, inflation and localization.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz96
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import identity

_DAPPER = "DAPPER 1.7, mods/Lorenz96/sakov2008.py"

EXPERIMENT = Experiment(
    name="sakov2008",
    source=_DAPPER,
    summary="Lorenz-96, all 40 components observed, R = 1, every 0.05, RK4",
    model=partial(advance, tendency=lorenz96.tendency, scheme=rk4, step=0.05, steps=1),
    observe=identity,
    initial=partial(gaussian_start, mean=(1.0,) + (0.0,) * 39, std=math.sqrt(0.001)),
    state_dim=40,
    measurement_dim=40,
    error=1.0,
    process_noise=0.0,
    truth_noise=0.0,
    interval=0.05,
    cycles=1000,
    burn_in=400,
    lost_above=lorenz96.CLIMATE_CRPS / 2,
    period=40.0,
    measured_at=tuple(range(40)),
    expected=(
        Expected("EnKF, inflation 1.06", 40, "rmse", 0.22, _DAPPER),
        Expected("EnKF, inflation 1.08", 28, "rmse", 0.24, _DAPPER),
        Expected("EnKF-N", 24, "rmse", 0.21, _DAPPER),
        Expected("LETKF, inflation 1.04, radius 4", 7, "rmse", 0.22, _DAPPER),
    ),
)
