"""The forecast conditioned on the observation.

::

    divide     an ensemble that has come apart into lobes (:mod:`.lobes`)
    widen      the forecast, if inflation is adaptive or the ensemble has lost the truth
    choose     regression, frame and bandwidths (:mod:`.selection`)
    sample     from p(x | y*) = sum_i w_i N(x; c_i, h_x^2 A A^T), or shift the members
    inflate    and relax, if asked to

all but the first for each lobe by itself. Everything here is in units near 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine import inflation, lobes, local_noise
from ccdm_engine.family import Footing, goes_by_lobes, joint_footing
from ccdm_engine.local_transform import turned
from ccdm_engine.members import places, sample_count
from ccdm_engine.mixture import effective_sample_size
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.normalization import normalize
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, without_constants
from ccdm_engine.parts import Crew
from ccdm_engine.sampling import Sampled, sample
from ccdm_engine.scaling import fit_frame, has_footing
from ccdm_engine.selection import Choice, Model, choose
from ccdm_engine.streams import EXTRA, LOBE, TURN, stream

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Draw = Callable[[], Array]

NEUTRAL = inflation.Adapted(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Conditioned:
    """Samples, and how they came about.

    Attributes:
        samples: ``(n, dx)``.
        choice: the density model, of the heaviest lobe where there are several, its
            scores those of all by their shares.
        sampled: how they were made; ``None`` where the members were moved.
        effective: sample size of the weights.
        factors: by which the forecast was widened.
        shares: of the samples in each lobe; empty where there is but one.
    """

    samples: Array
    choice: Choice
    sampled: Sampled | None
    effective: float
    factors: inflation.Adapted = NEUTRAL
    shares: tuple[float, ...] = ()

    def in_units(self, exponents: npt.NDArray[np.int32]) -> Conditioned:
        """The same with scores as densities per unit of ``2^exponent`` times ours."""
        return replace(self, choice=self.choice.in_units(exponents))


def condition(
    pairs: Pairs, options: AnalysisOptions, latents: Draw, seed: int, crew: Crew
) -> Conditioned:
    """Analysis samples in the units of the pairs.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: as given.
        latents: tells the standard normal draws, ``(n, dx)``, where they are needed.
        seed: of the analysis.
        crew: who does the parts of a large analysis.
    """
    shape = pairs.states.shape
    footing = joint_footing(options, *shape)
    divided = lobes.apart(pairs.states) if goes_by_lobes(options, *shape) else []
    rows = places(pairs, sample_count(pairs, options), options)
    if len(divided) > 1:
        return _by_lobes(pairs, divided, options, latents(), rows, seed, crew)
    return _as_one(pairs, options, latents, rows, seed, crew, footing)


def _widened(pairs: Pairs, options: AnalysisOptions) -> tuple[Pairs, inflation.Adapted]:
    """The forecast to go on with, and the factors by which it was widened."""
    if not inflation.wanted(pairs, options):
        return pairs, NEUTRAL
    parts = local_noise.apart(pairs, options.localization)
    factors = inflation.factors(pairs, parts, options)
    forecast = inflation.widened(pairs, parts, factors.applied)
    return inflation.drawn_in(forecast) if options.rescues else forecast, factors


def _by_lobes(
    pairs: Pairs,
    divided: Sequence[Indices],
    options: AnalysisOptions,
    latents: Array,
    rows: Indices,
    seed: int,
    crew: Crew,
) -> Conditioned:
    """Each lobe by itself, with the samples that it is due."""
    evidence = lobes.evidence(pairs.simulated, pairs.observation, divided)
    # In an order that does not depend on that of the members.
    order = np.argsort([-told.log for told in evidence], kind="stable")
    divided = [divided[place] for place in order]
    after = lobes.shares([evidence[place] for place in order])
    due = lobes.counts(after, divided, latents.shape[0])
    ends = np.cumsum(due)
    parts, found, kept, effective = [], [], [], []
    for place, members in enumerate(divided):
        if not due[place]:
            continue
        key = int(stream(seed, LOBE, place).integers(2**63))
        own = latents[ends[place] - due[place] : ends[place]]
        lobe = _one_lobe(pairs.of(members), options, own, key, crew)
        if lobe is None:  # nothing to be learned: as they are
            parts.append(pairs.states[members[np.arange(due[place]) % members.size]])
            effective.append(float(members.size))
            continue
        parts.append(lobe.samples)
        effective.append(lobe.effective)
        found.append(lobe)
        kept.append(due[place] / latents.shape[0])
    weights, shares = np.array(kept), due[due > 0] / latents.shape[0]
    size = 1.0 / float(np.sum(shares**2 / effective))
    told_shares = tuple(shares.tolist())
    if not found:  # told for the diagnostics, of all members together
        choice = choose(pairs, options, Footing.NONE)
        factors = inflation.Adapted(options.learned_inflation, 1.0)
        samples = np.concatenate(parts)
        return Conditioned(samples, choice, None, size, factors, told_shares)
    heaviest = found[int(np.argmax(weights))]
    samples = np.concatenate(parts)
    sampled = [lobe.sampled for lobe in found if lobe.sampled is not None]
    together = _together([lobe.factors for lobe in found], weights / weights.sum())
    samples = _within_reach(samples, pairs.states, _asked_for(options, together))
    if not sampled and all(due >= [members.size for members in divided]):
        samples = _in_places(samples, divided, due, rows)
    # How far y* lies is asked of all that was given.
    distance = neighbourhood(pairs, options.scaling).observation_distance
    return Conditioned(
        samples,
        _choice(found, weights)._replace(observation_distance=distance),
        heaviest.sampled or (sampled[0] if sampled else None),
        size,
        together,
        told_shares,
    )


def _within_reach(samples: Array, states: Array, factor: float) -> Array:
    """No sample farther from the forecast's mean than its farthest member.

    Bayes' rule leaves nothing where the forecast has nothing. The slopes of a lobe, of
    few members, say otherwise where the observation is far outside of it: lobes that
    were moved along them in opposite directions grew from cycle to cycle until the
    model broke down. Distances are those of the whitened forecast.

    Args:
        samples: ``(n, dx)``.
        states: of the forecast, ``(N, dx)``.
        factor: by which it was asked to be wider.
    """
    frame = fit_frame(states, "whiten")
    reach = factor * float(np.max(_lengths(frame.into(states))))
    around = frame.into(samples)
    far = _lengths(around) > reach
    if far.any():
        shares = reach / _lengths(around[far])
        samples[far] = frame.out_of(around[far] * shares[:, None])
    return samples


def _lengths(rows: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def _asked_for(options: AnalysisOptions, found: inflation.Adapted) -> float:
    """By how much the analysis was to be wider, 1 or more."""
    wanted = options.inflation
    return max(found.learned if isinstance(wanted, str) else float(wanted), 1.0)


def _choice(found: Sequence[Conditioned], shares: Array) -> Choice:
    """The model of the heaviest lobe, with scores of all by their shares.

    Args:
        found: lobes that were analysed.
        shares: of the samples in each.
    """
    choice = found[int(np.argmax(shares))].choice
    score = _by_shares([lobe.choice.model.score for lobe in found], shares)
    gaussian = _by_shares([lobe.choice.gaussian_score for lobe in found], shares)
    return choice._replace(
        model=replace(choice.model, score=score), gaussian_score=gaussian
    )


def _by_shares(scores: Sequence[float | None], shares: Array) -> float | None:
    """Their mean; ``None`` where one has none."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    return float(np.average(known, weights=shares))


