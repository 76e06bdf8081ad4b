"""Which members are near the observation, and near each other, as seen in ``y``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine.mixture import conditional_log_weights
from ccdm_engine.pairs import Pairs
from ccdm_engine.scaling import fit_frame

Array = npt.NDArray[np.float64]

# How many members nearest to the observation are held out in turn.
HELD_OUT = 50
# Distances beyond this many spreads are all alike, and their squares overflow.
FARTHEST = 1e100


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Distances between measurements, and the members on which models are judged.

    Attributes:
        to_observation: ``|y* - y_i|^2`` in kernel coordinates, ``(N,)``.
        held_out: indices of the members nearest to the observation, ``(J,)``.
        among: ``|y_j - y_i|^2`` for held-out j, ``(J, N)``; infinite between a member
            and itself or a copy of itself.
        spread: of a measurement in kernel coordinates; 1 unless they are the caller's.
    """

    to_observation: Array
    held_out: npt.NDArray[np.intp]
    among: Array
    spread: float

    def log_weights(self, bandwidth: float) -> Array:
        """``log w_ij`` of the other members given measurement j, ``(J, N)``."""
        if np.isfinite(bandwidth):
            return conditional_log_weights(self.among, bandwidth)
        others = np.isfinite(self.among)
        count = np.maximum(others.sum(axis=1, keepdims=True), 1)
        return np.where(others, -np.log(count), -np.inf)

    @property
    def observation_distance(self) -> float:
        """Nearest distance of ``y*`` over the median of the same among members.

        Where most measurements coincide (rounded, counted) that median is zero, and
        the spread of the simulated measurements is the yardstick instead.
        """
        typical = float(np.sqrt(np.median(np.min(self.among, axis=1))))
        nearest = float(np.sqrt(np.min(self.to_observation)))
        return nearest / (typical if typical > 0 else self.spread)


def neighbourhood(pairs: Pairs, scaling: str) -> Neighbourhood:
    """Measurement distances in the frame of the simulated measurements.

    Args:
        pairs: at least one measurement, two different members.
        scaling: of the measurements' kernel coordinates.
    """
    frame = fit_frame(pairs.simulated, scaling)
    simulated = frame.into(pairs.simulated)
    gaps = simulated - frame.into(pairs.observation)
    to_observation = np.sum(np.clip(gaps, -FARTHEST, FARTHEST) ** 2, axis=1)
    count = min(HELD_OUT, simulated.shape[0])
    held_out = np.sort(np.argsort(to_observation, kind="stable")[:count])
    squares = np.sum(simulated**2, axis=1)
    among = squares[held_out, None] + squares - 2 * simulated[held_out] @ simulated.T
    among = np.maximum(among, 0.0)
    copies = _copies(pairs.states)
    among[copies[held_out, None] == copies] = np.inf
    spread = 1.0
    if frame.kind == "none":
        spread = float(np.sqrt(np.mean(np.var(simulated, axis=0, ddof=1))))
    return Neighbourhood(to_observation, held_out, among, spread)


def _copies(states: Array) -> npt.NDArray[np.intp]:
    """A number per member that identical members share, ``(N,)``.

    A held-out member whose copy stays in would score best with no kernel at all.
    """
    rows = np.ascontiguousarray(states + 0.0).view(
        f"V{states.itemsize * states.shape[1]}"
    )
    return np.unique(rows.ravel(), return_inverse=True)[1].ravel()
