"""Independent random streams of one analysis, by purpose.

Every use of randomness has its own stream derived from the analysis seed, so that
what one part draws does not depend on how much another has drawn.
"""

from __future__ import annotations

import numpy as np

PERTURBATION, LATENTS, SAMPLER, EXTRA = range(4)


def stream(seed: int, *key: int) -> np.random.Generator:
    """The generator for one purpose (and batch) of the analysis with this seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
