"""Ensemble transform Kalman filter, global or localized (Hunt et al. 2007).

Deterministic, and it knows R: ``options.measurement_error`` gives the deviations
``r``, the simulated measurements are ``H(x_i)`` without noise. With deviations
``X' (N, dx)``, ``Y' (N, dy)`` from the ensemble means, ``S = Y' / r / sqrt(N - 1)``
and ``d = (y* - mean y_i) / r``::

    w    = (I + S S^T)^-1 S d               mean    <- mean + X'^T w / sqrt(N - 1)
    T    = (I + S S^T)^-1/2, symmetric      X'      <- Theta T X'

Localized, each state variable k has its own S and d: measurement j counts with the
Gaspari-Cohn weight ``rho_kj`` on its inverse error variance, that is ``S`` and ``d``
are multiplied by ``sqrt(rho_kj)``.

``Theta`` is a random rotation of the members around their mean, the same for all state
variables (Sakov and Oke 2008, Monthly Weather Review 136): mean and covariance stay
exactly as they are. Without it a deterministic filter lets outliers grow that a
nonlinear model never brings back; measured on Lorenz-63 with N = 100, RMSE is 0.78
without and 0.47 with it.

Cost: ``O(N^3)`` for the rotation and ``O(m^3 + N m (m + dx))``, ``m = min(N, dy)``, for
the rest; localized, the latter for every state variable with its own measurements.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine.analysis import Analysis
from ccdm_engine.baselines.frame import Outcome, analyse, inflated, require_error
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, error_deviations
from ccdm_engine.streams import SAMPLER, stream

Array = npt.NDArray[np.float64]


def letkf(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | None = None,
    seed: int | None = None,
) -> Analysis:
    """One analysis of the (local) ensemble transform Kalman filter.

    Local when ``options.localization`` is given, else the global ETKF. Honours
    ``inflation`` and ``failed_members``. The seed turns the ensemble around its
    mean; it does not touch mean and covariance.

    Args:
        forecast_states: ``x_i``, ``(N, dx)``.
        simulated_measurements: ``H(x_i)``, ``(N, dy)``, noise-free.
        observation: ``y*``, ``(dy,)``; NaN means not observed.
        options: must give ``measurement_error``.
        seed: of the rotation.

    Returns:
        Analysis with one sample per member.

    Raises:
        OptionsError: without a positive ``measurement_error``.
    """
    return analyse(
        "letkf",
        _update,
        forecast_states,
        simulated_measurements,
        observation,
        options,
        seed,
    )


def _update(pairs: Pairs, options: AnalysisOptions, seed: int) -> Outcome:
    deviations = error_deviations(pairs, require_error(options))
    mean_y = pairs.simulated.mean(axis=0)
    freedom = pairs.used.size - 1
    scaled = (pairs.simulated - mean_y) / deviations / np.sqrt(freedom)
    innovation = (pairs.observation - mean_y) / deviations
    mean = pairs.states.mean(axis=0)
    anomalies = pairs.states - mean
    if options.localization is None:
        shift, shrunk = _transformed(anomalies, scaled, innovation)
    else:
        taper = options.localization.taper_xy(pairs.columns)
        shift, shrunk = _locally_transformed(anomalies, scaled, innovation, taper)
    turned = rotated(shrunk, stream(seed, SAMPLER))
    samples = inflated(mean + shift + turned, options)
    return Outcome(samples, float(pairs.used.size))


def _locally_transformed(
    anomalies: Array, scaled: Array, innovation: Array, taper: Array
) -> tuple[Array, Array]:
    """:func:`_transformed` for each state variable with its own taper, ``(dx, dy)``."""
    shift, shrunk = np.zeros(anomalies.shape[1]), anomalies.copy()
    for k, weights in enumerate(np.sqrt(taper)):
        near = np.flatnonzero(weights)
        if near.size:
            local = weights[near]
            shift[[k]], shrunk[:, [k]] = _transformed(
                anomalies[:, [k]], scaled[:, near] * local, innovation[near] * local
            )
    return shift, shrunk


def _transformed(
    anomalies: Array, scaled: Array, innovation: Array
) -> tuple[Array, Array]:
    """``X'^T w / sqrt(N - 1)``, ``(k,)``, and ``T X'``, ``(N, k)``.

    Args:
        anomalies: ``X'``, ``(N, k)``.
        scaled: ``S``, ``(N, dy)``.
        innovation: ``d``, ``(dy,)``.
    """
    members, measurements = scaled.shape
    if measurements < members:
        # (I + S S^T)^-1/2 - I = S V diag(g) V^T S^T with S^T S = V diag(s^2) V^T
        # and g = ((1 + s^2)^-1/2 - 1) / s^2, written so that s = 0 is harmless.
        square, basis = np.linalg.eigh(scaled.T @ scaled)
        square = np.maximum(square, 0.0)
        root = np.sqrt(1.0 + square)
        projected = scaled @ basis
        onto = projected.T @ anomalies
        shrunk = anomalies - projected @ (onto / (root * (1.0 + root))[:, None])
        shift = (basis.T @ innovation / (1.0 + square)) @ onto
    else:
        square, basis = np.linalg.eigh(scaled @ scaled.T)
        square = np.maximum(square, 0.0)
        onto = basis.T @ anomalies
        shrunk = basis @ (onto / np.sqrt(1.0 + square)[:, None])
        shift = (basis.T @ (scaled @ innovation) / (1.0 + square)) @ onto
    return shift / np.sqrt(members - 1), shrunk


def rotated(anomalies: Array, rng: np.random.Generator) -> Array:
    """``Theta X'`` with a random orthogonal ``Theta`` that keeps the mean at zero.

    ``Theta`` acts on the complement of ``1 = (1, ..., 1)``, reached by the Householder
    reflection that takes ``1`` to the first axis; within it, it is uniform (Haar).

    Args:
        anomalies: ``X'``, ``(N, dx)``, columns of mean zero.
        rng: draws the rotation.
    """
    members = anomalies.shape[0]
    if members < 3:
        return anomalies
    normal = np.full(members, 1.0 / np.sqrt(members))
    normal[0] += 1.0
    normal *= np.sqrt(2.0) / np.linalg.norm(normal)
    draws = rng.standard_normal((members - 1, members - 1))
    rotation, triangle = np.linalg.qr(draws)
    # Signs of the diagonal make the QR factor unique, and the rotation uniform.
    rotation *= np.sign(np.diag(triangle))
    reflected = anomalies - np.outer(normal, normal @ anomalies)
    turned = np.concatenate([reflected[:1], rotation @ reflected[1:]])
    return np.asarray(turned - np.outer(normal, normal @ turned))
