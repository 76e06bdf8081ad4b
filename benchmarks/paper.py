"""The paper's configuration, written from the paper alone, with SciPy's own parts.

No scaling; ensemble centred on its mean; ``s(t) = h_x + t (h_max - h_x)``, t from 1 to
0; start ``N(0, h_max^2 I)``; adaptive RK45 with rtol = atol = 1e-5 over all samples as
one system; distances by ``cdist``, responsibilities by ``softmax``. Shares no code
with the engine. Binder, Dasgupta and Oberai (2026), arXiv 2603.21291.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.spatial.distance import cdist
from scipy.special import softmax

from benchmarks.problems import Problem

Array = npt.NDArray[np.float64]
# Of t and all samples as one vector.
Slope = Callable[[float, Array], Array]


def sample(problem: Problem, seed: int) -> tuple[Array, int]:
    """As many samples as members, ``(N, dx)``, and score evaluations."""
    states = problem.states
    start = problem.max_bandwidth * np.random.default_rng(seed).standard_normal(
        states.shape
    )
    found = solve_ivp(
        slope_of(problem),
        (1.0, 0.0),
        start.ravel(),
        method="RK45",
        rtol=1e-5,
        atol=1e-5,
    )
    samples = found.y[:, -1].reshape(states.shape) + states.mean(axis=0)
    return samples, int(found.nfev)


def slope_of(problem: Problem) -> Slope:
    """The right-hand side of the flow, as one would write it with SciPy."""
    centres, log_weights = _centred(problem)
    small, large = problem.state_bandwidth, problem.max_bandwidth

    def slope(t: float, flat: Array) -> Array:
        x = flat.reshape(centres.shape)
        s = small + t * (large - small)
        logits = log_weights - cdist(x, centres, "sqeuclidean") / (2 * s**2)
        score = (softmax(logits, axis=1) @ centres - x) / s**2
        return np.asarray(-s * (large - small) * score).ravel()

    return slope


def frugal_slope_of(problem: Problem) -> Slope:
    """The same in double precision with NumPy alone, in one place for the logits.

    What the way of writing costs, and not the method.
    """
    centres, log_weights = _centred(problem)
    small, large = problem.state_bandwidth, problem.max_bandwidth
    halves = 0.5 * np.einsum("ij,ij->i", centres, centres)
    members = centres.shape[0]
    logits = np.empty((members, members))
    turned = np.ascontiguousarray(centres.T)

    def slope(t: float, flat: Array) -> Array:
        x = flat.reshape(centres.shape)
        s = small + t * (large - small)
        # What depends on x alone is the same for all members, and divides out.
        np.matmul(x / s**2, turned, out=logits)
        np.add(logits, log_weights - halves / s**2, out=logits)
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        score = (logits @ centres / total - x) / s**2
        return np.asarray(-s * (large - small) * score).ravel()

    return slope


def _centred(problem: Problem) -> tuple[Array, Array]:
    """Centres around their mean, and the logarithms of their weights."""
    gaps = cdist(problem.observation[None], problem.simulated, "sqeuclidean")[0]
    log_weights = -gaps / (2 * problem.measurement_bandwidth**2)
    return problem.states - problem.states.mean(axis=0), log_weights
