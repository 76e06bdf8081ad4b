"""What a twin experiment is: a model, a way of observing it, and known answers.

One cycle of the truth x* and of member i (standard normal draws xi, eta)::

    x* <- M(x*) + q* xi          x_i <- M(x_i) + q xi_i
    y* =  H(x*) + r eta          y_i =  H(x_i) + r eta_i    (or H(x_i) alone)

with ``q*`` :attr:`Experiment.truth_noise`, ``q`` :attr:`Experiment.process_noise` and
``r`` :attr:`Experiment.error`, all standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ccdm_engine.localization import Localization

Array = npt.NDArray[np.float64]
Score = Literal["rmse", "crps"]


@dataclass(frozen=True, slots=True)
class Expected:
    """One published or re-run figure that an experiment should answer.

    Attributes:
        method: as the reference calls it, with its tuning.
        members: ensemble size.
        score: which time mean.
        value: as printed by the reference.
        source: where the figure stands.
    """

    method: str
    members: int
    score: Score
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """One published setting.

    Attributes:
        name: as it is called in tables and on the command line.
        source: publication or file that defines the setting.
        summary: one line for a listing.
        model: states at one observation time to the next, ``(..., dx)``.
        observe: noise-free measurements, ``(..., dx)`` to ``(..., dy)``.
        initial: ``(rng, members)`` to draws ``(members, dx)``, for the truth too.
        state_dim, measurement_dim: dx and dy.
        error: standard deviation of the measurement error, every component.
        process_noise: standard deviation added to each member once per cycle.
        truth_noise: the same for the truth; zero in the paper's settings.
        interval: time between observations, in units of the model.
        cycles: number of observations; ``burn_in`` first ones not scored.
        lost_above: CRPS beyond which the truth counts as lost: half of the CRPS of
            the climate taken as a forecast, or all of it where the belief is
            bimodal and a perfect filter may come to half.
        bimodal: the measurements leave a symmetry open, so that the mean is not a
            sensible estimate: read CRPS or W2, not RMSE.
        period: length of the ring the states sit on, where they have places.
        measured_at: index of the state component behind each measurement.
        expected: figures of the references.
    """

    name: str
    source: str
    summary: str
    model: Callable[[Array], Array]
    observe: Callable[[Array], Array]
    initial: Callable[[np.random.Generator, int], Array]
    state_dim: int
    measurement_dim: int
    error: float
    process_noise: float
    truth_noise: float
    interval: float
    cycles: int
    burn_in: int
    lost_above: float
    bimodal: bool = False
    period: float | None = None
    measured_at: tuple[int, ...] | None = None
    expected: tuple[Expected, ...] = ()

    def localization(self, radius: float) -> Localization | None:
        """Coordinates of the setting with ``radius``; ``None`` where it has none."""
        if self.period is None or self.measured_at is None:
            return None
        return Localization(
            np.arange(self.state_dim, dtype=np.float64),
            np.asarray(self.measured_at, dtype=np.float64),
            radius,
            self.period,
        )


def gaussian_start(
    rng: np.random.Generator,
    members: int,
    *,
    mean: tuple[float, ...],
    std: float,
) -> Array:
    """Draws from ``N(mean, std^2 I)``, ``(members, len(mean))``."""
    noise = rng.standard_normal((members, len(mean)))
    return np.asarray(np.asarray(mean) + std * noise)
