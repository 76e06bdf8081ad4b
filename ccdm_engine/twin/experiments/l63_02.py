"""L63_02: Lorenz-63, all three components observed.

Setting of Binder, Dasgupta and Oberai (2026), Euler steps of 0.01. Linear and dense
observations keep the belief close to Gaussian: here a Kalman update is hard to beat.
"""

from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import identity

EXPERIMENT = Experiment(
    name="L63_02",
    source="Binder, Dasgupta and Oberai, arXiv 2603.21291 (2026), setting L63_02",
    summary="Lorenz-63, x, y and z observed, R = 4, every 0.1",
    model=partial(
        advance, tendency=lorenz63.tendency, scheme=euler, step=0.01, steps=10
    ),
    observe=identity,
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=1.0),
    state_dim=3,
    measurement_dim=3,
    error=2.0,
    process_noise=0.01,
    truth_noise=0.0,
    interval=0.1,
    cycles=100,
    burn_in=20,
    lost_above=lorenz63.CLIMATE_CRPS / 2,
    expected=(
        Expected("EnKF, no inflation", 100, "rmse", 0.52, "own prototype, 5-8 seeds"),
        Expected("EnKF, no inflation", 250, "rmse", 0.50, "own prototype, 5-8 seeds"),
    ),
)
