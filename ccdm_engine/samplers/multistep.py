"""Probability-flow ODE by an exponential multistep method of second order.

In ``lambda = -log s`` the flow ``dx/ds = (x - m(x, s)) / s`` is linear in x with the
slow nonlinearity m, so its linear part is integrated exactly::

    x_{k+1} = e^-d x_k + (1 - e^-d) m~,     d = log(s_k / s_{k+1})
    m~ = m_k + (m_k - m_{k-1}) / (2 r),     r = d_{k-1} / d_k

One evaluation per step. The first step is of first order, the method of second.
Lu et al. (2022), "DPM-Solver++", algorithm 2 (2M), arXiv 2211.01095.
"""

from __future__ import annotations

import numpy as np

from ccdm_engine.samplers.contract import Draws, Task


def sample(task: Task) -> Draws:
    """Integrate the flow over all levels, one denoiser evaluation per step."""
    x = task.start
    decrements = np.log(task.levels[:-1] / task.levels[1:])
    before = None
    for k, d in enumerate(decrements):
        mean = task.denoise(x, float(task.levels[k]))
        target = mean
        if before is not None:
            target = mean + (mean - before) * float(d / (2.0 * decrements[k - 1]))
        x = target + (x - target) * float(np.exp(-d))
        before = mean
    return Draws(x, len(decrements))
