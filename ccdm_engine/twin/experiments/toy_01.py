"""TOY_01: one resting variable, its absolute value observed.

Setting of Binder, Dasgupta and Oberai (2026). The posterior stays bimodal for ever;
it is known exactly by Bayes' rule on a grid, whose own score is the figure to expect:
half of the belief is always on the wrong side. What we know of the paper's figures
names no setting, so none of them stands here.
"""

from ccdm_engine.twin import toy
from ccdm_engine.twin.experiment import Expected, Experiment
from ccdm_engine.twin.operators import absolute

EXPERIMENT = Experiment(
    name="TOY_01",
    source="Binder, Dasgupta and Oberai, arXiv 2603.21291 (2026), setting TOY_01",
    summary="one resting variable near +1 or -1, |x| observed: bimodal",
    model=toy.stay,
    observe=absolute,
    initial=toy.two_modes,
    state_dim=1,
    measurement_dim=1,
    error=0.1,
    process_noise=0.1,
    truth_noise=0.0,
    interval=0.1,
    cycles=100,
    burn_in=20,
    lost_above=toy.MOSTLY_WRONG_CRPS,
    bimodal=True,
    expected=(
        Expected("Bayes' rule on a grid", 1000, "crps", 0.476, "exact, 10 seeds"),
    ),
)
