"""Noise levels: data, not behaviour.

A schedule is a decreasing array of noise scales, from ``s_0 = h_max`` to ``s_K = h_x``.
Variance exploding (VE) is the natural coordinate of this method: the noised mixture
has variance ``s^2 = h_x^2 + sigma^2``. Variance preserving (VP) is the same path seen
in rescaled coordinates, ``x_vp = alpha x_ve`` with ``alpha = 1 / sqrt(1 + sigma^2)``
(Song et al. 2021, section 3.4), so that all it changes is the spacing of the levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# beta(t) = BETA_MIN + t (BETA_MAX - BETA_MIN), Song et al. (2021), appendix C.
BETA_MIN, BETA_MAX = 0.1, 20.0


def variance_exploding(smallest: float, largest: float, steps: int) -> Array:
    """Levels uniform in ``log s``, ``(steps + 1,)``, from largest to smallest."""
    levels = np.geomspace(largest, smallest, steps + 1)
    levels[0], levels[-1] = largest, smallest
    return np.asarray(levels)


def variance_preserving(smallest: float, largest: float, steps: int) -> Array:
    """Levels uniform in the time of the VP diffusion, ``(steps + 1,)``.

    With ``B(t) = t BETA_MIN + t^2 (BETA_MAX - BETA_MIN) / 2`` the noise is
    ``sigma(t)^2 = exp(B(t)) - 1``, and ``s^2 = h_x^2 + sigma^2``.
    """
    budget = np.log1p(largest**2 - smallest**2)
    slope = BETA_MAX - BETA_MIN
    end = (np.sqrt(BETA_MIN**2 + 2 * slope * budget) - BETA_MIN) / slope
    time = end * np.linspace(1.0, 0.0, steps + 1)
    exponent = time * BETA_MIN + time**2 * slope / 2
    levels = np.sqrt(smallest**2 + np.expm1(exponent))
    levels[0], levels[-1] = largest, smallest
    return np.asarray(levels)


SCHEDULES = {"ve": variance_exploding, "vp": variance_preserving}
