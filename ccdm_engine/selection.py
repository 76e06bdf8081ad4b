"""Which density model to use, judged by the ensemble itself.

Every candidate of the family (:mod:`.family`) is scored by its held-out likelihood
(:mod:`.bandwidth`) over the members nearest to the observation, for a range of state
bandwidths, with and without shrinkage (:mod:`.search`).

A shift keeps every member's identity and adds no sampling noise. Kernels around the
measurements therefore replace it only when they are better by more than the sampling
error (the rule of Breiman et al. 1984 for choosing among models of unequal complexity).

Joint kernels (:mod:`.joint`) are taken wherever there is footing for them, even where a
Gaussian update scores as well: how likely held-out members are now says little about
which filter still holds the truth many cycles later. With hardly more members than they
need they give way where it is far better on the mean, no held-out member counting for
more than two nats: weights have come to rest on a few members, whose clouds are too
sure of themselves. Kernels around the measurements take their place only where they are
better beyond doubt, for then measurements are not a function of the states with noise
on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.candidate import JOINT, PAIRS, SHIFT, Candidate
from ccdm_engine.family import (
    Footing,
    candidates,
    compares_regressions,
    is_free,
    with_joint_kernels,
)
from ccdm_engine.mixture import Mixture
from ccdm_engine.moved_scores import moved_scores
from ccdm_engine.neighbourhood import Neighbourhood, neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame
from ccdm_engine.search import (
    Scored,
    best_of_tiers,
    fitted_frames,
    reference_bandwidth,
    shrinkages,
    state_bandwidths,
)

Array = npt.NDArray[np.float64]

# By so many standard errors kernels must beat a shift; where the measurements leave
# directions open they need only be better, for then modes are at stake.
CLOSED_STANDARD_ERRORS = 1.0
OPEN_STANDARD_ERRORS = 0.0
# And joint kernels by so many, and by so many nats per member.
JOINT_STANDARD_ERRORS = 3.0
JOINT_GAIN = 0.5
# Those tried beside them must be better by so much for others to be tried.
WORTH_A_LOOK = 0.5 * JOINT_GAIN
# By so many nats a Gaussian update must beat them, and what any member can say to it.
LOST_FOOTING, MOST_SAID = 0.5, 2.0
# Nats per member below which a richer model is not worth its sampling noise.
LEAST_GAIN = 0.01


@dataclass(frozen=True, slots=True)
class Model:
    """A density model of the states given the observation.

    Attributes:
        candidate: regression, measurement kernel and ``h_y``.
        frame: kernel coordinates of the residuals.
        state_bandwidth, shrink: as chosen.
        score: held-out log density per member, if anything was compared.
    """

    candidate: Candidate
    frame: Frame
    state_bandwidth: float
    shrink: bool
    score: float | None = None

    @property
    def regression(self) -> Regression:
        """The preconditioner, evaluated."""
        return self.candidate.regression

    @property
    def log_weights(self) -> Array:
        """``log w_i`` given the observation, ``(N,)``."""
        near, h_y = self.candidate.near, self.candidate.bandwidth
        return near.weights(h_y).given_observation

    @property
    def is_shift(self) -> bool:
        """Whether the update moves each member along the regression, and no more."""
        return self.candidate.is_shift

    def widened(self, centres: float, whole: float) -> Model:
        """The same, its centres so many times as far apart, and all of it."""
        if centres == whole == 1.0:
            return self
        regression, frame = self.regression, self.frame
        middle = np.exp(self.log_weights) @ regression.residuals
        residuals = middle + centres * whole * (regression.residuals - middle)
        wide = replace(regression, residuals=residuals, is_unbiased=True)
        return replace(
            self,
            candidate=replace(self.candidate, regression=wide),
            frame=replace(frame, deviation=whole * frame.deviation),
        )

    def mixture(self) -> Mixture:
        """The mixture of residuals in kernel coordinates."""
        centres = self.frame.into(self.regression.residuals)
        mixture = Mixture(centres, self.log_weights, self.state_bandwidth)
        return mixture.shrunk() if self.shrink else mixture


class Choice(NamedTuple):
    """The chosen model and what it was compared with.

    Attributes:
        model: the best of the family.
        gaussian_score: held-out score of the best Gaussian update; ``None`` when the
            caller left nothing to choose, or none is in the running.
        observation_distance: distance of ``y*`` to the nearest simulated measurement
            over the median of the same distance among members.
    """

    model: Model
    gaussian_score: float | None
    observation_distance: float

    def in_units(self, exponents: npt.NDArray[np.int32]) -> Choice:
        """The same with scores as densities per unit of ``2^exponent`` times ours."""
        shift = float(np.sum(exponents)) * np.log(2.0)
        score, gaussian = self.model.score, self.gaussian_score
        return Choice(
            replace(self.model, score=None if score is None else score - shift),
            None if gaussian is None else gaussian - shift,
            self.observation_distance,
        )


def choose(pairs: Pairs, options: AnalysisOptions, footing: Footing) -> Choice:
    """The best-scoring model of the family that the options leave open.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
        footing: of joint kernels, where they are among what is open.
    """
    near = neighbourhood(pairs, options.scaling)
    found = _with_joint_kernels(pairs, options, near, footing) if footing else None
    if found is not None:
        return found
    family = candidates(pairs, options, near)
    waiting = [next(family)]
    if not compares_regressions(pairs, options):
        waiting += itertools.islice(family, 1)
        only = _only_model(waiting[0], options) if len(waiting) == 1 else None
        if only is not None:
            return only
    best = best_of_tiers(itertools.chain(_taken(waiting), family), options)
    plain = chosen = best[min(best)]
    if PAIRS in best and plain is not best[PAIRS]:
        is_open = pairs.columns.size < pairs.states.shape[1]
        needed = OPEN_STANDARD_ERRORS if is_open else CLOSED_STANDARD_ERRORS
        if _is_better(best[PAIRS], plain, needed, LEAST_GAIN):
            chosen = best[PAIRS]
    gaussian = plain.mean if plain.candidate.is_shift else None
    return Choice(_model(chosen), gaussian, near.observation_distance)


def _with_joint_kernels(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood, footing: Footing
) -> Choice | None:
    """Joint kernels, unless others are far better; ``None`` where they do not do."""
    tried = list(with_joint_kernels(pairs, options, near))
    if not tried:
        return None
    best = best_of_tiers(iter(tried), options)
    chosen = best[JOINT]
    is_unsure = footing is Footing.UNSURE
    if is_unsure and _is_better(best[SHIFT], chosen, 1.0, LOST_FOOTING, MOST_SAID):
        return None
    if best[PAIRS].mean > chosen.mean + WORTH_A_LOOK:
        others = best_of_tiers(candidates(pairs, options, near), options).get(PAIRS)
        if others and _is_better(others, chosen, JOINT_STANDARD_ERRORS, JOINT_GAIN):
            chosen = others
    return Choice(_model(chosen), best[SHIFT].mean, near.observation_distance)


def _model(chosen: Scored) -> Model:
    model = Model(
        chosen.candidate, chosen.frame, chosen.width, chosen.shrink, chosen.mean
    )
    return model.widened(*chosen.candidate.widening)


def _is_better(
    richer: Scored,
    plainer: Scored,
    errors: float,
    least: float,
    most: float = np.inf,
) -> bool:
    """Whether held-out scores differ by so many standard errors, and so much.

    Args:
        richer: what is asked of.
        plainer: what it is held against.
        errors: standard errors by which the mean has to be above.
        least: nats by which it has to be.
        most: nats that a single member counts for.
    """
    gain = np.clip(richer.scores - plainer.scores, -most, most)
    error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
    return bool(gain.mean() > max(errors * error, least))


def _taken(waiting: list[Candidate]) -> Iterator[Candidate]:
    """The candidates, not kept here."""
    while waiting:
        yield waiting.pop(0)


def _only_model(candidate: Candidate, options: AnalysisOptions) -> Choice | None:
    """The model, when the options leave nothing to compare."""
    frame = fitted_frames([candidate], options).at(0)
    widths = state_bandwidths(candidate, options)
    shrinks = shrinkages(candidate, options)
    if candidate.is_shift and len(widths) > 1:
        # Only extra samples need a kernel here: the reference rule will do.
        widths = reference_bandwidth(candidate)
    if len(widths) > 1 or len(shrinks) > 1:
        return None
    near, score, gaussian = candidate.near, None, None
    if candidate.is_shift and is_free(options):
        # Nothing was compared with it, but its score is cheap, and may be asked for.
        told = moved_scores(candidate.regression, near.held_out, frame)
        if told is not None and np.isfinite(told).all():
            score, gaussian = told
    model = Model(candidate.settled(), frame, widths[0], shrinks[0], score)
    return Choice(model, gaussian, near.observation_distance)
