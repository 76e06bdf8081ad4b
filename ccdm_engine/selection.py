"""Which density model to use: regression, frame, bandwidths, shrinkage.

The family runs from the paper's kernel density (no regression, narrow kernels) to the
stochastic EnKF (a linear regression, equal weights). Fixed choices of the caller narrow
it; what is left is compared by held-out likelihood (:mod:`.bandwidth`) over the members
nearest to the observation.

A Gaussian update keeps every member's identity and adds no sampling noise, so another
model replaces it only when it is better by more than one standard error (the rule of
Breiman et al. 1984 for choosing among models of unequal complexity).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import preconditioning
from ccdm_engine.bandwidth import held_out_scores, silverman
from ccdm_engine.mixture import (
    Mixture,
    conditional_log_weights,
    effective_sample_size,
)
from ccdm_engine.neighbourhood import Neighbourhood, neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.preconditioning import Regression
from ccdm_engine.scaling import MEMBERS_PER_DIMENSION, Frame, fit_frame

Array = npt.NDArray[np.float64]

# Candidate bandwidths in units of the spread.
STATE_BANDWIDTHS = (0.08, 0.14, 0.24, 0.4, 0.6, 1.0)
MEASUREMENT_BANDWIDTHS = (0.1, 0.2, 0.4, 0.7, 1.2, np.inf)
# A richer model must beat the Gaussian update by so many standard errors.
STANDARD_ERRORS = 1.0
# A regression with as many columns as this share of the members predicts its own
# training data and nothing else: left out of the automatic family.
SATURATED = 0.5


@dataclass(frozen=True, slots=True)
class Model:
    """A density model of the states given the observation.

    Attributes:
        regression: the preconditioner, evaluated.
        frame: kernel coordinates of the residuals.
        log_weights: ``log w_i``, ``(N,)``.
        state_bandwidth, measurement_bandwidth, shrink: as chosen.
        score: held-out log density per member, if anything was compared.
    """

    regression: Regression
    frame: Frame
    log_weights: Array
    state_bandwidth: float
    measurement_bandwidth: float
    shrink: bool
    score: float | None = None

    def mixture(self) -> Mixture:
        """The mixture of residuals in kernel coordinates."""
        centres = self.frame.into(self.regression.residuals)
        mixture = Mixture(centres, self.log_weights, self.state_bandwidth)
        return mixture.shrunk() if self.shrink else mixture

    @property
    def is_shift(self) -> bool:
        """Whether the update moves each member along the regression, and no more."""
        return np.isinf(self.measurement_bandwidth) and self.regression.name != "none"


class Choice(NamedTuple):
    """The chosen model and what it was compared with.

    Attributes:
        model: the best of the family.
        gaussian_score: held-out score of the best Gaussian update; ``None`` when the
            caller left nothing to choose.
        observation_distance: distance of ``y*`` to the nearest simulated measurement
            over the median of the same distance among members.
    """

    model: Model
    gaussian_score: float | None
    observation_distance: float


class _Scored(NamedTuple):
    model: Model
    scores: Array  # (J,), one per held-out member

    @property
    def mean(self) -> float:
        return float(self.scores.mean())


def choose(pairs: Pairs, options: AnalysisOptions) -> Choice:
    """The best-scoring model of the family that the options leave open.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
    """
    near = neighbourhood(pairs, options.scaling)
    distance = near.observation_distance
    only = _only_model(pairs, options, near)
    if only is not None:
        return Choice(only, None, distance)
    scored = [
        item
        for regression in _regressions(pairs, options)
        for h_y in _measurement_bandwidths(regression, near, options)
        for item in _scored(regression, h_y, pairs, options, near)
    ]
    best = max(scored, key=lambda item: item.mean)
    shifts = [item for item in scored if item.model.is_shift]
    if not shifts:
        return Choice(best.model, None, distance)
    plain = max(shifts, key=lambda item: item.mean)
    gain = best.scores - plain.scores
    error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
    chosen = best if gain.mean() > STANDARD_ERRORS * error else plain
    return Choice(chosen.model, plain.mean, distance)


def _only_model(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood
) -> Model | None:
    """The model, when the options leave no choice."""
    if options.preconditioner == "auto" and options.localization is None:
        return None
    (regression,) = _regressions(pairs, options)
    bandwidths = _measurement_bandwidths(regression, near, options)
    if len(bandwidths) > 1:
        return None
    h_y = bandwidths[0]
    shift = np.isinf(h_y) and regression.name != "none"
    frame, log_weights = _frame(regression, h_y, pairs, options, near)
    spread = _spread(frame, regression)
    widths = _state_bandwidths(frame, spread, log_weights, options)
    shrinks = _shrinks(options, moved=shift)
    if not shift and (len(widths) > 1 or len(shrinks) > 1):
        return None
    if shift and len(widths) > 1:
        # Only extra samples need a kernel here: the reference rule will do.
        count = effective_sample_size(log_weights)
        widths = (spread * silverman(count, frame.origin.size),)
    return Model(regression, frame, log_weights, widths[0], h_y, shrinks[0])


def _scored(
    regression: Regression,
    h_y: float,
    pairs: Pairs,
    options: AnalysisOptions,
    near: Neighbourhood,
) -> Iterator[_Scored]:
    frame, log_weights = _frame(regression, h_y, pairs, options, near)
    points = frame.into(regression.held_out_residuals[near.held_out])
    centres = frame.into(regression.residuals)
    spread = _spread(frame, regression)
    widths = _state_bandwidths(frame, spread, log_weights, options)
    # The frame was fitted to the held-out members too; p parameters from n members
    # flatter each member's score by about p / n (Akaike 1974).
    flattery = frame.parameters / effective_sample_size(log_weights)
    for shrink in _shrinks(options, moved=np.isinf(h_y)):
        scores = held_out_scores(
            points, centres, near.log_weights(h_y), np.array(widths), shrink=shrink
        )
        scores += frame.log_volume - flattery
        for width, row in zip(widths, scores, strict=True):
            mean = float(row.mean())
            model = Model(
                regression, frame, log_weights, float(width), h_y, shrink, mean
            )
            yield _Scored(model, row)


def _frame(
    regression: Regression,
    h_y: float,
    pairs: Pairs,
    options: AnalysisOptions,
    near: Neighbourhood,
) -> tuple[Frame, Array]:
    """Kernel coordinates and log weights for one measurement bandwidth.

    With automatic state bandwidths the coordinates follow the spread of the weighted
    members, as far as there are enough of them; a bandwidth given as a number is in
    units of the whole ensemble's spread.
    """
    log_weights = conditional_log_weights(near.to_observation, h_y)
    prior = fit_frame(
        regression.residuals,
        options.scaling,
        center=options.center,
        floor=pairs.states.std(axis=0, ddof=1),
    )
    fixed = not isinstance(options.state_bandwidth, str)
    if fixed or np.isinf(h_y) or prior.kind == "none":
        return prior, log_weights
    count = effective_sample_size(log_weights)
    frame = fit_frame(
        regression.residuals,
        prior.kind,
        weights=np.exp(log_weights),
        reference=prior,
        trust=count / (count + prior.origin.size + 1),
    )
    return frame, log_weights


def _spread(frame: Frame, regression: Regression) -> float:
    """Spread of the residuals in the frame: 1, except in the caller's units."""
    if frame.kind != "none":
        return 1.0
    variance = np.var(regression.residuals, axis=0, ddof=1)
    return float(np.sqrt(np.mean(variance))) or 1.0


