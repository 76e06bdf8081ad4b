"""The measurement error, as the pairs show it.

Regressing the simulated measurements on the states separates what a measurement says
about its own state from the noise on it::

    y_i = f(x_i) + eps_i,   R = cov(eps)

A kernel around ``f(x_i)`` of covariance ``h^2 R`` is then the likelihood itself for
``h = 1``, and a tempered one for ``h > 1``, where a kernel around ``y_i`` would carry
the noise twice. What tempering leaves of the likelihood (its power ``1 - 1 / h^2``)
goes through the regression of states on measurements: the ensemble Kalman particle
filter of Frei and Kuensch (2013), with the likelihood learned from the pairs.

``f`` is linear here, and tempering is used only where that is the whole story.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine import preconditioning
from ccdm_engine.pairs import Pairs
from ccdm_engine.scaling import MEMBERS_PER_DIMENSION, symmetric_roots

Array = npt.NDArray[np.float64]

# Noise below this share of a measurement's variance is no noise.
LEAST_SHARE = 1e-6
# A curved fit must leave less than this share of the error of a straight one.
MARGIN = 0.9


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
    """The noise of the simulated measurements, where tempering it is sound.

    ``None`` with fewer than five members per state variable, where the simulated
    measurements are exact functions of the states, and where the relation is curved:
    the likelihood may then have several modes, and what a straight line leaves over
    is not noise.

    Args:
        pairs: with noisy simulated measurements.
    """
    members, dimension = pairs.states.shape
    if members < MEMBERS_PER_DIMENSION * (dimension + 1):
        return None
    states = pairs.states - pairs.states.mean(axis=0)
    spread = states.std(axis=0)
    states = states / np.where(spread > 0, spread, 1.0)
    fit = preconditioning.linear(pairs.simulated, states, states[0])
    # Leave-one-out errors: the noise, and what the fit itself does not know.
    errors = fit.held_out_residuals - fit.residuals.mean(axis=0)
    variance = np.var(pairs.simulated, axis=0)
    if np.any(np.mean(errors**2, axis=0) < LEAST_SHARE * variance):
        return None
    covariance = errors.T @ errors / members
    whiten = symmetric_roots(covariance)[1]
    fitted = pairs.simulated - fit.residuals + fit.residuals.mean(axis=0)
    if _is_curved(pairs, states, errors):
        return None
    return NoiseModel(fitted, whiten)


def _is_curved(pairs: Pairs, states: Array, errors: Array) -> bool:
    """Whether a quadratic fit leaves clearly less than the linear one's errors."""
    members, dimension = states.shape
    first, second = np.triu_indices(dimension)
    if members < MEMBERS_PER_DIMENSION * (1 + dimension + first.size):
        return False
    features = np.hstack([states, states[:, first] * states[:, second]])
    fit = preconditioning.linear(pairs.simulated, features, features[0])
    richer = fit.held_out_residuals - fit.residuals.mean(axis=0)
    return bool(
        np.any(np.mean(richer**2, axis=0) < MARGIN * np.mean(errors**2, axis=0))
    )
