"""ramgraber2022: Lorenz-63, all observed, the standard test of transport filters.

Figure 6A of Ramgraber et al. (2022), which follows Spantini, Baptista and Marzouk
(2022), as configured in DAPPER: RK4 steps of 0.05, no process noise, R = 4 I.
"""

from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import identity

_DAPPER = "DAPPER 1.7, mods/Lorenz63/ramgraber2022.py"
_RERUN = "re-run in DAPPER 1.7.1"
_MAPS = "stochastic map filter, re-run with the authors' parameters"

EXPERIMENT = Experiment(
    name="ramgraber2022",
    source=_DAPPER,
    summary="Lorenz-63, x, y and z observed, R = 4, every 0.1, RK4, no model noise",
    model=partial(advance, tendency=lorenz63.tendency, scheme=rk4, step=0.05, steps=2),
    observe=identity,
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=1.0),
    state_dim=3,
    measurement_dim=3,
    error=2.0,
    process_noise=0.0,
    truth_noise=0.0,
    interval=0.1,
    cycles=1000,
    burn_in=160,
    lost_above=lorenz63.CLIMATE_CRPS / 2,
    expected=(
        Expected("EnKF", 100, "rmse", 0.465, _RERUN),
        Expected("EnKF-N, xN 1.5", 10, "rmse", 0.43, _DAPPER),
        Expected("particle filter, reg 2.4, NER 0.3", 100, "rmse", 0.39, _DAPPER),
        Expected("particle filter, reg 0.9, NER 0.2", 800, "rmse", 0.28, _DAPPER),
        Expected("map filter, order 1", 100, "rmse", 0.427, _MAPS),
        Expected("map filter, order 1", 200, "rmse", 0.390, _MAPS),
        Expected("map filter, order 2", 600, "rmse", 0.365, _MAPS),
    ),
)
