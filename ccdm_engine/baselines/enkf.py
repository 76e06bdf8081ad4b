"""Stochastic ensemble Kalman filters (Evensen 1994; Burgers et al. 1998).

With deviations ``X' (N, dx)``, ``Y' (N, dy)`` from the ensemble means, :func:`enkf`
knows nothing but pairs. Its simulated measurements ``y_i`` contain noise::

    K   = C_xy C_yy^+          C_xy = X'^T Y' / (N - 1),  C_yy = Y'^T Y' / (N - 1)
    x_i <- x_i + K (y* - y_i)

so ``C_yy`` holds R already. K is the least-squares regression of smallest norm, which
covers dy >= N, where it fits the members exactly and takes all spread away: such an
ensemble needs localization, with which both covariances are tapered (Houtekamer and
Mitchell 2001)::

    K = (rho_xy * C_xy) (rho_yy * C_yy)^-1

:func:`enkf_r` is the filter of the literature. It knows R and sees ``H(x_i)`` without
noise, so that no sampling error of the noise enters the gain::

    K   = C_xh (C_hh + R)^-1      x_i <- x_i + K (y* - H(x_i) - r e_i)

with perturbations ``e_i`` of mean zero. The difference is the price of a black box.

Cost: ``O(N dy min(N, dy) + N dx dy)``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.analysis import Analysis
from ccdm_engine.baselines.frame import (
    Outcome,
    analyse,
    declared_error,
    inflated,
    require_error,
)
from ccdm_engine.localization import Localization
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, error_deviations, perturb, without_constants
from ccdm_engine.streams import PERTURBATION, stream

Array = npt.NDArray[np.float64]

# Singular values below this share of the largest count as zero.
RANK_TOLERANCE = 1e-10


def enkf(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | None = None,
    seed: int | None = None,
) -> Analysis:
    """One analysis of the stochastic EnKF from pairs alone.

    Honours ``measurement_error`` (perturbs noise-free simulated measurements, no
    more), ``inflation``, ``localization`` and ``failed_members``. Members keep their
    places.

    Args:
        forecast_states: ``x_i``, ``(N, dx)``.
        simulated_measurements: ``y_i``, ``(N, dy)``, with noise unless
            ``options.measurement_error`` is given.
        observation: ``y*``, ``(dy,)``; NaN means not observed.
        options: ``None`` for the defaults.
        seed: of the perturbations, if any.

    Returns:
        Analysis with one sample per member.
    """
    return analyse(
        "enkf",
        _from_pairs,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def enkf_r(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | None = None,
    seed: int | None = None,
) -> Analysis:
    """One analysis of the stochastic EnKF that knows R.

    Arguments and result as for :func:`enkf`, but ``simulated_measurements`` are
    ``H(x_i)`` without noise and ``options.measurement_error`` must be given.

    Raises:
        OptionsError: without a positive ``measurement_error``.
    """
    return analyse(
        "enkf_r",
        _knowing_error,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def _from_pairs(pairs: Pairs, options: AnalysisOptions, seed: int) -> Outcome:
    noisy = perturb(pairs, declared_error(options), stream(seed, PERTURBATION))
    pairs = without_constants(noisy)
    if pairs.columns.size == 0:
        return _outcome(pairs, np.zeros_like(pairs.states), options)
    # In units of each measurement's own spread, so that mixed units do not decide
    # which directions count as zero.
    scale = pairs.simulated.std(axis=0, ddof=1)
    deviations = _centred(pairs.simulated) / scale
    innovations = (pairs.observation - pairs.simulated) / scale
    states = _centred(pairs.states)
    if options.localization is None:
        gain, *_ = np.linalg.lstsq(deviations, states, rcond=RANK_TOLERANCE)
    else:
        gain = _gain(states, deviations, 0.0, options.localization, pairs.columns)
    return _outcome(pairs, innovations @ gain, options)


def _knowing_error(pairs: Pairs, options: AnalysisOptions, seed: int) -> Outcome:
    error = require_error(options)
    scale = error_deviations(pairs, error)
    noise = perturb(pairs, error, stream(seed, PERTURBATION)).simulated
    noise = _centred(noise - pairs.simulated)
    # Centring takes 1 / N of the variance away.
    noise *= np.sqrt(pairs.used.size / (pairs.used.size - 1.0))
    innovations = (pairs.observation - pairs.simulated - noise) / scale
    deviations = _centred(pairs.simulated) / scale
    states = _centred(pairs.states)
    gain = _gain(states, deviations, 1.0, options.localization, pairs.columns)
    return _outcome(pairs, innovations @ gain, options)


def _gain(
    states: Array,
    deviations: Array,
    error: float,
    localization: Localization | None,
    columns: npt.NDArray[np.intp],
) -> Array:
    """``K^T``, ``(dy, dx)``, from scaled deviations; ``error`` times I joins C_yy."""
    freedom = states.shape[0] - 1
    cross = deviations.T @ states / freedom
    among = deviations.T @ deviations / freedom
    if localization is not None:
        cross *= localization.taper_xy(columns).T
        among *= localization.taper_yy(columns)
    among[np.diag_indices_from(among)] += error
    return np.asarray(np.linalg.lstsq(among, cross, rcond=RANK_TOLERANCE)[0])


def _outcome(pairs: Pairs, shift: Array, options: AnalysisOptions) -> Outcome:
    moved = inflated(pairs.states + shift, options)
    return Outcome(moved, float(pairs.used.size))


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean(axis=0))
