"""What an analysis returns: samples, and facts about them kept apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Advice:
    """A warning that says what to do.

    Attributes:
        code: stable short name, e.g. ``"observation-outside-ensemble"``.
        message: what was seen.
        advice: what to do about it.
    """

    code: str
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """The density model that was used, and how it scored on held-out members.

    ``measurement_kernel`` says in which units ``measurement_bandwidth`` is:
    ``"pairs"`` in those of the simulated measurements' spread (the caller's with
    ``scaling="none"``), ``"joint"`` in those of the noise-free measurements' spread,
    ``state_bandwidth`` being that of the same kernels in the states.
    ``unbiased`` says whether the regression's residuals were divided by
    ``sqrt(1 - leverage)``. Scores are mean held-out log densities per member near the
    observation (nats). Where the update that moves the members is the only candidate it
    is scored as one Gaussian, and is its own Gaussian alternative; with coordinates up
    to 100 members are held out wherever they lie, variable by variable, and the
    alternative is the straight line without kernels. With lobes they are means over the
    lobes by their shares. ``None`` where the caller fixed what would be chosen, and
    where a variable without any spread leaves no finite score.
    """

    preconditioner: str
    scaling: str
    state_bandwidth: float
    measurement_bandwidth: float
    measurement_kernel: str
    max_bandwidth: float
    shrink: bool
    unbiased: bool = False
    score: float | None = None
    gaussian_score: float | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """The ensemble's prediction of the measurements, before the analysis.

    One entry per described measurement: all assimilated ones, or 100 of them spread
    evenly where there are more. The simulated measurements are taken with their noise.

    Attributes:
        index: of each described measurement in the caller's.
        observation: ``y*``, in units of the measurements, as all but the ranks.
        rank: members below ``y*``, 0 to the number of members used; ties are broken
            at random. Over many cycles uniform when the ensemble is calibrated.
        mean, std: of the simulated measurements.
        quantile_levels: probabilities; ``quantiles`` has one of these per level, for
            each described measurement.
    """

    index: tuple[int, ...]
    observation: tuple[float, ...]
    rank: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quantile_levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Facts about one analysis.

    Attributes:
        status: ``"analysed"``, or ``"unchanged"`` when nothing was observed.
        reason: why the forecast came back unchanged, else ``None``.
        n_members: members received; ``members_used`` indices of those used.
        members_failed: ``{"member": i, "reason": text}`` for each one left out.
        n_samples, state_dim, measurement_dim: sizes of the result and the input.
        effective_sample_size: ``1 / sum w_i^2`` of the conditional weights.
        model: the chosen density model, ``None`` when unchanged.
        gaussian_preferred: whether a Gaussian (Kalman) update scored as well as the
            chosen model on held-out members, which it also does by being chosen when
            nothing was clearly better; ``None`` when not compared.
        sampler, schedule: as used.
        score_evaluations: evaluations of the closed-form score per sample.
        prior_spread, posterior_spread: root mean variance over state variables, in
            units of the states.
        innovation: per measurement ``(y* - mean y_i) / std y_i``; NaN when missing.
        observation_distance: distance of ``y*`` to its nearest simulated measurement
            over the median of the same distance among members; about 1 inside the
            cloud, large when the observation is foreign to the ensemble.
        observation_status: per measurement ``"assimilated"``, ``"missing"`` or
            ``"constant"`` (no spread among members, so it cannot inform).
        seed: the seed that reproduces the samples.
        version: of the engine.
        warnings: what a person should know, with advice.
        predicted: what the ensemble predicted of the measurements and where ``y*``
            lies in it; ``None`` when nothing was assimilated, and from baselines.
        lobes: shares of the samples in the clouds that the forecast had come apart
            into, each analysed by itself; ``model`` is that of the heaviest, its
            scores are those of all. Empty where the forecast was one cloud.
        forecast_inflation: factor on the forecast's deviations that
            ``inflation="adaptive"`` has learned, to be handed on to the next cycle.
    """

    status: str
    reason: str | None
    n_members: int
    members_used: tuple[int, ...]
    members_failed: tuple[dict[str, Any], ...]
    n_samples: int
    state_dim: int
    measurement_dim: int
    effective_sample_size: float
    model: ChosenModel | None
    gaussian_preferred: bool | None
    sampler: str
    schedule: str
    score_evaluations: int
    prior_spread: float
    posterior_spread: float
    innovation: tuple[float, ...]
    observation_distance: float | None
    observation_status: tuple[str, ...]
    seed: int
    version: str
    warnings: tuple[Advice, ...] = field(default=())
    predicted: Predicted | None = None
    forecast_inflation: float = 1.0
    lobes: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The diagnostics as JSON values: NaN is ``None``, infinity ``"inf"``."""
        plain: dict[str, Any] = _plain(self)
        return plain


@dataclass(frozen=True, slots=True)
class Analysis:
    """Analysis samples and the facts about them.

    Attributes:
        samples: draws from p(x | y*), float64 ``(n_samples, dx)``, C-ordered.
        diagnostics: how they came about.
    """

    samples: npt.NDArray[np.float64]
    diagnostics: Diagnostics


def _plain(value: Any) -> Any:
    if isinstance(value, (Diagnostics, ChosenModel, Advice, Predicted)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return _plain_number(float(value))
    return value.item() if isinstance(value, np.generic) else value


def _plain_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value
