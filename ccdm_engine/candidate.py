"""One density model before its state bandwidth is chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ccdm_engine.neighbourhood import Neighbourhood
from ccdm_engine.regression import Regression
from ccdm_engine.scaling import Frame

# Tiers, the plainest first.
SHIFT, PAIRS, JOINT = range(3)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A regression, a measurement kernel and its bandwidth.

    Attributes:
        regression: evaluated on the members and at the observation.
        prior: frame of the residuals of all members alike.
        near: measurement kernels around the members.
        bandwidth: ``h_y``, in the units of these kernels.
        width: ``h_x``, where frame and kernels go with it, or 1 for a shift that is
            scored as one Gaussian; ``None`` leaves it open.
        is_drawn_together: whether the centres were shrunk already.
        widening: how much wider than scored the model is to be, its centres and all
            of it, for what learning from few members has cost.
    """

    regression: Regression
    prior: Frame
    near: Neighbourhood
    bandwidth: float
    width: float | None = None
    is_drawn_together: bool = False
    widening: tuple[float, float] = (1.0, 1.0)

    @property
    def tier(self) -> int:
        """A shift, kernels around pairs, or joint ones."""
        if self.is_shift:
            return SHIFT
        return PAIRS if self.near.kind == "pairs" else JOINT

    @property
    def is_shift(self) -> bool:
        """Whether each member is moved along the regression, and no more."""
        return np.isinf(self.bandwidth) and self.regression.name != "none"

    def settled(self) -> Candidate:
        """The same without what only choosing needs."""
        return replace(self, regression=self.regression.settled())
