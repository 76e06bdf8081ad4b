"""Direct draws from the mixture: ``i ~ w``, ``x = c_i + h xi``.

The law that all other samplers approach, without any integration: the oracle they
are tested against, and the floor on their cost.
"""

from __future__ import annotations

import numpy as np

from ccdm_engine.samplers.contract import Draws, Task


def sample(task: Task) -> Draws:
    """Independent draws; no denoiser evaluations."""
    uniforms = task.rng.random(task.latents.shape[0])
    cumulative = np.cumsum(task.weights)
    chosen = np.searchsorted(cumulative / cumulative[-1], uniforms, side="right")
    chosen = np.minimum(chosen, len(cumulative) - 1)
    return Draws(task.centres[chosen] + task.levels[-1] * task.latents, 0)
