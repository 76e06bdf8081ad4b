"""L96_abs: L96_01 with absolute values of every second component.

The sign of an observed component stays open in one analysis, but its neighbours and
its past decide it, so that the belief is bimodal only in places.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz96
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import every_second_absolute

EXPERIMENT = Experiment(
    name="L96_abs",
    source="nonlinear variant of L96_01",
    summary="Lorenz-96, 20 of 40 absolute values observed, R = 0.5, every 0.1",
    model=partial(
        advance, tendency=lorenz96.tendency, scheme=euler, step=0.01, steps=10
    ),
    observe=every_second_absolute,
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
        Expected("linear preconditioning, tapered", 100, "rmse", 0.45, "own prototype"),
    ),
)
