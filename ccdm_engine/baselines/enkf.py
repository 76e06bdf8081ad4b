"""Stochastic ensemble Kalman filter from pairs alone (Evensen 1994, 2003).

With deviations ``X' (N, dx)``, ``Y' (N, dy)`` from the ensemble means::

    K   = C_xy C_yy^+          C_xy = X'^T Y' / (N - 1),  C_yy = Y'^T Y' / (N - 1)
    x_i <- x_i + K (y* - y_i)

The simulated measurements ``y_i`` contain noise, so ``C_yy`` holds R already and the
filter needs neither the operator nor R. Without localization K is the least-squares
regression of states on measurements of smallest norm, which covers dy >= N; with it
both covariances are tapered (Houtekamer and Mitchell 2001)::

    K = (rho_xy * C_xy) (rho_yy * C_yy)^-1

Cost: ``O(N dy min(N, dy) + N dx dy)``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.analysis import Analysis
from ccdm_engine.baselines.frame import Outcome, analyse, declared_error
from ccdm_engine.inflation import multiplicative
from ccdm_engine.localization import Localization
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, perturb, without_constants
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
    """One analysis of the stochastic ensemble Kalman filter.

    Honours ``measurement_error`` (perturbs noise-free simulated measurements),
    ``inflation``, ``localization`` and ``failed_members``. Members keep their places.

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
        _update,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def _update(pairs: Pairs, options: AnalysisOptions, seed: int) -> Outcome:
    noisy = perturb(pairs, declared_error(options), stream(seed, PERTURBATION))
    pairs = without_constants(noisy)
    moved = pairs.states + shift(pairs, options.localization)
    samples = multiplicative(moved, options.inflation)
    return Outcome(samples, float(pairs.used.size))


def shift(pairs: Pairs, localization: Localization | None) -> Array:
    """``K (y* - y_i)`` of every member, ``(N, dx)``."""
    if pairs.columns.size == 0:
        return np.zeros_like(pairs.states)
    # In units of each measurement's own spread, so that mixed units do not decide
    # which directions count as zero.
    scale = pairs.simulated.std(axis=0, ddof=1)
    deviations = (pairs.simulated - pairs.simulated.mean(axis=0)) / scale
    innovations = (pairs.observation - pairs.simulated) / scale
    states = pairs.states - pairs.states.mean(axis=0)
    if localization is None:
        return _regressed(states, deviations, innovations)
    return _tapered(states, deviations, innovations, localization, pairs.columns)


def _regressed(states: Array, deviations: Array, innovations: Array) -> Array:
    gain, *_ = np.linalg.lstsq(deviations, states, rcond=RANK_TOLERANCE)
    return np.asarray(innovations @ gain)


def _tapered(
    states: Array,
    deviations: Array,
    innovations: Array,
    localization: Localization,
    columns: npt.NDArray[np.intp],
) -> Array:
    freedom = states.shape[0] - 1
    cross = localization.taper_xy(columns) * (states.T @ deviations / freedom)
    among = localization.taper_yy(columns) * (deviations.T @ deviations / freedom)
    gain_t = np.linalg.lstsq(among, cross.T, rcond=RANK_TOLERANCE)[0]
    return np.asarray(innovations @ gain_t)
