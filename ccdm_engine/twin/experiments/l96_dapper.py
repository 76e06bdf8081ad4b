"""L96_01_dapper: L96_01 as re-run in DAPPER: RK4, noise in the truth, long.

Observations and error of L96_01; model noise of variance 0.01 per cycle both in the
truth and in the members, and a thousand cycles.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz96
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import every_second

_RERUN = "re-run in DAPPER 1.7.1"

EXPERIMENT = Experiment(
    name="L96_01_dapper",
    source="L96_01 as re-run in DAPPER 1.7.1",
    summary="Lorenz-96, 20 of 40 observed, R = 0.5, every 0.1, noisy truth, RK4",
    model=partial(advance, tendency=lorenz96.tendency, scheme=rk4, step=0.05, steps=2),
    observe=every_second,
    initial=partial(gaussian_start, mean=(0.0,) * 40, std=1.0),
    state_dim=40,
    measurement_dim=20,
    error=math.sqrt(0.5),
    process_noise=0.1,
    truth_noise=0.1,
    interval=0.1,
    cycles=1000,
    burn_in=200,
    lost_above=lorenz96.CLIMATE_CRPS / 2,
    period=40.0,
    measured_at=tuple(range(0, 40, 2)),
    expected=(
        Expected("EnKF", 100, "rmse", 0.415, _RERUN),
        Expected("EnKF", 100, "crps", 0.227, _RERUN),
        Expected("LETKF", 20, "rmse", 0.41, _RERUN),
        Expected("LETKF", 50, "rmse", 0.39, _RERUN),
        Expected("LETKF", 50, "crps", 0.215, _RERUN),
        Expected("particle filter", 1000, "rmse", 4.7, _RERUN),
    ),
)
