"""The paper's configuration, written from the paper alone, with SciPy's own parts.

No scaling; ensemble centred on its mean; ``s(t) = h_x + t (h_max - h_x)``, t from 1 to
0; start ``N(0, h_max^2 I)``; adaptive RK45 with rtol = atol = 1e-5 over all samples as
one system; distances by ``cdist``, responsibilities by ``softmax``. Shares no code
with the engine. Binder, Dasgupta and Oberai (2026), arXiv 2603.21291.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.spatial.distance import cdist
from scipy.special import softmax

from benchmarks.problems import Problem

Array = npt.NDArray[np.float64]


def sample(problem: Problem, seed: int) -> tuple[Array, int]:
    """As many samples as members, ``(N, dx)``, and score evaluations."""
    states = problem.states
    mean = states.mean(axis=0)
    centres = states - mean
    gaps = cdist(problem.observation[None], problem.simulated, "sqeuclidean")[0]
    log_weights = -gaps / (2 * problem.measurement_bandwidth**2)
    small, large = problem.state_bandwidth, problem.max_bandwidth

    def slope(t: float, flat: Array) -> Array:
        x = flat.reshape(states.shape)
        s = small + t * (large - small)
        logits = log_weights - cdist(x, centres, "sqeuclidean") / (2 * s**2)
        score = (softmax(logits, axis=1) @ centres - x) / s**2
        return np.asarray(-s * (large - small) * score).ravel()

    start = large * np.random.default_rng(seed).standard_normal(states.shape)
    found = solve_ivp(
        slope, (1.0, 0.0), start.ravel(), method="RK45", rtol=1e-5, atol=1e-5
    )
    return found.y[:, -1].reshape(states.shape) + mean, int(found.nfev)
