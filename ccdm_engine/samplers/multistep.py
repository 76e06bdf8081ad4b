"""Probability-flow ODE by an exponential multistep method of second order.

Along the axes of the noised mixture's covariance, with ``l`` the variance of the
centres along an axis and x measured from their mean, the denoiser of a Gaussian is
``l x / (l + s^2)``. What is left of the mixture's own, ``n = m - l x / (l + s^2)``, is
small where the noise hides the members, and everything else is integrated exactly::

    dx/ds = (x - m) / s  =  s x / (l + s^2) - n / s
    z = x / sqrt(l + s^2),   dz/ds = -n / (s sqrt(l + s^2))

n is extrapolated linearly in ``u = log(1 + L^2 / s^2)``, L the spread of the centres,
from its last two values: a time in which it changes evenly, from noise that hides all
members down to single kernels. One evaluation per step; the first step is of first
order, the method of second. A Gaussian ensemble is solved exactly in one step.

With ``l = 0`` it is DPM-Solver++(2M) (Lu et al. 2022, algorithm 2, arXiv 2211.01095),
up to how the extrapolation is integrated; exponential integrators with the linear
part taken from the problem are surveyed by Hochbruck and Ostermann (2010).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.samplers.contract import Coefficients, Draws, Task

Array = npt.NDArray[np.float64]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def sample(task: Task) -> Draws:
    """Integrate the flow over all levels, one denoiser evaluation per step.

    Raises:
        ValueError: for a task without coefficients.
    """
    if task.coefficients is None:
        raise ValueError("the multistep method needs the coefficients of its steps")
    rules = task.coefficients
    rules = Coefficients(*(part.astype(task.start.dtype) for part in rules))
    x, before = task.start.copy(order="K"), None
    step = np.empty_like(x)
    for k, s in enumerate(task.levels[:-1].tolist()):
        rest = task.denoise(x, s)
        rest -= np.multiply(x, rules.gaussian[k], out=step)
        x *= rules.carry[k]
        if before is None:
            x += np.multiply(rest, rules.last[k] + rules.previous[k], out=step)
        else:
            x += np.multiply(rest, rules.last[k], out=step)
            before *= rules.previous[k]
            x += before
        before = rest
    return Draws(x, task.levels.size - 1)


def coefficients(levels: Array, variances: Array, spread: float) -> Coefficients:
    """What each step takes of x, of the last ``n`` and of the one before.

    Args:
        levels: ``s_0 > ... > s_K``, ``(K + 1,)``.
        variances: ``l`` of each coordinate, ``(d,)``.
        spread: ``L``; 0, as of members that coincide, extrapolates in ``log s``.

    Returns:
        Arrays ``(K, d)``. Where there is no value before, the two add up.
    """
    high, low = levels[:-1, None, None], levels[1:, None, None]
    # Points and weights of the integral over log s, (K, 8, 1).
    half = 0.5 * np.log(high / low)
    s = np.sqrt(high * low) * np.exp(half * NODES[:, None])
    weight = half * WEIGHTS[:, None] / np.sqrt(variances + s**2)
    start = _time(high, spread)
    share = _time(s, spread) - start
    share[1:] /= start[1:] - start[:-1]
    share[0] = 0.0
    noised = variances + levels[:, None] ** 2
    widths = np.sqrt(noised)
    end = widths[1:]
    return Coefficients(
        gaussian=variances / noised[:-1],
        carry=end / widths[:-1],
        last=end * np.add.reduce(weight * (1.0 + share), axis=1),
        previous=-end * np.add.reduce(weight * share, axis=1),
    )


def _time(s: Array, spread: float) -> Array:
    return np.asarray(np.log1p((spread / s) ** 2) if spread > 0 else -2.0 * np.log(s))
