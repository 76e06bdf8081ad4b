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
    Miyoshi 2011). Innovations that chance would show once in a thousand cycles mean
    that the ensemble has collapsed or lost the truth: it is widened at once until
    they are credible, but no more than threefold, which is not handed on. An
    observation that is incredible even then counts as if it lay where it is credible
    (:func:`drawn_in`): slopes found in a narrow ensemble are not believed far outside
    of it, and an ensemble that is lost comes back in a few cycles.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri

from ccdm_engine import columns
from ccdm_engine.noise import Noise
from ccdm_engine.options import LEAST_INFLATION, MOST_INFLATION, AnalysisOptions
from ccdm_engine.pairs import Pairs

Array = npt.NDArray[np.float64]

# Variance of what is known of lambda^2 before a cycle (Miyoshi 2011 has 0.04^2; a
# tenth follows within some tens of cycles).
DRIFT = 0.1**2
# What is learned may be below 1, so that chance does not drive it up from there; an
# ensemble is never made narrower, nor wider than this at once.
LEAST, MOST = LEAST_INFLATION, MOST_INFLATION
INCREDIBLE = 1e-3
# What innovations of one cycle may widen the forecast by. Through an instrument that
# is saturated, with slopes next to nothing, more throws members far off the attractor.
MOST_AT_ONCE = 3.0
# Share of a measurement's variance that is taken to come from the states at least:
# in a collapsed ensemble it drowns in the noise.
LEAST_SIGNAL = 0.01


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


def to_perturbations(
    samples: Array, forecast: Array, places: npt.NDArray[np.intp], share: float
) -> Array:
    """Relax each member's deviation to the one it had in the forecast.

    Args:
        samples: members moved, ``(n, dx)``.
        forecast: the members before, ``(N, dx)``.
        places: which member a row is, ``(n,)``; -1 for none, whose spread is relaxed.
        share: 0 keeps the analysis, 1 the deviations of the forecast.
    """
    if share == 0.0:
        return samples
    relaxed = np.array(to_spread(samples, forecast, share))
    kept = places >= 0
    mean = samples[kept].mean(axis=0)
    before = forecast[places[kept]] - forecast.mean(axis=0)
    gaps = samples[kept] - mean
    relaxed[kept] = mean + (1.0 - share) * gaps + share * before
    return relaxed


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


def relaxed(
    samples: Array,
    forecast: Array,
    options: AnalysisOptions,
    places: npt.NDArray[np.intp] | None,
) -> Array:
    """The analysis after inflation and relaxation, if any is asked for.

    Args:
        samples: ``(n, dx)``.
        forecast: ``(N, dx)``.
        options: how much of what.
        places: which member a row is, -1 for none; ``None`` where there is no member
            to go back to, but its spread.
    """
    if not isinstance(options.inflation, str):
        samples = multiplicative(samples, options.inflation)
    share = options.relaxation_to_perturbations
    if places is None:
        samples = to_spread(samples, forecast, share)
    else:
        samples = to_perturbations(samples, forecast, places, share)
    return to_spread(samples, forecast, options.relaxation_to_spread)


class Adapted(NamedTuple):
    """Factors on the deviations of the forecast.

    Attributes:
        learned: ``lambda``, to be handed on to the next cycle.
        applied: the same, at least 1, or more where the innovations call for it.
    """

    learned: float
    applied: float


def adapt(pairs: Pairs, parts: Noise, before: float) -> Adapted:
    """``lambda`` after the innovations of this cycle.

    Args:
        pairs: at least one measurement.
        parts: its measurements taken apart.
        before: ``lambda`` as the cycle before learned it.
    """
    total, gaps, limit, freedom = _innovations(pairs)
    noise = np.minimum(parts.variance / total, 1.0 - LEAST_SIGNAL)
    signal, square = 1.0 - noise, before**2
    expected = square * signal + noise
    seen, weight = float(np.sum(gaps)), float(np.sum(signal))
    credible = min(seen, limit * float(np.sum(expected)))
    estimate = (credible - float(np.sum(noise))) / weight
    doubt = 2.0 * float(np.sum(expected**2)) / weight**2 * gaps.size / freedom
    learned = square + DRIFT / (DRIFT + doubt) * (estimate - square)
    rescue = (seen / limit - float(np.sum(noise))) / weight
    applied = max(learned, min(rescue, MOST_AT_ONCE**2), 1.0)
    return Adapted(_factor(learned), _factor(applied))


