"""Which density model to use, judged by the ensemble itself.

Every candidate of the family (:mod:`.family`) is scored by its held-out likelihood
(:mod:`.bandwidth`) over the members nearest to the observation, for a range of state
bandwidths, with and without shrinkage.

A shift keeps every member's identity and adds no sampling noise, and kernels in units
of the noise do not count it twice. A richer tier therefore replaces a plainer one only
when it is better by more than its sampling error (the rule of Breiman et al. 1984 for
choosing among models of unequal complexity).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.bandwidth import held_out_scores, silverman
from ccdm_engine.family import Candidate, candidates
from ccdm_engine.mixture import Mixture
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame, fit_frame

Array = npt.NDArray[np.float64]

# Candidate bandwidths of the states, in units of their spread.
STATE_BANDWIDTHS = (0.08, 0.14, 0.24, 0.4, 0.6, 1.0)
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
    family = list(candidates(pairs, options, near))
    if len(family) == 1:
        only = _only_model(family[0], options)
        if only is not None:
            return Choice(only, None, near.observation_distance)
    scored = [item for candidate in family for item in _scored(candidate, options)]
    best_of_tiers = _best_of_tiers(scored)
    thresholds = _thresholds(pairs, family)
    chosen = best_of_tiers[0]
    for richer in best_of_tiers[1:]:
        gain = richer.scores - chosen.scores
        error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
        needed = thresholds[richer.model.candidate.tier]
        chosen = richer if gain.mean() > max(needed * error, LEAST_GAIN) else chosen
    plain = best_of_tiers[0]
    gaussian = plain.mean if plain.model.is_shift else None
    return Choice(chosen.model, gaussian, near.observation_distance)


def _thresholds(pairs: Pairs, family: Sequence[Candidate]) -> tuple[float, ...]:
    if pairs.columns.size < pairs.states.shape[1]:
        return OPEN_STANDARD_ERRORS
    tempered = any(candidate.near.kind == "noise" for candidate in family)
    return STANDARD_ERRORS if tempered else CLOSED_STANDARD_ERRORS


def _best_of_tiers(scored: Sequence[_Scored]) -> list[_Scored]:
    """The best-scoring model of each tier, the plainest tier first."""
    tiers = sorted({item.model.candidate.tier for item in scored})
    return [
        max(
            (item for item in scored if item.model.candidate.tier == tier),
            key=lambda item: item.mean,
        )
        for tier in tiers
    ]


def _only_model(candidate: Candidate, options: AnalysisOptions) -> Model | None:
    """The model, when the options leave nothing to compare."""
    frame = _frame(candidate, options)
    widths = _state_bandwidths(candidate, frame, options)
    shrinks = _shrinks(candidate, options)
    if candidate.is_shift and len(widths) > 1:
        # Only extra samples need a kernel here: the reference rule will do.
        widths = _silverman(candidate, frame)
    if len(widths) > 1 or len(shrinks) > 1:
        return None
    return Model(candidate, frame, widths[0], shrinks[0])


def _scored(candidate: Candidate, options: AnalysisOptions) -> Iterator[_Scored]:
    near, regression = candidate.near, candidate.regression
    weights = near.weights(candidate.bandwidth)
    frame = _frame(candidate, options)
    points = frame.into(regression.held_out_residuals[near.held_out])
    centres = frame.into(regression.residuals)
    widths = _state_bandwidths(candidate, frame, options)
    # The frame was fitted to the held-out members too; p parameters from n members
    # flatter each member's score by about p / n (Akaike 1974).
    flattery = frame.parameters / weights.effective
    for shrink in _shrinks(candidate, options):
        scores = held_out_scores(
            points, centres, weights.given_member, np.array(widths), shrink=shrink
        )
        scores += frame.log_volume - flattery
        for width, row in zip(widths, scores, strict=True):
            model = Model(candidate, frame, float(width), shrink, float(row.mean()))
            yield _Scored(model, row)


def _frame(candidate: Candidate, options: AnalysisOptions) -> Frame:
    """Kernel coordinates of the residuals.

    With automatic state bandwidths the coordinates follow the spread of the weighted
    members, as far as there are enough of them; a bandwidth given as a number is in
    units of the whole ensemble's spread.
    """
    prior = candidate.prior
    fixed = not isinstance(options.state_bandwidth, str)
    if fixed or np.isinf(candidate.bandwidth) or prior.kind == "none":
        return prior
    weights = candidate.near.weights(candidate.bandwidth)
    return fit_frame(
        candidate.regression.residuals,
        prior.kind,
        weights=np.exp(weights.given_observation),
        reference=prior,
        trust=weights.effective / (weights.effective + prior.origin.size + 1),
    )


def _state_bandwidths(
    candidate: Candidate, frame: Frame, options: AnalysisOptions
) -> Sequence[float]:
    """Candidates for ``h_x``, as multiples of the centres' spread in the frame."""
    wanted = options.state_bandwidth
    if wanted == "auto":
        spread = _spread(candidate, frame)
        return tuple(spread * width for width in STATE_BANDWIDTHS)
    if wanted == "silverman":
        return _silverman(candidate, frame)
    return (float(wanted),)


def _silverman(candidate: Candidate, frame: Frame) -> Sequence[float]:
    effective = candidate.near.weights(candidate.bandwidth).effective
    rule = silverman(effective, frame.origin.size)
    return (_spread(candidate, frame) * rule,)


def _spread(candidate: Candidate, frame: Frame) -> float:
    """Spread of the residuals in the frame: 1, except in the caller's units."""
    if frame.kind != "none":
        return 1.0
    variance = np.var(candidate.regression.residuals, axis=0, ddof=1)
    return float(np.sqrt(np.mean(variance))) or 1.0


def _shrinks(candidate: Candidate, options: AnalysisOptions) -> Sequence[bool]:
    if options.shrink != "auto":
        return (bool(options.shrink),)
    if options.scaling == "none":
        # Shrinkage is defined in coordinates of unit spread.
        return (False,)
    # A regression promises residuals of the right spread: kernels must not add to it
    # at every cycle. Where kernels alone stand for the modes they may be wider.
    return (True, False) if candidate.regression.name == "none" else (True,)