def _regressions(pairs: Pairs, options: AnalysisOptions) -> list[Regression]:
    triple = (pairs.states, pairs.simulated, pairs.observation)
    wanted = options.preconditioner
    if options.localization is not None and wanted != "none":
        tapered = preconditioning.localized(
            *triple, options.localization, pairs.state_columns, pairs.columns
        )
        return [tapered]
    if wanted != "auto":
        return [preconditioning.RULES[wanted](*triple)]
    saturated = pairs.columns.size > SATURATED * (pairs.used.size - 1)
    names = ["shrunk"] if saturated else ["linear", "shrunk"]
    members, dimension = pairs.states.shape
    if members >= MEMBERS_PER_DIMENSION * (dimension + 1):
        names.append("none")
    return [preconditioning.RULES[name](*triple) for name in names]


def _measurement_bandwidths(
    regression: Regression, near: Neighbourhood, options: AnalysisOptions
) -> Sequence[float]:
    if options.measurement_bandwidth != "auto":
        return (float(options.measurement_bandwidth),)
    if regression.name == "none":
        # Without a regression equal weights would ignore the observation.
        return tuple(near.spread * width for width in MEASUREMENT_BANDWIDTHS[:-1])
    members, dimension = regression.residuals.shape
    if members < MEMBERS_PER_DIMENSION * (dimension + 1):
        # Too few members to know the shape of a kernel: keep them, and move them.
        return (np.inf,)
    return tuple(near.spread * width for width in MEASUREMENT_BANDWIDTHS)


def _state_bandwidths(
    frame: Frame, spread: float, log_weights: Array, options: AnalysisOptions
) -> Sequence[float]:
    """Candidates for ``h_x``, as multiples of the centres' spread in the frame."""
    wanted = options.state_bandwidth
    if wanted == "auto":
        return tuple(spread * width for width in STATE_BANDWIDTHS)
    if wanted == "silverman":
        count = effective_sample_size(log_weights)
        return (spread * silverman(count, frame.origin.size),)
    return (float(wanted),)


def _shrinks(options: AnalysisOptions, *, moved: bool) -> Sequence[bool]:
    if options.shrink != "auto":
        return (bool(options.shrink),)
    if options.scaling == "none":
        # Shrinkage is defined in coordinates of unit spread.
        return (False,)
    # Members that are only moved keep the spread they have, no kernel adds to it:
    # judged by a density of that spread, a regression that overfits shows it.
    return (True,) if moved else (True, False)
