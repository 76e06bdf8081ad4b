"""Bootstrap particle filter: sequential importance resampling (Gordon et al. 1993).

It knows R: ``options.measurement_error`` gives the deviations ``r``, the simulated
measurements are ``H(x_i)`` without noise::

    log w_i = -1/2 sum_j ((y*_j - H(x_i)_j) / r_j)^2 + const
    i_1..i_n   systematic resampling from w (Kitagawa 1996)
    x          = x_i + h L xi for every copy but the first,  L L^T = sum_i w_i x'_i x'_i^T

The last line is regularisation (Musso, Oudjane and Le Gland 2001): copies of one
particle stay copies wherever the model has no noise of its own, and the filter dies
of it. Here the first copy of each particle keeps its place and only the others are
spread, by Scott's rule ``h = n^(-1/(dx + 4))``. Measured on Lorenz-63, N = 100, that
holds the truth where no regularisation, or half of it, loses it, and beats moving
every particle. :func:`sir_plain` leaves it out; that is the filter of the textbooks
and of the paper's comparison.

Cost: ``O(N (dx^2 + dy))``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.analysis import Analysis
from ccdm_engine.baselines.frame import Outcome, analyse, require_error
from ccdm_engine.inflation import multiplicative
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, error_deviations

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def sir(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | None = None,
    seed: int | None = None,
) -> Analysis:
    """One analysis of the particle filter with regularised copies.

    Honours ``n_samples``, ``inflation``, ``failed_members`` and ``state_bandwidth``:
    ``"auto"`` is Scott's rule, ``"silverman"`` Silverman's, a number is ``h`` itself
    in multiples of the posterior spread.

    Args:
        forecast_states: ``x_i``, ``(N, dx)``.
        simulated_measurements: ``H(x_i)``, ``(N, dy)``, noise-free.
        observation: ``y*``, ``(dy,)``; NaN means not observed.
        options: must give ``measurement_error``.
        seed: of resampling and regularisation.

    Returns:
        Analysis with equally weighted samples, one per original member by default.

    Raises:
        OptionsError: without a positive ``measurement_error``.
    """
    return analyse(
        "sir",
        _regularised,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def sir_plain(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | None = None,
    seed: int | None = None,
) -> Analysis:
    """One analysis of the particle filter without regularisation.

    Every sample is one of the forecast states, copies included. Arguments, result
    and errors as for :func:`sir`; ``state_bandwidth`` has no meaning here.
    """
    return analyse(
        "sir_plain",
        _plain,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def likelihood_weights(pairs: Pairs, deviations: Array) -> Array:
    """Normalised Gaussian likelihoods ``w_i``, ``(N,)``.

    Args:
        pairs: with noise-free ``simulated``.
        deviations: ``r``, ``(dy,)``.
    """
    gaps = (pairs.observation - pairs.simulated) / deviations
    logs = -0.5 * np.sum(gaps**2, axis=1)
    # Relative to the best particle: at least one weight survives any distance.
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def systematic(weights: Array, count: int, rng: np.random.Generator) -> Indices:
    """Systematic resampling: member i is drawn ``floor`` or ``ceil`` of ``n w_i`` times.

    Args:
        weights: ``(N,)``, adding up to one.
        count: draws n.
        rng: one uniform number.

    Returns:
        Indices in ascending order, ``(n,)``.
    """
    ladder = np.cumsum(weights)
    rungs = (rng.random() + np.arange(count)) / count * ladder[-1]
    places = np.searchsorted(ladder, rungs, side="right")
    # A rung rounded up to the very top must not fall off, nor land on a member of
    # weight zero beyond the last one that counts.
    last = np.flatnonzero(weights)[-1]
    return np.minimum(places, last).astype(np.intp)


def _plain(pairs: Pairs, options: AnalysisOptions, rng: np.random.Generator) -> Outcome:
    samples, _, weights = _resampled(pairs, options, rng)
    return _outcome(samples, weights, options)


def _regularised(
    pairs: Pairs, options: AnalysisOptions, rng: np.random.Generator
) -> Outcome:
    samples, chosen, weights = _resampled(pairs, options, rng)
    bandwidth = _bandwidth(options, *samples.shape)
    copies = np.diff(chosen, prepend=-1) == 0
    draws = rng.standard_normal(samples.shape)[copies]
    samples[copies] += bandwidth * draws @ _root_covariance(pairs.states, weights).T
    return _outcome(samples, weights, options)


def _resampled(
    pairs: Pairs, options: AnalysisOptions, rng: np.random.Generator
) -> tuple[Array, Indices, Array]:
    deviations = error_deviations(pairs, require_error(options))
    weights = likelihood_weights(pairs, deviations)
    refilled = options.failed_members == "refill"
    count = options.n_samples or (pairs.n_members if refilled else pairs.used.size)
    chosen = systematic(weights, count, rng)
    return pairs.states[chosen], chosen, weights


def _outcome(samples: Array, weights: Array, options: AnalysisOptions) -> Outcome:
    effective = 1.0 / float(np.sum(weights**2))
    moved = multiplicative(samples, options.inflation)
    return Outcome(moved, effective, per_member=False)


def _bandwidth(options: AnalysisOptions, count: int, dimension: int) -> float:
    chosen = options.state_bandwidth
    if not isinstance(chosen, str):
        return float(chosen)
    factor = 4.0 / (dimension + 2.0) if chosen == "silverman" else 1.0
    return float((factor / count) ** (1.0 / (dimension + 4.0)))


def _root_covariance(states: Array, weights: Array) -> Array:
    """``L (dx, dx)`` with ``L L^T`` the weighted covariance, whatever its rank."""
    deviations = states - weights @ states
    deviations *= np.sqrt(weights)[:, None]
    values, vectors = np.linalg.eigh(deviations.T @ deviations)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
