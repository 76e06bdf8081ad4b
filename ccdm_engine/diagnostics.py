"""Facts about one analysis, and the advice that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns, spreads
from ccdm_engine.analysis import Advice, ChosenModel, Diagnostics
from ccdm_engine.astray import Astray, astray
from ccdm_engine.blocks import blocks
from ccdm_engine.conditioning import Conditioned
from ccdm_engine.inflation import Adapted
from ccdm_engine.noise_free import looks_noise_free
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.predicted import moments, predicted
from ccdm_engine.sampling import Sampled
from ccdm_engine.version import __version__

Array = npt.NDArray[np.float64]

# An observation this many typical neighbour distances away is foreign to the ensemble.
FAR_AWAY = 5.0
# So few effective members cannot represent a posterior.
FEW_EFFECTIVE = 3.0
# A flow started closer than this many deviations has not forgotten the ensemble.
CLOSE_START = 2.0
# State variables worked on at a time, so that no copy of the ensemble is made.
VARIABLES = 4096


@dataclass(frozen=True, slots=True)
class StateFacts:
    """What is told of states and samples, which need not be in memory together.

    Attributes:
        dimension: dx.
        n_samples: rows of the result.
        prior_spread, posterior_spread: root mean variance over the variables.
        noise_free: whether a measurement looks like an exact function of the states.
        astray: members far away from the others in some of the caller's variables.
        kept: largest share of its spread that any variable kept, where all may have
            lost most of it; else ``None``.
    """

    dimension: int
    n_samples: int
    prior_spread: float
    posterior_spread: float
    noise_free: bool = False
    astray: Astray | None = None
    kept: float | None = None


def facts_of(pairs: Pairs, samples: Array, options: AnalysisOptions) -> StateFacts:
    """These facts, where both are in memory.

    Args:
        pairs: what took part.
        samples: the result, ``(n, dx)``.
        options: as used.
    """
    before, after = root_mean_variance(pairs.states), root_mean_variance(samples)
    # Where every variable lost most of its spread, their root mean did.
    lost_most = after < spreads.COLLAPSED * before
    return StateFacts(
        pairs.states.shape[1],
        samples.shape[0],
        before,
        after,
        options.measurement_error is None and looks_noise_free(pairs),
        astray(pairs.states, pairs.state_columns),
        spreads.most_kept(pairs.states, samples) if lost_most else None,
    )


def describe(
    pairs: Pairs,
    found: Conditioned,
    about: StateFacts,
    options: AnalysisOptions,
    seed: int,
) -> Diagnostics:
    """Diagnostics of an analysis that used the observation.

    Args:
        pairs: what took part.
        found: samples, the density model and what it was compared with.
        about: states and samples.
        options: as used.
        seed: as used.
    """
    choice, sampled = found.choice, found.sampled
    if found.shares:  # one lobe of several is narrow beside all of them
        about = replace(about, kept=None)
    model = choice.model
    chosen = ChosenModel(
        preconditioner=model.regression.name,
        scaling=model.frame.kind,
        state_bandwidth=model.state_bandwidth,
        measurement_bandwidth=model.candidate.bandwidth,
        measurement_kernel=model.candidate.near.kind,
        max_bandwidth=sampled.max_bandwidth if sampled else model.state_bandwidth,
        shrink=model.shrink or model.candidate.is_drawn_together,
        unbiased=model.regression.is_unbiased,
        score=model.score,
        gaussian_score=choice.gaussian_score,
    )
    facts = moved(
        pairs,
        chosen,
        found.effective,
        choice.observation_distance,
        about,
        options,
        seed,
    )
    facts = concluded(facts, found.factors, options, found.shares)
    if sampled is None:
        return facts
    return replace(
        facts,
        sampler=options.sampler,
        score_evaluations=sampled.evaluations,
        warnings=facts.warnings + _start(sampled, options),
    )


def moved(
    pairs: Pairs,
    chosen: ChosenModel,
    effective: float,
    distance: float,
    about: StateFacts,
    options: AnalysisOptions,
    seed: int,
) -> Diagnostics:
    """Diagnostics of an analysis that moved the members and sampled nothing.

    Args:
        pairs: what took part.
        chosen: the density model.
        effective: sample size of the weights.
        distance: of the observation, see :class:`.Choice`.
        about: states and samples.
        options: as used.
        seed: as used.
    """
    common = _common(pairs, about, options, seed)
    warnings = _advice(pairs, distance, effective, about)
    if np.nanmax(np.abs(common["innovation"])) > spreads.FAR:
        warnings += spreads.incredible(pairs, common["innovation"])
    return Diagnostics(
        status="analysed",
        reason=None,
        effective_sample_size=effective,
        model=chosen,
        gaussian_preferred=None,
        sampler="shift",
        score_evaluations=0,
        observation_distance=distance,
        warnings=warnings,
        **common,
    )


def unchanged(
    pairs: Pairs, about: StateFacts, options: AnalysisOptions, seed: int
) -> Diagnostics:
    """Diagnostics of a forecast that came back as it was."""
    if pairs.columns.size:
        reason = "every state variable is constant over the ensemble"
    elif "constant" in pairs.status:
        reason = "every observed measurement is constant over the ensemble"
    else:
        reason = "nothing was observed"
    return Diagnostics(
        status="unchanged",
        reason=reason,
        effective_sample_size=float(pairs.used.size),
        model=None,
        gaussian_preferred=None,
        sampler="none",
        score_evaluations=0,
        observation_distance=None,
        warnings=_failures(pairs) + _constants(pairs),
        **_common(pairs, about, options, seed),
    )


def _common(
    pairs: Pairs, about: StateFacts, options: AnalysisOptions, seed: int
) -> dict[str, Any]:
    innovation = np.full(len(pairs.status), np.nan)
    middle, unit, deviation = moments(pairs.simulated)
    innovation[pairs.columns] = (pairs.observation - middle) / unit / deviation
    return {
        "n_members": pairs.n_members,
        "members_used": tuple(pairs.used.tolist()),
        "members_failed": pairs.failed,
        "n_samples": about.n_samples,
        "state_dim": about.dimension,
        "measurement_dim": len(pairs.status),
        "schedule": options.schedule,
        "prior_spread": about.prior_spread,
        "posterior_spread": about.posterior_spread,
        "innovation": tuple(float(value) for value in innovation),
        "observation_status": pairs.status,
        "seed": seed,
        "version": __version__,
        "predicted": predicted(pairs, seed),
    }


def concluded(
    facts: Diagnostics,
    factors: Adapted,
    options: AnalysisOptions,
    lobes: tuple[float, ...] = (),
) -> Diagnostics:
    """The facts with what widened the forecast, and what the Gaussian update scored.

    Args:
        facts: of an analysis that used the observation.
        factors: of adaptive inflation.
        options: as used.
        lobes: shares of the samples in each.
    """
    warnings, model = facts.warnings, facts.model
    is_plain = options.inflation == 1.0 and not lobes
    if factors.applied > max(factors.learned, 1.0):
        warnings += (spreads.widened(factors.applied),)
    elif is_plain and facts.posterior_spread > spreads.GREW * facts.prior_spread:
        warnings += spreads.grown(facts.prior_spread, facts.posterior_spread)
    as_well = False if lobes else None
    if model and model.score is not None and model.gaussian_score is not None:
        as_well = not lobes and bool(model.gaussian_score >= model.score)
    return replace(
        facts,
        gaussian_preferred=as_well,
        forecast_inflation=factors.learned,
        lobes=lobes,
        warnings=warnings,
    )


def root_mean_variance(ensemble: Array) -> float:
    """``sqrt(mean_d var(x_d))`` with the unbiased variance; 0 for a single row."""
    if ensemble.shape[0] < 2:
        return 0.0
    members, dimension = ensemble.shape
    largest, total = 0.0, 0.0
    for block in blocks(dimension, VARIABLES):
        part = ensemble[:, block]
        gaps = part - columns.mean(part / 2) * 2
        size = max(largest, float(np.max(np.abs(gaps))))
        if size > 0:
            gaps /= size
            total = total * (largest / size) ** 2 + float(np.sum(gaps**2))
        largest = size
    return largest * float(np.sqrt(total / (members - 1) / dimension))


def _advice(
    pairs: Pairs, distance: float, effective: float, about: StateFacts
) -> tuple[Advice, ...]:
    found = list(_failures(pairs) + _constants(pairs))
    measured = astray(pairs.simulated, pairs.columns)
    for far, what in ((about.astray, "state"), (measured, "measurement")):
        if far is not None:
            found.append(_far_away(pairs, far, what))
    if distance > FAR_AWAY:
        found.append(
            Advice(
                "observation-outside-ensemble",
                f"The observation lies {distance:.1f} typical "
                "neighbour distances away from the nearest simulated measurement.",
                "Check its units and order first; otherwise the ensemble has lost "
                "the truth: widen it (inflation, process noise) or add members.",
            )
        )
    if effective < FEW_EFFECTIVE < pairs.used.size:
        found.append(
            Advice(
                "weights-collapsed",
                f"Only {effective:.1f} of {pairs.used.size} members carry weight.",
                "Use measurement_bandwidth='auto' or a larger one, add members, or "
                "localize.",
            )
        )
    if about.kept is not None and not about.noise_free:
        found += spreads.collapsed(pairs, about.kept, about.n_samples)
    if about.noise_free and measured is None and about.astray is None:
        found.append(
            Advice(
                "measurements-look-noise-free",
                "The simulated measurements are exact functions of the states.",
                "Give measurement_error (standard deviations), so that the engine "
                "adds the noise that the real observation has.",
            )
        )
    return tuple(found)


def _far_away(pairs: Pairs, far: Astray, what: str) -> Advice:
    others = far.members.size - 1
    return Advice(
        "member-far-away",
        f"Member {pairs.used[far.member]} lies {far.distance:.2g} spreads of the "
        f"others away in {what} {far.column}"
        + (f"; so do {others} more, there or elsewhere." if others else "."),
        "It decides the spread by itself, and the others are hardly updated. Where its "
        "run went astray or a fill value slipped in, set it to NaN and failed_members "
        "to 'drop' or 'refill'.",
    )


def _start(sampled: Sampled, options: AnalysisOptions) -> tuple[Advice, ...]:
    if (
        options.sampler == "exact"
        or sampled.max_bandwidth >= CLOSE_START * sampled.widest
    ):
        return ()
    return (
        Advice(
            "max-bandwidth-small",
            f"The flow starts at {sampled.max_bandwidth:.3g}, within {CLOSE_START:g} "
            f"deviations ({sampled.widest:.3g}) of the members.",
            "Use max_bandwidth='auto' or at least four deviations.",
        ),
    )


def _failures(pairs: Pairs) -> tuple[Advice, ...]:
    if not pairs.failed:
        return ()
    return (
        Advice(
            "members-failed",
            f"{len(pairs.failed)} of {pairs.n_members} members were left out.",
            "See members_failed for which and why.",
        ),
    )


def _constants(pairs: Pairs) -> tuple[Advice, ...]:
    count = sum(status == "constant" for status in pairs.status)
    if not count:
        return ()
    return (
        Advice(
            "measurement-constant",
            f"{count} measurements are the same in all members and were left out.",
            "Check the measurement operator, or give measurement_error.",
        ),
    )
