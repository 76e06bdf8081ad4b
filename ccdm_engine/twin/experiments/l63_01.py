"""L63_01: Lorenz-63, z alone observed at every Euler step.

Setting of Binder, Dasgupta and Oberai (2026). The start N(0, 10 I) and the errors
are wide: 10 is a variance, so the deviations are sqrt(10) and, for the model, a
tenth of it.

What we know of the paper's figures names no setting, so none of them stands here: the
one to expect is that of our reference, over the first 300 cycles, of which 100 count.
"""

import math
from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import component

EXPERIMENT = Experiment(
    name="L63_01",
    source="Binder, Dasgupta and Oberai, arXiv 2603.21291 (2026), setting L63_01",
    summary="Lorenz-63, z alone observed, R = 10, every 0.01: bimodal",
    model=partial(
        advance, tendency=lorenz63.tendency, scheme=euler, step=0.01, steps=1
    ),
    observe=partial(component, index=2),
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=math.sqrt(10.0)),
    state_dim=3,
    measurement_dim=1,
    error=math.sqrt(10.0),
    process_noise=math.sqrt(10.0) / 10.0,
    truth_noise=0.0,
    interval=0.01,
    cycles=1000,
    burn_in=200,
    lost_above=lorenz63.CLIMATE_CRPS,
    bimodal=True,
    expected=(
        Expected("SIR, plain", 100_000, "crps", 2.79, "own reference, 10 seeds"),
    ),
)
