"""Held-out scores of an update that moves the members, where it is the only candidate.

What moves members has no kernels whose width would have to be found by a search, and
where nothing else is in the running there is nothing to search for. But whoever reads
the diagnostics may still ask how well members were told that took no part::

    score = mean_j sum_d log N(x_jd; m_d(y_j), v_d)

with m the update's mean for what member j measured, told without j, and v the
variance that the update leaves: one Gaussian. In whitened coordinates where there are
members enough for these, else variable by variable; p/n is taken off for the p numbers
that were estimated (Akaike 1974), as in :mod:`.search`.

A local transform (:mod:`.local_transform`) has looked at members held out already,
state by state: its score is that of their mean square errors, and that of the straight
line alone the Gaussian alternative.

Cost: ``O(J dx)``, in whitened coordinates ``O(J dx^2)``, next to ``O(N dx dy)`` of the
update itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns
from ccdm_engine.blocks import blocks
from ccdm_engine.local_transform import Transformed
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LOG_2PI = float(np.log(2.0 * np.pi))
# Variables worked on at a time.
BLOCK = 1024


class Scores(NamedTuple):
    """Held-out log densities per member, nats, in the units of the states.

    Attributes:
        chosen: of the update. gaussian: of the Gaussian one.
    """

    chosen: float
    gaussian: float

    def in_units(self, exponents: npt.NDArray[np.int32]) -> Scores:
        """The same as densities per unit of ``2^exponent`` times ours."""
        shift = float(np.sum(exponents)) * float(np.log(2.0))
        return Scores(self.chosen - shift, self.gaussian - shift)


def summed(parts: Iterable[Scores | None]) -> Scores | None:
    """Scores of all variables from those of blocks; ``None`` where one has none."""
    total = Scores(0.0, 0.0)
    for part in parts:
        if part is None:
            return None
        total = Scores(total.chosen + part.chosen, total.gaussian + part.gaussian)
    return total


def moved_scores(
    regression: Regression, held_out: Indices, frame: Frame | None = None
) -> Scores | None:
    """Scores of members moved; ``None`` where a transform looked at nobody held out.

    Args:
        regression: of some states or of all, its residuals as wide as they are used.
        held_out: members on which a regression is judged, ``(J,)``.
        frame: kernel coordinates of the residuals; their own deviations without.
    """
    if isinstance(regression, Transformed):
        return _of_transform(regression)
    if frame is None or frame.inverse_root is None:
        found = _by_variable(regression, held_out)
    else:
        gaps = _gaps(regression, held_out, slice(None)) / frame.deviation
        found = _whitened(gaps @ frame.inverse_root, frame)
        found -= frame.parameters / regression.residuals.shape[0]
    return Scores(found, found)


def _of_transform(found: Transformed) -> Scores | None:
    """Each variable by itself; without kernels deviations would not be narrowed."""
    if found.straight is None or found.bent is None or found.narrowed is None:
        return None
    members = found.residuals.shape[0]
    variance = _positive(columns.deviation(found.residuals)) ** 2
    plain = variance / found.narrowed**2
    return Scores(
        _gaussian(found.bent, variance, members),
        _gaussian(found.straight, plain, members),
    )


def _by_variable(regression: Regression, held_out: Indices) -> float:
    members, dimension = regression.residuals.shape
    total = 0.0
    for block in blocks(dimension, BLOCK):
        centres = regression.residuals[:, block]
        gaps = _gaps(regression, held_out, block)
        square = np.einsum("jd,jd->d", gaps, gaps) / held_out.size
        variance = _positive(columns.deviation(centres)) ** 2
        total += _gaussian(square, variance, members)
    return total


def _whitened(gaps: Array, frame: Frame) -> float:
    """Mean log density of held-out residuals in kernel coordinates, ``(J, d)``."""
    count, dimension = gaps.shape
    square = float(np.einsum("jd,jd->", gaps, gaps)) / count
    exponent = -0.5 * (square + dimension * LOG_2PI)
    return float(exponent + frame.log_volume)


def _gaps(regression: Regression, held_out: Indices, block: slice) -> Array:
    """Residuals as refitting would leave them, from the mean of all others."""
    centres = regression.residuals[:, block]
    mean, others = columns.mean(centres), centres.shape[0] - 1
    left_out = mean + (mean - centres[held_out]) / others
    return np.asarray(regression.held_out(held_out, block) - left_out)


def _gaussian(square: Array, variance: Array, members: int) -> float:
    """Sum of log densities over variables, of mean square errors ``(d,)``."""
    with np.errstate(over="ignore"):  # a variable without spread: minus infinity
        each = -0.5 * (square / variance + np.log(variance) + LOG_2PI)
    return float(np.sum(each)) - variance.size / members


def _positive(spread: Array) -> Array:
    """Spreads that can be divided by; nothing is as narrow as this but a constant."""
    return np.maximum(spread, 1e-150)