def _one_lobe(
    lobe: Pairs, options: AnalysisOptions, latents: Array, seed: int, crew: Crew
) -> Conditioned | None:
    """One lobe, its members first where they are moved.

    What differs over all members may not differ here: that is set aside. ``None``
    where no measurement is left that tells anything, or no state to be told of.
    """
    rows = np.arange(latents.shape[0])
    rows[lobe.used.size :] = -1
    told = without_constants(lobe)
    normal = normalize(told, options.scaling)
    if told.columns.size == 0 or normal.is_constant:
        return None
    inner = normal.pairs
    found = _as_one(
        inner,
        options,
        lambda: normal.varied(latents),
        rows,
        seed,
        crew,
        # Within a cloud joint kernels stay, however few its members are.
        Footing.SURE if has_footing(*inner.states.shape) else Footing.NONE,
    )
    found = found.in_units(normal.exponents)
    return replace(found, samples=normal.restore(found.samples))


def _together(factors: Sequence[inflation.Adapted], shares: Array) -> inflation.Adapted:
    """One factor to hand on, and the largest that was applied."""
    learned = float(np.sum(shares * [each.learned for each in factors]))
    return inflation.Adapted(learned, max(each.applied for each in factors))


def _in_places(
    samples: Array, divided: Sequence[Indices], due: Indices, rows: Indices
) -> Array:
    """Moved members in the rows that are theirs, further samples in the others.

    Args:
        samples: of one lobe after the other, its members first, ``(n, dx)``.
        divided: members of each.
        due: samples of each.
        rows: which member stands in which row, -1 for none, ``(n,)``.
    """
    begins = np.cumsum(due) - due
    member = np.concatenate(divided)
    source = np.concatenate(
        [
            begin + np.arange(part.size)
            for begin, part in zip(begins, divided, strict=True)
        ]
    )
    taken = rows >= 0
    at = np.empty(member.size, dtype=np.intp)
    at[member] = source
    placed = np.empty_like(samples)
    placed[taken] = samples[at[rows[taken]]]
    others = np.setdiff1d(np.arange(samples.shape[0]), at[rows[taken]])
    placed[~taken] = samples[others]
    return placed


