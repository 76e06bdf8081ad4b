"""What all baselines share: screening before, refilling and reporting after."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine.analysis import Analysis, Diagnostics
from ccdm_engine.diagnostics import root_mean_variance
from ccdm_engine.errors import OptionsError
from ccdm_engine.inflation import multiplicative
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, screen
from ccdm_engine.streams import EXTRA, stream
from ccdm_engine.version import __version__

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method makes of screened pairs.

    Attributes:
        samples: analysis, ``(n, dx)``; row i belongs to used member i where
            ``per_member`` says so.
        effective_sample_size: ``1 / sum w_i^2``; N where all weights are alike.
        per_member: whether rows keep the identity of the members.
    """

    samples: Array
    effective_sample_size: float
    per_member: bool = True


# Screened pairs, options and the seed of the analysis.
Update = Callable[[Pairs, AnalysisOptions, int], Outcome]


def inflated(samples: Array, options: AnalysisOptions) -> Array:
    """The analysis with its deviations inflated by a fixed factor.

    Raises:
        OptionsError: for adaptive inflation, which the baselines do not have.
    """
    if isinstance(options.inflation, str):
        raise OptionsError(
            "inflation", got=repr(options.inflation), wanted="a number for a baseline"
        )
    return multiplicative(samples, options.inflation)


def analyse(
    name: str,
    update: Update,
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    options: AnalysisOptions | None,
    seed: int | None,
) -> Analysis:
    """Screen the pairs, update, refill, report: the frame of every baseline.

    Args:
        name: of the method, reported as ``diagnostics.sampler``.
        update: the method itself, on screened pairs with at least one measurement.
        forecast_states: ``(N, dx)``.
        simulated_measurements: ``(N, dy)``.
        observation: ``(dy,)``; NaN marks what was not observed.
        options: as for ``assimilate``; kernel options have no meaning here.
        seed: of all randomness; ``None`` draws one and reports it.
    """
    chosen = AnalysisOptions() if options is None else options
    number = _checked_seed(seed)
    pairs = screen(
        forecast_states,
        simulated_measurements,
        observation,
        failed_members=chosen.failed_members,
    )
    if pairs.columns.size == 0:
        whole = Outcome(pairs.states, float(pairs.used.size))
        return _report(name, pairs, whole, chosen, number)
    return _report(name, pairs, update(pairs, chosen, number), chosen, number)


def _report(
    name: str,
    pairs: Pairs,
    outcome: Outcome,
    options: AnalysisOptions,
    seed: int,
) -> Analysis:
    if outcome.per_member:
        _require_one_per_member(options, pairs)
        if options.failed_members == "refill":
            outcome = replace(outcome, samples=refill(outcome.samples, pairs, seed))
    samples = np.ascontiguousarray(outcome.samples)
    unchanged = pairs.columns.size == 0
    diagnostics = Diagnostics(
        status="unchanged" if unchanged else "analysed",
        reason="nothing was observed" if unchanged else None,
        n_members=pairs.n_members,
        members_used=tuple(int(i) for i in pairs.used),
        members_failed=pairs.failed,
        n_samples=samples.shape[0],
        state_dim=samples.shape[1],
        measurement_dim=len(pairs.status),
        effective_sample_size=outcome.effective_sample_size,
        model=None,
        gaussian_preferred=None,
        sampler=name,
        schedule="none",
        score_evaluations=0,
        prior_spread=root_mean_variance(pairs.states),
        posterior_spread=root_mean_variance(samples),
        innovation=_innovation(pairs),
        observation_distance=None,
        observation_status=pairs.status,
        seed=seed,
        version=__version__,
    )
    return Analysis(samples=samples, diagnostics=diagnostics)


def refill(samples: Array, pairs: Pairs, seed: int) -> Array:
    """Give failed members a place again: ``mean + sum_j z_j dev_j / sqrt(N - 1)``.

    The new members have the mean and covariance of the analysis ensemble; the
    others keep their own rows.

    Args:
        samples: analysis of the used members, ``(N used, dx)``.
        pairs: who was used.
        seed: of the draws ``z``, one row per failed member.

    Returns:
        ``(n_members, dx)``, in the order of the caller's ensemble.
    """
    whole = np.empty((pairs.n_members, samples.shape[1]))
    whole[pairs.used] = samples
    missing = np.setdiff1d(np.arange(pairs.n_members), pairs.used)
    if missing.size:
        mean = samples.mean(axis=0)
        draws = stream(seed, EXTRA).standard_normal((missing.size, samples.shape[0]))
        weights = draws / np.sqrt(samples.shape[0] - 1)
        whole[missing] = mean + weights @ (samples - mean)
    return whole


def declared_error(options: AnalysisOptions) -> float | tuple[float, ...] | None:
    """``options.measurement_error`` as the screens want it."""
    error = options.measurement_error
    if error is None or isinstance(error, (int, float)):
        return error
    return tuple(error)


def require_error(options: AnalysisOptions) -> float | tuple[float, ...]:
    """The measurement error of a method that cannot do without.

    Raises:
        OptionsError: when it is not given, or not positive.
    """
    error = declared_error(options)
    if error is None or np.any(np.asarray(error) <= 0):
        raise OptionsError(
            "measurement_error",
            got=repr(error),
            wanted="positive standard deviation(s)",
            remedy="This method evaluates the likelihood: give the error, and "
            "noise-free simulated measurements.",
        )
    return error


def _require_one_per_member(options: AnalysisOptions, pairs: Pairs) -> None:
    if options.n_samples not in (None, pairs.n_members, pairs.used.size):
        raise OptionsError(
            "n_samples",
            got=repr(options.n_samples),
            wanted="None: this method moves each member",
        )


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbits(63)
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise OptionsError(
            "seed", got=repr(seed), wanted="an integer, 0 <= seed < 2**63"
        )
    return int(seed)


def _innovation(pairs: Pairs) -> tuple[float, ...]:
    out = np.full(len(pairs.status), np.nan)
    if pairs.columns.size:
        gap = pairs.observation - pairs.simulated.mean(axis=0)
        deviation = pairs.simulated.std(axis=0, ddof=1)
        safe = np.where(deviation > 0, deviation, np.nan)
        out[pairs.columns] = gap / safe
    return tuple(float(value) for value in out)
