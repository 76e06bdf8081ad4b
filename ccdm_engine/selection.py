"""Which density model to use: regression, frame, bandwidths, shrinkage.

The family runs from the paper's kernel density (no regression, narrow kernels) to
the stochastic EnKF (a linear regression, equal weights). Fixed choices of the caller
narrow it; what is left is compared by held-out likelihood (:mod:`.bandwidth`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine import preconditioning
from ccdm_engine.bandwidth import held_out_scores, silverman
from ccdm_engine.mixture import (
    Mixture,
    conditional_log_weights,
    effective_sample_size,
)
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.preconditioning import Regression
from ccdm_engine.scaling import Frame, fit_frame

Array = npt.NDArray[np.float64]

# Candidate bandwidths in units of the spread.
STATE_BANDWIDTHS = np.array([0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.55, 0.75, 1.0])
MEASUREMENT_BANDWIDTHS = np.array([0.05, 0.1, 0.2, 0.35, 0.6, 1.0, np.inf])
# How many members nearest to the observation are held out in turn.
HELD_OUT = 64


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
        return (
            np.isinf(self.measurement_bandwidth) and self.regression.name != "none"
        )


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The members on which candidates are judged, and distances between measurements.

    Attributes:
        to_observation: ``|y* - y_i|^2``, ``(N,)``.
        held_out: indices of the members nearest to the observation, ``(J,)``.
        among: ``|y_j - y_i|^2`` for held-out j, infinite for i = j, ``(J, N)``.
    """

    to_observation: Array
    held_out: npt.NDArray[np.intp]
    among: Array

    def log_weights(self, bandwidth: float) -> Array:
        """``log w_ij`` of the other members given measurement j, ``(J, N)``."""
        if np.isfinite(bandwidth):
            return conditional_log_weights(self.among, bandwidth)
        others = np.where(np.isinf(self.among), -np.inf, 0.0)
        return others - np.log(self.among.shape[1] - 1)


def neighbourhood(pairs: Pairs, scaling: str) -> Neighbourhood:
    """Measurement distances in the frame of the simulated measurements."""
    frame = fit_frame(pairs.simulated, scaling)
    simulated = frame.into(pairs.simulated)
    to_observation = np.sum((simulated - frame.into(pairs.observation)) ** 2, axis=1)
    count = min(HELD_OUT, simulated.shape[0])
    held_out = np.sort(np.argsort(to_observation, kind="stable")[:count])
    squares = np.sum(simulated**2, axis=1)
    among = squares[held_out, None] + squares - 2 * simulated[held_out] @ simulated.T
    among = np.maximum(among, 0.0)
    among[np.arange(count), held_out] = np.inf
    return Neighbourhood(to_observation, held_out, among)


@dataclass(frozen=True, slots=True)
class Choice:
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


def choose(pairs: Pairs, options: AnalysisOptions) -> Choice:
    """The best-scoring model of the family that the options leave open.

    Args:
        pairs: at least one measurement, every measurement with spread.
        options: what is fixed and what is ``"auto"``.
    """
    near = neighbourhood(pairs, options.scaling)
    candidates = list(_candidates(pairs, options, near))
    best = max(candidates, key=lambda model: model.score or -np.inf)
    return Choice(best, None, 1.0)

LOCAL = True


def _candidates(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood
) -> Iterator[Model]:
    for regression in _regressions(pairs, options):
        prior = fit_frame(regression.residuals, options.scaling, center=options.center)
        for h_y in _measurement_bandwidths(options):
            log_weights = conditional_log_weights(near.to_observation, h_y)
            count = effective_sample_size(log_weights)
            frame = prior
            if LOCAL and np.isfinite(h_y):
                frame = fit_frame(
                    regression.residuals,
                    prior.kind,
                    weights=np.exp(log_weights),
                    reference=prior,
                    trust=count / (count + prior.origin.size + 1),
                )
            points = frame.into(regression.held_out_residuals[near.held_out])
            centres = frame.into(regression.residuals)
            bandwidths = STATE_BANDWIDTHS
            pair_weights = near.log_weights(h_y)
            scores = held_out_scores(points, centres, pair_weights, bandwidths)
            means = scores.mean(axis=2) + frame.log_volume
            for shrink in (0, 1):
                for k, h_x in enumerate(bandwidths):
                    yield Model(
                        regression,
                        frame,
                        log_weights,
                        float(h_x),
                        h_y,
                        bool(shrink),
                        float(means[shrink, k]),
                    )


def _regressions(pairs: Pairs, options: AnalysisOptions) -> list[Regression]:
    triple = (pairs.states, pairs.simulated, pairs.observation)
    wanted = options.preconditioner
    if options.localization is not None and wanted != "none":
        tapered = preconditioning.localized(
            *triple, options.localization, pairs.columns
        )
        return [tapered]
    if wanted == "auto":
        return [
            preconditioning.none(*triple),
            preconditioning.linear(*triple),
            preconditioning.shrunk(*triple),
        ]
    rule = {
        "none": preconditioning.none,
        "linear": preconditioning.linear,
        "shrunk": preconditioning.shrunk,
    }[wanted]
    return [rule(*triple)]


def _measurement_bandwidths(options: AnalysisOptions) -> list[float]:
    if options.measurement_bandwidth == "auto":
        return [float(h) for h in MEASUREMENT_BANDWIDTHS]
    return [float(options.measurement_bandwidth)]