class _Innovations(NamedTuple):
    total: Array  # variance of each simulated measurement, (dy,)
    gaps: Array  # squared innovations in units of it, (dy,)
    limit: float  # ratio of seen to expected that chance hardly exceeds
    freedom: float  # independent measurements among the correlated ones


def _innovations(pairs: Pairs) -> _Innovations:
    members = pairs.simulated.shape[0]
    mean = columns.mean(pairs.simulated)
    deviations = pairs.simulated - mean
    total = np.sum(deviations**2, axis=0) / (members - 1)
    gaps = (pairs.observation - mean) ** 2 / total
    freedom = _freedom(deviations / np.sqrt(total))
    limit = float(fdtri(freedom, members - 1, 1.0 - INCREDIBLE))
    return _Innovations(total, gaps, limit, freedom)


def is_credible(pairs: Pairs) -> bool:
    """Whether chance shows such innovations more often than once in a thousand times.

    Args:
        pairs: at least one measurement, every one with spread.
    """
    middle = columns.mean(pairs.simulated)
    gaps = (pairs.observation - middle) ** 2
    # What is no larger than expected is within any limit.
    if np.mean(gaps / columns.deviation(pairs.simulated) ** 2) <= 1.0:
        return True
    found = _innovations(pairs)
    return bool(np.mean(found.gaps) <= found.limit)


def drawn_in(pairs: Pairs) -> Pairs:
    """The observation no farther from the forecast than chance allows.

    Args:
        pairs: at least one measurement, every one with spread. Returned untouched
            where the innovations are credible.
    """
    found = _innovations(pairs)
    ratio = float(np.mean(found.gaps)) / found.limit
    if ratio <= 1.0:
        return pairs
    middle = columns.mean(pairs.simulated)
    near = middle + (pairs.observation - middle) / ratio**0.5
    return replace(pairs, observation=near)


def _factor(square: float) -> float:
    return float(np.sqrt(min(max(square, LEAST**2), MOST**2)))


def _freedom(unit: Array) -> float:
    """Independent measurements among correlated ones, ``(tr C)^2 / tr C^2``.

    Args:
        unit: deviations in units of their spread, ``(N, dy)``. The chance part of
            sample correlations, ``(tr C)^2 / (N - 1)``, is taken off ``tr C^2``.
    """
    members, count = unit.shape
    gram = unit.T @ unit if count <= members else unit @ unit.T
    square = float(np.sum((gram / (members - 1)) ** 2)) - count**2 / (members - 1)
    return float(count**2 / min(max(square, float(count)), float(count**2)))


def wanted(pairs: Pairs, options: AnalysisOptions) -> bool:
    """Whether the forecast is widened, by what the options or the innovations say."""
    if options.inflation == "adaptive":
        return True
    return options.rescues and not is_credible(pairs)


def factors(pairs: Pairs, parts: Noise, options: AnalysisOptions) -> Adapted:
    """The factors by which a forecast is widened that is to be.

    Args:
        pairs: the forecast.
        parts: its measurements taken apart.
        options: whether the factor is learned, and from where on.
    """
    adaptive = options.inflation == "adaptive"
    found = adapt(pairs, parts, options.learned_inflation if adaptive else 1.0)
    if not adaptive:
        return Adapted(1.0, found.applied)
    return found if options.rescues else Adapted(found.learned, max(found.learned, 1.0))


def widened(pairs: Pairs, parts: Noise, factor: float) -> Pairs:
    """Forecast and noise-free measurements widened, noise as it is.

    The noise of a measurement that could not be taken apart is widened with it.

    Args:
        pairs: the forecast.
        parts: its measurements taken apart.
        factor: as applied; 1 returns the pairs untouched.
    """
    if factor == 1.0:
        return pairs
    more = factor - 1.0
    fitted = parts.fitted - parts.fitted.mean(axis=0)
    return replace(
        pairs,
        states=pairs.states + more * (pairs.states - pairs.states.mean(axis=0)),
        simulated=pairs.simulated + more * fitted,
    )
