"""Inflation: widen an ensemble that sampling error has made too sure of itself.

Three ways act on the analysis; neutral values return the very same array.

:func:`multiplicative`
    deviations times a factor (Anderson and Anderson 1999).
:func:`to_perturbations`
    deviations relaxed to those of the forecast (RTPP, Zhang et al. 2004).
:func:`to_spread`
    the spread of each variable relaxed to that of the forecast (RTPS, Whitaker and
    Hamill 2012).

One acts on the forecast, before the analysis:

:func:`adapt`
    deviations times a factor that follows the innovations from cycle to cycle. With
    ``d = y* - mean y_i``, ``s`` the variance of ``f(x_i)`` and ``r`` that of the
    noise, per measurement, ``E d^2 = lambda^2 s + r`` has the moment estimate::

        lambda^2 = sum_j (d_j^2 - r_j) / v_j / sum_j s_j / v_j,    v = s + r

    whose variance is about ``2 sum ((lambda^2 s + r) / v)^2 / (sum s / v)^2``. A
    scalar Kalman filter averages it over cycles (Li, Kalnay and Miyoshi 2009;
    Miyoshi 2011). A collapsed ensemble far from the measurements gives a huge
    estimate, and is widened within a few cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.errors import OptionsError
from ccdm_engine.noise import Noise
from ccdm_engine.pairs import Pairs

Array = npt.NDArray[np.float64]

# Variance of what is known of lambda^2 before a cycle (Miyoshi 2011 has 0.04^2; a
# tenth follows within some tens of cycles).
DRIFT = 0.1**2
# An ensemble is not made narrower, nor wider than this at once.
LEAST, MOST = 1.0, 1e4
CARRIED = "forecast_inflation"


def multiplicative(samples: Array, factor: float) -> Array:
    """Scale deviations from the ensemble mean: ``mean + factor (x - mean)``.

    Args:
        samples: ``(n, dx)``.
        factor: positive; 1 returns the samples untouched.

    Returns:
        Inflated samples, ``(n, dx)``.
    """
    if factor == 1.0:
        return samples
    mean = samples.mean(axis=0)
    return np.asarray(mean + factor * (samples - mean))


def to_perturbations(samples: Array, forecast: Array, share: float) -> Array:
    """Relax each member's deviation to the one it had in the forecast.

    Args:
        samples: members moved, ``(N, dx)``.
        forecast: the same members before, ``(N, dx)``.
        share: 0 keeps the analysis, 1 the deviations of the forecast.
    """
    if share == 0.0:
        return samples
    mean, before = samples.mean(axis=0), forecast - forecast.mean(axis=0)
    return np.asarray(mean + (1.0 - share) * (samples - mean) + share * before)


def to_spread(samples: Array, forecast: Array, share: float) -> Array:
    """Relax the standard deviation of each variable to that of the forecast.

    Args:
        samples: ``(n, dx)``.
        forecast: ``(N, dx)``.
        share: 0 keeps the analysis, 1 restores the spread of the forecast. Variables
            without spread in the analysis keep none.
    """
    if share == 0.0 or samples.shape[0] < 2:
        return samples
    mean, spread = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    before = forecast.std(axis=0, ddof=1)
    wanted = (1.0 - share) * spread + share * before
    factor = np.divide(wanted, spread, out=np.ones_like(spread), where=spread > 0)
    return np.asarray(mean + factor * (samples - mean))


def carried(carry: Mapping[str, Any] | None) -> float:
    """``lambda^2`` as the cycle before left it; 1 at the start.

    Raises:
        OptionsError: for a carry that no analysis has returned.
    """
    if not carry:
        return 1.0
    value = carry.get(CARRIED)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionsError("carry", got=repr(carry)[:60], wanted="Analysis.carry")
    if not LEAST <= value <= MOST:
        raise OptionsError(
            "carry", got=f"{CARRIED} = {value}", wanted=f"{LEAST:g} to {MOST:g}"
        )
    return float(value)


def adapt(pairs: Pairs, parts: Noise, before: float) -> float:
    """``lambda^2`` after the innovations of this cycle.

    Args:
        pairs: at least one measurement.
        parts: its measurements taken apart.
        before: ``lambda^2`` of the cycle before.
    """
    total = np.var(pairs.simulated, axis=0, ddof=1)
    noise = np.minimum(np.diag(parts.covariance), total) / total
    signal = 1.0 - noise
    gap = (pairs.observation - pairs.simulated.mean(axis=0)) ** 2 / total
    weight = float(np.sum(signal))
    if weight <= 0.0:
        return before
    estimate = float(np.sum(gap - noise)) / weight
    doubt = 2.0 * float(np.sum((before * signal + noise) ** 2)) / weight**2
    after = before + DRIFT / (DRIFT + doubt) * (estimate - before)
    return min(max(after, LEAST), MOST)


def widened(pairs: Pairs, parts: Noise, square: float) -> Pairs:
    """Forecast and noise-free measurements widened, noise as it is.

    Args:
        pairs: the forecast.
        parts: its measurements taken apart.
        square: ``lambda^2``; 1 returns the pairs untouched.
    """
    if square == 1.0:
        return pairs
    more = np.sqrt(square) - 1.0
    fitted = parts.fitted - parts.fitted.mean(axis=0)
    return replace(
        pairs,
        states=pairs.states + more * (pairs.states - pairs.states.mean(axis=0)),
        simulated=pairs.simulated + more * fitted,
    )
