"""The forecast conditioned on the observation.

::

    widen      the forecast, if inflation is adaptive or the ensemble has lost the truth
    divide     an ensemble that has come apart into lobes (:mod:`.lobes`)
    choose     regression, frame and bandwidths, for each lobe (:mod:`.selection`)
    sample     from p(x | y*) = sum_i w_i N(x; c_i, h_x^2 A A^T), or shift the members

Everything here is in units near 1, and every state and measurement has spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ccdm_engine import inflation, lobes, local_noise
from ccdm_engine.family import has_joint_kernels
from ccdm_engine.local_transform import turned
from ccdm_engine.members import places, sample_count
from ccdm_engine.mixture import effective_sample_size
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.parts import Crew
from ccdm_engine.sampling import Sampled, sample
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
        choice: the density model, of the heaviest lobe where there are several.
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

    @property
    def is_moved(self) -> bool:
        """Whether each sample is a member that was moved."""
        return self.sampled is None

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
    forecast, factors = _widened(pairs, options)
    divided = [np.arange(pairs.used.size)]
    joint = has_joint_kernels(options, *pairs.states.shape)
    if joint:
        divided = lobes.apart(forecast.states)
    if len(divided) > 1:
        found = _by_lobes(forecast, divided, options, latents(), seed, crew)
    else:
        rows = places(pairs, sample_count(pairs, options), options)
        found = _as_one(forecast, options, latents, rows, seed, crew, joint)
    if forecast is not pairs or len(divided) > 1:
        # How far y* lies is asked of all that was given.
        distance = neighbourhood(pairs, options.scaling).observation_distance
        choice = found.choice._replace(observation_distance=distance)
        found = replace(found, choice=choice)
    return replace(found, factors=factors)


def _widened(pairs: Pairs, options: AnalysisOptions) -> tuple[Pairs, inflation.Adapted]:
    """The forecast to go on with, and the factors by which it was widened."""
    if not inflation.wanted(pairs, options):
        return pairs, NEUTRAL
    parts = local_noise.apart(pairs, options.localization)
    factors = inflation.factors(pairs, parts, options)
    return inflation.widened(pairs, parts, factors.applied), factors


def _by_lobes(
    pairs: Pairs,
    divided: Sequence[Indices],
    options: AnalysisOptions,
    latents: Array,
    seed: int,
    crew: Crew,
) -> Conditioned:
    """Each lobe by itself, with the samples that it is due.

    A lobe takes latents that follow each other: these are as even as all together.
    """
    evidence = lobes.evidence(pairs.simulated, pairs.observation, divided)
    # In an order that does not depend on that of the members.
    order = np.argsort([-told.log for told in evidence], kind="stable")
    divided = [divided[place] for place in order]
    after = lobes.shares([evidence[place] for place in order])
    due = lobes.counts(after, divided, latents.shape[0])
    found, ends = [], np.cumsum(due)
    for place, members in enumerate(divided):
        own = latents[ends[place] - due[place] : ends[place]]
        if own.shape[0] == 0:
            continue
        key = int(stream(seed, LOBE, place).integers(2**63))
        rows = np.arange(own.shape[0])
        rows[members.size :] = -1
        draw = partial(np.asarray, own)
        found.append(_as_one(pairs.of(members), options, draw, rows, key, crew, True))
    samples = np.concatenate([lobe.samples for lobe in found])
    shares = due[due > 0] / latents.shape[0]
    heaviest = found[int(np.argmax(shares))]
    effective = 1.0 / float(
        np.sum(shares**2 / np.array([lobe.effective for lobe in found]))
    )
    kept = [members.size for members in divided] == due.tolist()
    sampled = [lobe.sampled for lobe in found if lobe.sampled is not None]
    if kept and not sampled:  # every member is still there: to its own place
        samples[np.concatenate(divided)] = samples.copy()
    elif not sampled:
        width = heaviest.choice.model.state_bandwidth
        sampled = [Sampled(samples, 0, width, 0.0)]
    return Conditioned(
        samples,
        heaviest.choice,
        heaviest.sampled or (sampled[0] if sampled else None),
        effective,
        shares=tuple(shares.tolist()),
    )


def _as_one(
    pairs: Pairs,
    options: AnalysisOptions,
    latents: Draw,
    rows: Indices,
    seed: int,
    crew: Crew,
    joint: bool,
) -> Conditioned:
    """All members under one density model.

    Args:
        pairs: the members.
        options: as given.
        latents: tells the standard normal draws, ``(n, dx)``.
        rows: which member stands in which row of the result, -1 for none, ``(n,)``.
        seed: of the draws.
        crew: who does the parts.
        joint: whether there is footing for joint kernels.
    """
    choice = choose(pairs, options, joint=joint)
    model = choice.model
    effective = effective_sample_size(model.log_weights)
    if model.is_shift:
        samples = _shifted(pairs, model, latents, rows, seed)
        return Conditioned(samples, choice, None, effective)
    mixture = model.mixture()
    sampled = sample(mixture, options, latents(), seed, crew)
    del mixture
    points = model.frame.out_of(sampled.points)
    points += model.regression.target
    return Conditioned(points, choice, replace(sampled, points=points), effective)


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
