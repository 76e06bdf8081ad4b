"""L96_01: Lorenz-96 in 40 dimensions, every second component observed.

Setting of Binder, Dasgupta and Oberai (2026), Euler steps of 0.01. Note the units:
the error is given as a standard deviation, sqrt(0.5), and so is the process noise.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz96
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import every_second

EXPERIMENT = Experiment(
    name="L96_01",
    source="Binder, Dasgupta and Oberai, arXiv 2603.21291 (2026), setting L96_01",
    summary="Lorenz-96, 20 of 40 components observed, R = 0.5, every 0.1",
    model=partial(
        advance, tendency=lorenz96.tendency, scheme=euler, step=0.01, steps=10
    ),
    observe=every_second,
    initial=partial(gaussian_start, mean=(0.0,) * 40, std=1.0),
    state_dim=40,
    measurement_dim=20,
    error=math.sqrt(0.5),
    process_noise=0.1,
    truth_noise=0.0,
    interval=0.1,
    cycles=100,
    burn_in=20,
    lost_above=lorenz96.CLIMATE_CRPS / 2,
    period=40.0,
    measured_at=tuple(range(0, 40, 2)),
    expected=(
        Expected("EnKF, no inflation", 100, "rmse", 3.5, "own prototype, 5-8 seeds"),
        Expected("EnKF, inflation 1.05", 100, "rmse", 0.91, "own prototype"),
        Expected("SIR", 100, "rmse", 5.3, "own prototype, 5-8 seeds"),
    ),
)
