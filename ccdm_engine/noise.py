"""The measurement error, as the pairs show it.

Regressing the simulated measurements on the states separates what a measurement says
about its own state from the noise on it::

    y_i = f(x_i) + eps_i,   R = cov(eps)

A kernel around ``f(x_i)`` of covariance ``h^2 R`` is then the likelihood itself for
``h = 1``, and a tempered one for ``h > 1``, where a kernel around ``y_i`` would carry
the noise twice. What tempering leaves of the likelihood (its power ``1 - 1 / h^2``)
goes through the regression of states on measurements: the ensemble Kalman particle
filter of Frei and Kuensch (2013), with the likelihood learned from the pairs.

``f`` is linear or quadratic, by leave-one-out error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine import preconditioning
from ccdm_engine.pairs import Pairs
from ccdm_engine.preconditioning import Regression
from ccdm_engine.scaling import MEMBERS_PER_DIMENSION, symmetric_roots

Array = npt.NDArray[np.float64]

# Noise below this share of a measurement's variance is no noise.
LEAST_SHARE = 1e-6
# A richer fit must leave less than this share of the error of a simpler one.
MARGIN = 0.95


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Noise-free measurements and the noise on them.

    Attributes:
        fitted: ``f(x_i)``, ``(N, dy)``.
        whiten: ``R^-1/2``, ``(dy, dy)``.
    """

    fitted: Array
    whiten: Array


def noise_model(pairs: Pairs) -> NoiseModel | None:
    """The noise of the simulated measurements, or ``None`` where it cannot be told.

    It cannot with fewer than five members per state variable, nor where the simulated
    measurements are exact functions of the states.

    Args:
        pairs: with noisy simulated measurements.
    """
    members, dimension = pairs.states.shape
    if members < MEMBERS_PER_DIMENSION * (dimension + 1):
        return None
    variance = np.var(pairs.simulated, axis=0)
    best, errors, least = None, np.zeros(0), np.inf
    for fit in _fits(pairs):
        found = fit.held_out_residuals
        size = float(np.sum(np.mean(found**2, axis=0) / variance))
        if size < MARGIN * least:
            best, errors, least = fit, found, size
    if best is None or np.any(np.mean(errors**2, axis=0) < LEAST_SHARE * variance):
        return None
    # Leave-one-out errors: the noise, and what the fit itself does not know.
    covariance = errors.T @ errors / members
    return NoiseModel(pairs.simulated - best.residuals, symmetric_roots(covariance)[1])


def _fits(pairs: Pairs) -> Iterator[Regression]:
    """Regressions of measurements on states, the simplest first."""
    members, dimension = pairs.states.shape
    centre = pairs.states.mean(axis=0)
    spread = pairs.states.std(axis=0)
    states = (pairs.states - centre) / np.where(spread > 0, spread, 1.0)
    yield _centred(preconditioning.linear(pairs.simulated, states, states[0]))
    first, second = np.triu_indices(dimension)
    if members >= MEMBERS_PER_DIMENSION * (1 + dimension + first.size):
        features = np.hstack([states, states[:, first] * states[:, second]])
        yield _centred(preconditioning.linear(pairs.simulated, features, features[0]))


def _centred(fit: Regression) -> Regression:
    """Residuals about zero; the mean belongs to the fitted part."""
    return replace(fit, residuals=fit.residuals - fit.residuals.mean(axis=0))
