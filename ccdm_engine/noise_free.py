"""Measurements without noise, which no ensemble of real readings has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotrs

from ccdm_engine import columns
from ccdm_engine.pairs import Pairs

Array = npt.NDArray[np.float64]

# Relative misfit below which measurements are taken for exact functions of the state.
NOISE_FREE = 1e-9
# Normal equations with pivots no more unequal than this tell shares of a variance that
# are larger than that beyond doubt.
WELL_POSED, CLEAR = 1e-3, 1e-6


def looks_noise_free(pairs: Pairs) -> bool:
    """Whether some measurement is exactly one of the states, or linear in them."""
    members, dimension = pairs.states.shape
    if members > 2 * dimension + 2:
        measured, states = _unit(pairs.simulated), _unit(pairs.states)
        whole = np.einsum("ij,ij->j", measured, measured)
        # The normal equations tell nearly always that far more is left; where they do
        # not, being nearly singular or out of digits, the full solution decides.
        products, cross = states.T @ states, states.T @ measured
        factor, failed = dpotrf(products, lower=True)
        pivots = np.diag(factor)
        if not failed and np.min(pivots) > WELL_POSED * np.max(pivots):
            fitted = dpotrs(factor, cross, lower=True)[0]
            told = np.einsum("ij,ij->j", cross, fitted)
            if np.all(whole - told > CLEAR * whole):
                return False
        fitted, *_ = np.linalg.lstsq(states, measured, rcond=None)
        left = measured - states @ fitted
        misfit = np.einsum("ij,ij->j", left, left)
        return bool(np.any(misfit < NOISE_FREE**2 * whole))
    return bool(np.any(np.isin(pairs.simulated[0], pairs.states[0])))


def _unit(values: Array) -> Array:
    """Columns from their mean, the largest gap 1; of constants, which are rounding, 0.

    Halves first, so that nothing overflows.
    """
    gaps = values / 2
    low, high = columns.extent(gaps)
    varied = high > low
    gaps -= columns.mean(gaps)
    gaps /= np.where(varied, columns.extent(np.abs(gaps))[1], np.inf)
    return gaps
