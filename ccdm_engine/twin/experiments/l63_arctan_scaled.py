"""L63_arctan_scaled: L63_02 through 10 arctan(x / 5), a gentle saturation.

The curve bends within the attractor, so its slope, and with it the best linear gain,
depends on where the state is.
"""

from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import arctangent

EXPERIMENT = Experiment(
    name="L63_arctan_scaled",
    source="nonlinear variant of L63_02",
    summary="Lorenz-63, 10 arctan(x / 5) of x, y and z observed, R = 1, every 0.1",
    model=partial(
        advance, tendency=lorenz63.tendency, scheme=euler, step=0.01, steps=10
    ),
    observe=partial(arctangent, scale=5.0, factor=10.0),
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=1.0),
    state_dim=3,
    measurement_dim=3,
    error=1.0,
    process_noise=0.01,
    truth_noise=0.0,
    interval=0.1,
    cycles=100,
    burn_in=20,
    lost_above=lorenz63.CLIMATE_CRPS / 2,
    expected=(
        Expected("EnKF, no inflation", 100, "rmse", 0.42, "own prototype, 5-8 seeds"),
    ),
)
