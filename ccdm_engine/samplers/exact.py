"""Direct draws from the mixture: ``i ~ w``, ``x = c_i + h xi``.

The law that all other samplers approach, without any integration: the oracle they
are tested against, and the floor on their cost.
"""

from __future__ import annotations

import numpy as np

from ccdm_engine.samplers.contract import Draws, Task

# Numbers worked on at a time.
AT_A_TIME = 2**16


def sample(task: Task) -> Draws:
    """Independent draws; no denoiser evaluations."""
    uniforms = task.rng().random(task.latents.shape[0])
    cumulative = np.cumsum(task.weights)
    chosen = np.searchsorted(cumulative / cumulative[-1], uniforms, side="right")
    chosen = np.minimum(chosen, len(cumulative) - 1)
    samples = task.centres[chosen]
    # Row by row where rows are long: no third array of the size of the samples.
    few = max(1, AT_A_TIME // samples.shape[1])
    for begin in range(0, samples.shape[0], few):
        part = slice(begin, begin + few)
        samples[part] += task.levels[-1] * task.latents[part]
    return Draws(samples, 0)
