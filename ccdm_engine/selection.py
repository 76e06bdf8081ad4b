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

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.bandwidth import AT_A_TIME, held_out_scores, silverman
from ccdm_engine.family import Candidate, candidates
from ccdm_engine.mixture import Mixture
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame, fit_weighted, stacked

Array = npt.NDArray[np.float64]
Real = npt.NDArray[Any]

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
    """The state bandwidths of one candidate, as they did."""

    candidate: Candidate
    frame: Frame
    widths: Array  # (H,)
    shrink: bool
    scores: Array  # (H, J), one column per held-out member
    means: Array  # (H,)

    @property
    def place(self) -> int:
        """Which bandwidth does best."""
        return int(np.argmax(self.means))

    @property
    def best(self) -> Array:
        """The scores of that bandwidth, ``(J,)``."""
        return np.asarray(self.scores[self.place])

    @property
    def mean(self) -> float:
        return float(self.means[self.place])

    @property
    def model(self) -> Model:
        width = float(self.widths[self.place])
        return Model(self.candidate, self.frame, width, self.shrink, self.mean)


def choose(pairs: Pairs, options: AnalysisOptions) -> Choice:
    """The best-scoring model of the family that the options leave open.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
    """
    near = neighbourhood(pairs, options.scaling)
    family = candidates(pairs, options, near)
    first, second = next(family), next(family, None)
    if second is None:
        only = _only_model(first, options)
        if only is not None:
            return Choice(only, None, near.observation_distance)
    rest = () if second is None else (second,)
    best = _best_of_tiers(itertools.chain((first, *rest), family), options)
    thresholds = _thresholds(pairs, best)
    plain = chosen = best[min(best)]
    for tier in sorted(best)[1:]:
        richer = best[tier]
        gain = richer.best - chosen.best
        error = float(gain.std(ddof=1)) / np.sqrt(gain.size)
        needed = thresholds[tier]
        chosen = richer if gain.mean() > max(needed * error, LEAST_GAIN) else chosen
    gaussian = plain.mean if plain.candidate.is_shift else None
    return Choice(chosen.model, gaussian, near.observation_distance)


def _thresholds(pairs: Pairs, best: Mapping[int, _Scored]) -> tuple[float, ...]:
    if pairs.columns.size < pairs.states.shape[1]:
        return OPEN_STANDARD_ERRORS
    return STANDARD_ERRORS if 1 in best else CLOSED_STANDARD_ERRORS


def _best_of_tiers(
    family: Iterator[Candidate], options: AnalysisOptions
) -> dict[int, _Scored]:
    """The best-scoring model of each tier; no other is kept."""
    best: dict[int, _Scored] = {}
    for batch in _batches(family, options):
        for scored in _scored(batch, options):
            tier = scored.candidate.tier
            if tier not in best or scored.mean > best[tier].mean:
                best[tier] = scored
    return best


def _batches(
    family: Iterator[Candidate], options: AnalysisOptions
) -> Iterator[list[Candidate]]:
    """Candidates of the same kind together, as many as are worth scoring at once."""
    waiting: dict[tuple[bool, bool], list[Candidate]] = {}
    for candidate in family:
        kind = (_is_refitted(candidate, options), candidate.regression.name == "none")
        batch = waiting.setdefault(kind, [])
        batch.append(candidate)
        size = len(STATE_BANDWIDTHS) * candidate.near.among.size
        size = max(size, candidate.regression.residuals.size)
        if (len(batch) + 1) * size > AT_A_TIME:
            yield waiting.pop(kind)
    yield from waiting.values()


def _only_model(candidate: Candidate, options: AnalysisOptions) -> Model | None:
    """The model, when the options leave nothing to compare."""
    frame = _frames([candidate], options)
    widths = _state_bandwidths(candidate, frame.kind, options)
    shrinks = _shrinks(candidate, options)
    if candidate.is_shift and len(widths) > 1:
        # Only extra samples need a kernel here: the reference rule will do.
        widths = _silverman(candidate, frame.kind)
    if len(widths) > 1 or len(shrinks) > 1:
        return None
    return Model(candidate, frame.at(0), widths[0], shrinks[0])


def _scored(batch: Sequence[Candidate], options: AnalysisOptions) -> Iterator[_Scored]:
    """Scores of candidates of one kind."""
    frames = _frames(batch, options)
    held_out = batch[0].near.held_out
    points = frames.into(
        _stacked([item.regression.held_out_residuals[held_out] for item in batch])
    )
    centres = frames.into(_stacked([item.regression.residuals for item in batch]))
    weights = [item.near.weights(item.bandwidth) for item in batch]
    log_weights = _stacked([item.given_member for item in weights])
    widths = np.array([_state_bandwidths(item, frames.kind, options) for item in batch])
    # The frame was fitted to the held-out members too; p parameters from n members
    # flatter each member's score by about p / n (Akaike 1974).
    flattery = frames.parameters / np.array([item.effective for item in weights])
    constant = frames.log_volume - flattery[:, None]
    for shrink in _shrinks(batch[0], options):
        scores = held_out_scores(points, centres, log_weights, widths, shrink=shrink)
        scores += constant[:, :, None]
        means = scores.mean(axis=2)
        for place, item in enumerate(batch):
            yield _Scored(
                item,
                frames.at(place),
                widths[place],
                shrink,
                scores[place],
                means[place],
            )


def _stacked(arrays: Sequence[Real]) -> Real:
    """Arrays along a new first axis; one that all share is not copied."""
    if all(array is arrays[0] for array in arrays):
        return arrays[0][None]
    return np.stack(arrays)


def _is_refitted(candidate: Candidate, options: AnalysisOptions) -> bool:
    """Whether kernel coordinates follow the spread of the weighted members.

    With automatic state bandwidths they do, as far as there are enough of them; a
    bandwidth given as a number is in units of the whole ensemble's spread.
    """
    return (
        isinstance(options.state_bandwidth, str)
        and np.isfinite(candidate.bandwidth)
        and candidate.prior.kind != "none"
    )


def _frames(batch: Sequence[Candidate], options: AnalysisOptions) -> Frame:
    """Kernel coordinates of the residuals, stacked."""
    priors = [candidate.prior for candidate in batch]
    if not _is_refitted(batch[0], options):
        return stacked(priors)
    weights = [candidate.near.weights(candidate.bandwidth) for candidate in batch]
    effective = np.array([item.effective for item in weights])
    return fit_weighted(
        _stacked([candidate.regression.residuals for candidate in batch]),
        np.exp([item.given_observation for item in weights]),
        priors,
        effective / (effective + priors[0].origin.size + 1),
    )


def _state_bandwidths(
    candidate: Candidate, kind: str, options: AnalysisOptions
) -> Sequence[float]:
    """Candidates for ``h_x``, as multiples of the centres' spread in the frame."""
    wanted = options.state_bandwidth
    if wanted == "auto":
        spread = _spread(candidate, kind)
        return tuple(spread * width for width in STATE_BANDWIDTHS)
    if wanted == "silverman":
        return _silverman(candidate, kind)
    return (float(wanted),)


def _silverman(candidate: Candidate, kind: str) -> Sequence[float]:
    effective = candidate.near.weights(candidate.bandwidth).effective
    rule = silverman(effective, candidate.prior.origin.size)
    return (_spread(candidate, kind) * rule,)


def _spread(candidate: Candidate, kind: str) -> float:
    """Spread of the residuals in the frame: 1, except in the caller's units."""
    if kind != "none":
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
