"""L63_arctan: Lorenz-63 through a saturating instrument.

arctan(x) is flat beyond a few units while the attractor reaches 20 (z even 45): a
measurement says little but the sign, except when a component passes zero.
"""

from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, rk4
from ccdm_engine.twin.operators import arctangent

_RERUN = "re-run in DAPPER 1.7.1"

EXPERIMENT = Experiment(
    name="L63_arctan",
    source="nonlinear variant of ramgraber2022, as re-run in DAPPER 1.7.1",
    summary="Lorenz-63, arctan of x, y and z observed, R = 0.01, every 0.1",
    model=partial(advance, tendency=lorenz63.tendency, scheme=rk4, step=0.05, steps=2),
    observe=arctangent,
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=1.0),
    state_dim=3,
    measurement_dim=3,
    error=0.1,
    process_noise=0.01,
    truth_noise=0.01,
    interval=0.1,
    cycles=1000,
    burn_in=160,
    lost_above=lorenz63.CLIMATE_CRPS / 2,
    expected=(
        Expected("EnKF", 100, "rmse", 0.39, _RERUN),
        Expected("particle filter", 1000, "rmse", 0.28, _RERUN),
    ),
)