def _as_one(
    pairs: Pairs,
    options: AnalysisOptions,
    latents: Draw,
    rows: Indices,
    seed: int,
    crew: Crew,
    footing: Footing,
) -> Conditioned:
    """All members under one density model.

    Args:
        pairs: the members.
        options: as given.
        latents: tells the standard normal draws, ``(n, dx)``.
        rows: which member stands in which row of the result, -1 for none, ``(n,)``.
        seed: of the draws.
        crew: who does the parts.
        footing: of joint kernels.
    """
    forecast, factors = _widened(pairs, options)
    choice = choose(forecast, options, footing)
    if forecast is not pairs:  # how far y* lies is asked of what was given
        distance = neighbourhood(pairs, options.scaling).observation_distance
        choice = choice._replace(observation_distance=distance)
    model = choice.model
    effective = effective_sample_size(model.log_weights)
    if model.is_shift:
        samples = _shifted(forecast, model, latents, rows, seed)
        samples = inflation.relaxed(samples, pairs.states, options, rows)
        return Conditioned(samples, choice, None, effective, factors)
    mixture = model.mixture()
    sampled = sample(mixture, options, latents(), seed, crew)
    del mixture
    points = model.frame.out_of(sampled.points)
    points += model.regression.target
    points = inflation.relaxed(points, pairs.states, options, None)
    sampled = replace(sampled, points=points)
    return Conditioned(points, choice, sampled, effective, factors)


def _shifted(
    pairs: Pairs, model: Model, latents: Draw, rows: Indices, seed: int
) -> Array:
    """Shifted members in their own places; further samples drawn around them."""
    members = model.regression.shifted
    if model.regression.is_transform:
        members = turned(members, pairs.states, stream(seed, TURN))
    taken = rows >= 0
    samples = members[rows]
    if not taken.all():
        mixture = model.mixture()
        chosen = stream(seed, EXTRA).choice(members.shape[0], size=int((~taken).sum()))
        around = mixture.centres[chosen] + mixture.bandwidth * latents()[~taken]
        samples[~taken] = model.frame.out_of(around) + model.regression.target
    return samples
