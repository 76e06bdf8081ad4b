"""Which density model to use, judged by the ensemble itself.

Every candidate of the family (:mod:`.family`) is scored by its held-out likelihood
(:mod:`.bandwidth`) over the members nearest to the observation, for a range of state
bandwidths, with and without shrinkage (:mod:`.search`).

A shift keeps every member's identity and adds no sampling noise, and kernels in units
of the noise do not count it twice. A richer tier therefore replaces a plainer one only
when it is better by more than its sampling error (the rule of Breiman et al. 1984 for
choosing among models of unequal complexity).
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.family import Candidate, candidates, compares_regressions
from ccdm_engine.mixture import Mixture
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame
from ccdm_engine.search import (
    best_of_tiers,
    fitted_frames,
    reference_bandwidth,
    shrinkages,
    state_bandwidths,
)

Array = npt.NDArray[np.float64]

# By so many standard errors a model of this tier must beat the plainer ones: shifts,
# kernels in units of the noise, kernels around the measurements with their noise.
STANDARD_ERRORS = (0.0, 1.0, 3.0)
# Without kernels in units of the noise the last need less; and any need only be better
# where the measurements leave directions open, for then modes are at stake.
CLOSED_STANDARD_ERRORS = (0.0, 1.0, 1.0)
OPEN_STANDARD_ERRORS = (0.0, 0.0, 0.0)
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
            caller left nothing to choose.
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


def choose(pairs: Pairs, options: AnalysisOptions) -> Choice:
    """The best-scoring model of the family that the options leave open.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
    """
    near = neighbourhood(pairs, options.scaling)
    family = candidates(pairs, options, near)
    waiting = [next(family)]
    if not compares_regressions(pairs, options):
        waiting += itertools.islice(family, 1)
        only = _only_model(waiting[0], options) if len(waiting) == 1 else None
        if only is not None:
            return Choice(only, None, near.observation_distance)
    best = best_of_tiers(itertools.chain(_taken(waiting), family), options)
    thresholds = _thresholds(pairs, best)
    plain = chosen = best[min(best)]
    for tier in sorted(best)[1:]:
        richer = best[tier]
        gain = richer.scores - chosen.scores
        error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
        needed = thresholds[tier]
        chosen = richer if gain.mean() > max(needed * error, LEAST_GAIN) else chosen
    gaussian = plain.mean if plain.candidate.is_shift else None
    model = Model(
        chosen.candidate, chosen.frame, chosen.width, chosen.shrink, chosen.mean
    )
    return Choice(model, gaussian, near.observation_distance)


def _taken(waiting: list[Candidate]) -> Iterator[Candidate]:
    """The candidates, not kept here."""
    while waiting:
        yield waiting.pop(0)


def _thresholds(pairs: Pairs, tiers: Container[int]) -> tuple[float, ...]:
    if pairs.columns.size < pairs.states.shape[1]:
        return OPEN_STANDARD_ERRORS
    return STANDARD_ERRORS if 1 in tiers else CLOSED_STANDARD_ERRORS


def _only_model(candidate: Candidate, options: AnalysisOptions) -> Model | None:
    """The model, when the options leave nothing to compare."""
    frame = fitted_frames([candidate], options).at(0)
    widths = state_bandwidths(candidate, options)
    shrinks = shrinkages(candidate, options)
    if candidate.is_shift and len(widths) > 1:
        # Only extra samples need a kernel here: the reference rule will do.
        widths = reference_bandwidth(candidate)
    if len(widths) > 1 or len(shrinks) > 1:
        return None
    return Model(candidate.settled(), frame, widths[0], shrinks[0])
