"""sakov2012: Lorenz-63 with long gaps between observations.

Table 1 of Sakov, Oliver and Bertino (2012), as configured in DAPPER. In 0.25 units
the forecast bends the ensemble visibly: beyond a Gaussian, but not bimodal.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import identity

_DAPPER = "DAPPER 1.7, mods/Lorenz63/sakov2012.py"

EXPERIMENT = Experiment(
    name="sakov2012",
    source=_DAPPER,
    summary="Lorenz-63, x, y and z observed, R = 2, every 0.25, RK4, no model noise",
    model=partial(advance, tendency=lorenz63.tendency, scheme=rk4, step=0.01, steps=25),
    observe=identity,
    initial=partial(gaussian_start, mean=lorenz63.ON_ATTRACTOR, std=math.sqrt(2.0)),
    state_dim=3,
    measurement_dim=3,
    error=math.sqrt(2.0),
    process_noise=0.0,
    truth_noise=0.0,
    interval=0.25,
    cycles=1000,
    burn_in=64,
    lost_above=lorenz63.CLIMATE_CRPS / 2,
    expected=(
        Expected("optimal interpolation", 1, "rmse", 1.25, _DAPPER),
        Expected("EnKF, inflation 1.01", 100, "rmse", 0.56, _DAPPER),
        Expected("EnKF-N", 10, "rmse", 0.54, _DAPPER),
        Expected("particle filter, reg 2.4, NER 0.3", 100, "rmse", 0.38, _DAPPER),
        Expected("particle filter, reg 0.9, NER 0.2", 800, "rmse", 0.28, _DAPPER),
    ),
)
