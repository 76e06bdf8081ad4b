"""Many state variables updated a block at a time, each with the measurements near it.

A localized update moves every member by the measurements near the variable: by a
transform (:mod:`.local_transform`), or along a regression whose correlations are
tapered by distance. Given the measurements' side of it (:class:`.Measured`,
:class:`.Gain`), what happens to one variable does not depend on any other::

    x_i  ->  mean + shift + (T X')_i  or  x_i + m(y*) - m(y_i)

in units near 1, and back,

so that blocks of variables are independent parts, and memory is that of one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import inflation
from ccdm_engine.astray import Astray, astray
from ccdm_engine.blocks import blocks
from ccdm_engine.local_transform import Measured, transform, turned
from ccdm_engine.localization import Localization
from ccdm_engine.moved_scores import Scores, moved_scores, summed
from ccdm_engine.normalization import exponents_of
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.preconditioning import Gain
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import fit_frame
from ccdm_engine.spreads import COLLAPSED, most_kept
from ccdm_engine.streams import EXTRA, TURN, stream
from ccdm_engine.survey import Block

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Variables worked on together: a hundred members of them fit into the cache.
TOGETHER = 2048


@dataclass(frozen=True, slots=True)
class Update:
    """What all blocks need.

    Attributes:
        used: members that take part, of the caller's.
        places: which of them stands in which row of the result, -1 for none, ``(n,)``.
        around: members that rows without one of their own are drawn around.
        localization: coordinates of the assimilated measurements.
        fitted: the measurements' side, of a regression or of a local transform.
        factor: by which the forecast is widened before.
        unbiased: whether residuals are given the variance that the noise has.
        bandwidth: of the kernels that rows without a member are drawn from.
        shrink: whether their centres are shrunk.
        options: for inflation and relaxation.
        held_out: members that the update is scored on, ``(J,)``; ``None`` for no score.
        first_measured: what the first member measured, in units near 1, ``(dy,)``.
        seed: of the analysis.
    """

    used: Indices
    places: Indices
    around: Indices
    localization: Localization
    fitted: Gain | Measured
    factor: float
    unbiased: bool
    bandwidth: float
    shrink: bool
    options: AnalysisOptions
    held_out: Indices | None
    first_measured: Array
    seed: int


class Squares(NamedTuple):
    """``size^2 total`` is a sum of squares that neither overflows nor vanishes."""

    size: float
    total: float

    def and_(self, other: Squares) -> Squares:
        """Both sums together."""
        size = max(self.size, other.size)
        if size == 0.0:
            return Squares(0.0, 0.0)
        mine, theirs = (self.size / size) ** 2, (other.size / size) ** 2
        return Squares(size, self.total * mine + other.total * theirs)

    def root_mean(self, count: int) -> float:
        """Root of the sum over so many; 0 over none."""
        return self.size * float(np.sqrt(self.total / count)) if count > 0 else 0.0


class Updated(NamedTuple):
    """One block of the result.

    Attributes:
        columns: which of the caller's variables.
        samples: ``(n, b)``.
        prior, posterior: squares of deviations from the mean.
        members: that took part.
        measured: whether a variable is exactly what a measurement says.
        astray: members far away from the others, in the caller's variables.
        kept: largest share of its spread that any variable kept, where all may have
            lost most of it; else ``None``.
        scores: of the update, summed over the variables; ``None`` where it has none.
    """

    columns: slice
    samples: Array
    prior: Squares
    posterior: Squares
    members: int
    measured: bool = False
    astray: Astray | None = None
    kept: float | None = None
    scores: Scores | None = None


def update(common: Update, block: Block) -> Updated:
    """The analysis of one block of variables."""
    states = block.states(common.used)
    samples = np.empty((common.places.size, states.shape[1]))
    found: list[_Columns] = []
    for here in blocks(states.shape[1], TOGETHER):
        part = np.ascontiguousarray(states[:, here])
        first = block.columns.start + here.start
        with np.errstate(over="ignore", invalid="ignore"):  # checked by the caller
            found.append(_columns(common, part, block.places[here], first))
        samples[:, here] = found[-1].samples
    before, after = squares(states), squares(samples)
    # Where every variable lost most of its spread, their root mean did.
    rows = max(samples.shape[0] - 1, 1)
    had, has = before.root_mean(states.shape[0] - 1), after.root_mean(rows)
    lost_most = has <= COLLAPSED * had
    return Updated(
        block.columns,
        samples,
        before,
        after,
        states.shape[0],
        any(each.measured for each in found),
        astray(states, range(block.columns.start, block.columns.stop)),
        most_kept(states, samples) if lost_most else None,
        summed(each.scores for each in found),
    )


def copy(rows: tuple[Indices, Indices], block: Block) -> Updated:
    """One block of a forecast that comes back as it was.

    Args:
        rows: members that take part, and which of the caller's each row is.
        block: of states.
    """
    used, copied = rows
    whole = np.arange(block.source.read(block.columns).shape[0])
    states, samples = block.states(used), block.states(whole)[copied]
    spreads = squares(states), squares(samples)
    return Updated(block.columns, samples, *spreads, used.size)


class _Columns(NamedTuple):
    """Samples of a few variables, whether one is what a measurement says, scores."""

    samples: Array
    measured: bool
    scores: Scores | None


def _columns(common: Update, states: Array, coordinates: Array, first: int) -> _Columns:
    """A few variables."""
    kept = np.min(states, axis=0) < np.max(states, axis=0)
    samples = np.tile(states[:1], (common.places.size, 1))  # constants stay
    if not kept.any():
        return _Columns(samples, False, Scores(0.0, 0.0))
    varied = states[:, kept]
    exponents = exponents_of(varied)
    before = np.ldexp(varied, -exponents)
    forecast = before
    if common.factor != 1.0:
        forecast = before + (common.factor - 1.0) * (before - before.mean(axis=0))
    regression = _regressed(common, forecast, coordinates[kept])
    members = regression.shifted
    if regression.is_transform:
        members = turned(members, forecast, stream(common.seed, TURN))
    moved = members[np.maximum(common.places, 0)]
    alone = common.places < 0
    if alone.any():
        noise = stream(common.seed, EXTRA, first).standard_normal(
            (common.around.size, states.shape[1])
        )
        moved[alone] = _drawn(common, regression, before, noise[:, kept])
    moved = inflation.relaxed(moved, before, common.options, common.places)
    samples[:, kept] = np.ldexp(moved, exponents)
    measured = bool(np.any(np.isin(common.first_measured, before[0])))
    if common.held_out is None:
        return _Columns(samples, measured, None)
    scores = moved_scores(regression, common.held_out)
    return _Columns(samples, measured, scores and scores.in_units(exponents))


def _regressed(common: Update, forecast: Array, coordinates: Array) -> Regression:
    local = common.localization.among(coordinates)
    if isinstance(common.fitted, Measured):
        measurements = np.arange(common.first_measured.size)
        found: Regression = transform(forecast, common.fitted, local, measurements)
    else:
        near = local.near_measurements()
        part = common.fitted.near(near).on(
            forecast, lambda r, n, block: local.taper_xy(near), slice(None)
        )
        found = Regression("localized", **part._asdict())
    return found.unbiased() if common.unbiased else found


def _drawn(
    common: Update, regression: Regression, before: Array, noise: Array
) -> Array:
    """Rows of the result that no member stands in, from kernels around members."""
    floor = before.std(axis=0, ddof=1)
    frame = fit_frame(regression.residuals, "standardize", floor=floor)
    centres, width = frame.into(regression.residuals), common.bandwidth
    if common.shrink:
        width = min(width, 1.0)
        mean = centres.mean(axis=0)
        centres = mean + np.sqrt(1.0 - width**2) * (centres - mean)
    points = centres[common.around] + width * noise
    return np.asarray(frame.out_of(points) + regression.target)


def squares(part: Array) -> Squares:
    """Squares of the deviations from the mean over the rows, of all columns."""
    gaps = part - np.mean(part / 2, axis=0) * 2
    size = float(np.max(np.abs(gaps), initial=0.0))
    if size > 0:
        gaps /= size
    return Squares(size, float(np.sum(gaps**2)))
