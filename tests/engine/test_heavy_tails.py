"""Members far from a mixture's bulk are reached: the start hides them too.

With one dominant weight the weighted deviation is small against the distance of the
other members, and a Gaussian of that deviation has no tail to reach them with.
"""

from __future__ import annotations

import pytest

from ccdm_engine import AnalysisOptions, assimilate
from tests.engine.law import covariance_p, mean_p
from tests.engine.mixtures import dominant_weight

FALSE_ALARM = 1e-4


@pytest.mark.parametrize("schedule", ["ve", "vp"])
@pytest.mark.parametrize("sampler", ["ode", "sde"])
def test_members_of_little_weight_get_their_share(sampler: str, schedule: str) -> None:
    pairs = dominant_weight()
    options = AnalysisOptions(
        sampler=sampler,  # type: ignore[arg-type]
        schedule=schedule,  # type: ignore[arg-type]
        n_samples=40_000,
        scaling="none",
        preconditioner="none",
        shrink=False,
        state_bandwidth=pairs.h_x,
        measurement_bandwidth=pairs.h_y,
    )
    samples = assimilate(
        pairs.states, pairs.simulated, pairs.observation, options=options, seed=1
    ).samples
    assert mean_p(samples, pairs.law) > FALSE_ALARM
    assert covariance_p(samples, pairs.law) > FALSE_ALARM
