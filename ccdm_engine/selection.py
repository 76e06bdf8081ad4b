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
from ccdm_engine.mixture import conditional_log_weights, effective_sample_size
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
