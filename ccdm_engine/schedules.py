"""Noise levels: data, not behaviour.

A schedule is a decreasing array of noise scales, from ``s_0 = h_max`` to ``s_K = h_x``.
Variance exploding (VE) is the natural coordinate of this method: the noised mixture
has variance ``s^2 = h_x^2 + sigma^2``. Variance preserving (VP) is the same path seen
in rescaled coordinates, ``x_vp = alpha x_ve`` with ``alpha = 1 / sqrt(1 + sigma^2)``
(Song et al. 2021, section 3.4), so that all it changes is the spacing of the levels.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# beta(t) = BETA_MIN + t (BETA_MAX - BETA_MIN), Song et al. (2021), appendix C.
BETA_MIN, BETA_MAX = 0.1, 20.0
# The largest level, in units of the data's spread, for which VP time is reckoned.
SPREADS = 4.0
# Few steps suffice anywhere; unless asked for, no more than this however narrow h is.
LEAST_STEPS, MOST_STEPS = 5, 1000
# Steps may be so many times as long as they are on average.
WIDEST_STEP = 1.5
# Kernels so many times narrower than the ensemble are usual.
USUAL = 10.0
# Where the noise hides the ensemble, steps per ``log s`` fall to this share.
FAR_SHARE = 1.0 / 16.0
# Points of ``log s`` between which spacings are interpolated.
SHARES = np.linspace(0.0, 1.0, 65)


def variance_exploding(
    smallest: float, largest: float, steps: int, spread: float = np.inf
) -> Array:
    """Levels evenly spaced on the :func:`way`, ``(steps + 1,)``, from the largest."""
    if math.isfinite(spread):
        grid = np.log(smallest) + np.log(largest / smallest) * SHARES
        passed = way(np.exp(grid), spread)
        even = passed[-1] - (passed[-1] - passed[0]) * (np.arange(steps + 1) / steps)
        levels = np.exp(np.interp(even, passed, grid))
    else:
        levels = np.geomspace(largest, smallest, steps + 1)
    levels[0], levels[-1] = largest, smallest
    return np.asarray(levels)


def way(s: Array, spread: float) -> Array:
    """How far along the path a level is: ``log s``, contracted where little happens.

    Its slope is ``1 / (1 + s / L) + FAR_SHARE``, L the spread of the ensemble: beyond
    it the noised mixture is nearly Gaussian, which needs no steps where the sampler
    solves Gaussians exactly. An infinite spread leaves ``log s``.
    """
    if not math.isfinite(spread):
        return np.asarray(np.log(s))
    return np.asarray(FAR_SHARE * np.log(s) - np.log1p(spread / s))


def variance_preserving(
    smallest: float, largest: float, steps: int, spread: float = np.inf
) -> Array:
    """Levels uniform in the square root of VP time, ``(steps + 1,)``, for any spread.

    With ``B(t) = t BETA_MIN + t^2 (BETA_MAX - BETA_MIN) / 2`` the noise is
    ``sigma(t)^2 = u^2 (exp(B(t)) - 1)``, u the spread of the data (here a quarter of
    the largest level), and ``s^2 = h_x^2 + sigma^2``. Uniform time would jump over
    the narrow scales in its last step; quadratic spacing is that of Song, Meng and
    Ermon (2021), appendix D.2.
    """
    unit = largest / SPREADS
    budget = np.log1p((largest**2 - smallest**2) / unit**2)
    slope = BETA_MAX - BETA_MIN
    end = (np.sqrt(BETA_MIN**2 + 2 * slope * budget) - BETA_MIN) / slope
    time = end * np.linspace(1.0, 0.0, steps + 1) ** 2
    exponent = time * BETA_MIN + time**2 * slope / 2
    levels = np.sqrt(smallest**2 + unit**2 * np.expm1(exponent))
    levels[0], levels[-1] = largest, smallest
    return np.asarray(levels)


def levels(
    schedule: str,
    smallest: float,
    largest: float,
    steps: int | None,
    density: float,
    spread: float = np.inf,
) -> Array:
    """Levels of the named schedule, with enough steps where none are asked for.

    Args:
        schedule: ``"ve"`` or ``"vp"``.
        smallest: ``h_x``.
        largest: ``h_max``.
        steps: how many; ``None`` takes so many that no step on the :func:`way`
            exceeds ``1 / density`` by more than half.
        density: steps per unit of the way, with kernels no narrower than usual. The
            errors of all steps add up in the width of the kernels: narrower ones are
            as many times denser as ``log s`` is longer down to them.
        spread: of the ensemble, where the sampler solves Gaussians exactly.

    Raises:
        OverflowError: for levels that are no numbers.
    """
    rule = SCHEDULES[schedule]
    if steps is not None:
        return rule(smallest, largest, steps, spread)
    if math.isfinite(spread) and spread > USUAL * smallest:
        density *= math.log(spread / smallest) / math.log(USUAL)
    first, last = way(np.array([smallest, largest]), spread)
    length = float(last - first)
    if not math.isfinite(length):
        raise OverflowError(f"noise levels from {largest:g} down to {smallest:g}")
    count = min(max(LEAST_STEPS, int(np.ceil(density * length))), MOST_STEPS)
    found = rule(smallest, largest, count, spread)
    if _widest(found, spread) <= WIDEST_STEP / density:
        return found
    return _refined(found, WIDEST_STEP / density, spread)


def _widest(levels: Array, spread: float) -> float:
    passed = way(levels, spread)
    return float(np.maximum.reduce(passed[:-1] - passed[1:]))


def _refined(levels: Array, most: float, spread: float) -> Array:
    """The levels, and between those too far apart on the way as many as it takes.

    Args:
        levels: from the largest, ``(K + 1,)``.
        most: longest step on the way.
        spread: see :func:`way`.
    """
    passed = way(levels, spread)
    parts = np.maximum(np.ceil((passed[:-1] - passed[1:]) / most), 1.0).astype(np.intp)
    if parts.sum() > MOST_STEPS:
        return variance_exploding(levels[-1], levels[0], MOST_STEPS, spread)
    shares = np.concatenate([np.arange(k) / k for k in parts.tolist()])
    ratios = np.repeat(np.log(levels[1:] / levels[:-1]), parts)
    finer = np.repeat(levels[:-1], parts) * np.exp(shares * ratios)
    return np.append(finer, levels[-1])


SCHEDULES = {"ve": variance_exploding, "vp": variance_preserving}
