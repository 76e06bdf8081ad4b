"""L63_03: Lorenz-63, z alone observed.

Setting of Binder, Dasgupta and Oberai (2026), Euler steps of 0.01. z does not know
the sign of (x, y): the exact posterior has two mirrored modes, and the RMSE of its
mean says nothing. Read CRPS, energy score or W2.
"""

from functools import partial

from ccdm_engine.twin import lorenz63
from ccdm_engine.twin.experiment import Expected, Experiment, gaussian_start
from ccdm_engine.twin.integrators import advance, euler
from ccdm_engine.twin.operators import component

EXPERIMENT = Experiment(
    name="L63_03",
    source="Binder, Dasgupta and Oberai, arXiv 2603.21291 (2026), setting L63_03",
    summary="Lorenz-63, z alone observed, R = 4, every 0.1: bimodal",
    model=partial(
        advance, tendency=lorenz63.tendency, scheme=euler, step=0.01, steps=10
    ),
    observe=partial(component, index=2),
    initial=partial(gaussian_start, mean=(0.0, 0.0, 0.0), std=1.0),
    state_dim=3,
    measurement_dim=1,
    error=2.0,
    process_noise=0.01,
    truth_noise=0.0,
    interval=0.1,
    cycles=100,
    burn_in=20,
    lost_above=lorenz63.CLIMATE_CRPS,
    bimodal=True,
    expected=(
        Expected("EnKF, no inflation", 100, "crps", 5.82, "own prototype, 5-8 seeds"),
        Expected("EnKF, no inflation", 250, "crps", 5.63, "own prototype, 5-8 seeds"),
        Expected("SIR", 100, "crps", 6.54, "own prototype, 5-8 seeds"),
        Expected("SIR", 250, "crps", 6.19, "own prototype, 5-8 seeds"),
    ),
)
