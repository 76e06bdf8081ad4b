"""Which members are near the observation, and near each other, as seen in ``y``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.blocks import blocks
from ccdm_engine.mixture import conditional_log_weights, effective_sample_size
from ccdm_engine.pairs import Pairs
from ccdm_engine.scaling import fit_frame

Array = npt.NDArray[np.float64]

# How many members nearest to the observation are held out in turn.
HELD_OUT = 50
# Numbers worked on at a time.
AT_A_TIME = 2**18
# Larger arrays the system takes back and hands out anew, page by page.
REUSED = 2**13
# So many variables tell most members apart.
FIRST_VARIABLES = 4
# Distances beyond this many spreads are all alike, and their squares overflow.
FARTHEST = 1e100


class ConditionalWeights(NamedTuple):
    """Weights of the members for one measurement bandwidth.

    Attributes:
        given_observation: ``log w_i`` given ``y*``, ``(N,)``.
        given_member: ``log w_ij`` of the others given ``y_j``, held-out j, ``(J, N)``,
            in single precision.
        effective: effective sample size of ``w_i``.
    """

    given_observation: Array
    given_member: npt.NDArray[np.float32]
    effective: float


@dataclass(frozen=True)
class Neighbourhood:
    """Distances between measurements, and the members on which models are judged.

    Attributes:
        to_observation: ``|y* - y_i|^2`` in kernel coordinates, ``(N,)``.
        held_out: indices of the members nearest to the observation, ``(J,)``.
        among: ``|y_j - y_i|^2`` for held-out j, ``(J, N)``; infinite between a member
            and itself or a copy of itself.
        kind: ``"pairs"`` or ``"joint"``, see :mod:`.family`.
        spread: of a measurement in kernel coordinates; 1 unless they are the caller's.
    """

    to_observation: Array
    held_out: npt.NDArray[np.intp]
    among: Array
    kind: str
    spread: float

    @cached_property
    def _known(self) -> dict[float, ConditionalWeights]:
        return {}

    def weights(self, bandwidth: float) -> ConditionalWeights:
        """Weights of the members for one bandwidth, computed once."""
        if bandwidth not in self._known:
            log_weights = conditional_log_weights(self.to_observation, bandwidth)
            self._known[bandwidth] = ConditionalWeights(
                log_weights,
                self._held_out_log_weights(bandwidth),
                effective_sample_size(log_weights),
            )
        return self._known[bandwidth]

    def prepare(self, bandwidths: Sequence[float]) -> None:
        """Weights for several finite bandwidths in one go, where they are small."""
        new = [width for width in bandwidths if width not in self._known]
        if not new or len(new) * self.among.size > AT_A_TIME:
            return
        widths = np.array(new)[:, None]
        given = conditional_log_weights(self.to_observation, widths)
        for width, here in zip(new, given, strict=True):
            self._known[width] = ConditionalWeights(
                here, self._held_out_log_weights(width), effective_sample_size(here)
            )

    def _held_out_log_weights(self, bandwidth: float) -> npt.NDArray[np.float32]:
        """``(J, N)``, a few held-out members at a time."""
        if np.isinf(bandwidth):
            others = np.isfinite(self.among)
            count = np.maximum(others.sum(axis=1, keepdims=True), 1)
            return np.where(others, -np.log(count), -np.inf).astype(np.float32)
        members, held_out = self.to_observation.size, self.held_out.size
        found = np.empty((held_out, members), dtype=np.float32)
        for part in blocks(held_out, max(1, REUSED // members)):
            found[part] = conditional_log_weights(self.among[part], bandwidth)
        return found

    def around(
        self, centres: Array, measured: Array, observation: Array
    ) -> Neighbourhood:
        """Kernels around other centres, in other coordinates, same held-out members.

        Args:
            centres: where the members' kernels sit, ``(N, dy)``.
            measured: what the members measured, ``(N, dy)``.
            observation: ``y*``, ``(dy,)``.
        """
        to_observation = _to_target(centres, observation)
        among = _among(centres, measured[self.held_out])
        among[self._left_out] = np.inf
        return Neighbourhood(to_observation, self.held_out, among, "joint", 1.0)

    @cached_property
    def _left_out(self) -> tuple[npt.NDArray[np.intp], ...]:
        """Where ``among`` is infinite."""
        return np.nonzero(np.isinf(self.among))

    @property
    def observation_distance(self) -> float:
        """Nearest distance of ``y*`` over the median of the same among members.

        Where most measurements coincide (rounded, counted) that median is zero, and
        the spread of the simulated measurements is the yardstick instead.
        """
        typical = float(np.sqrt(np.median(np.min(self.among, axis=1))))
        nearest = float(np.sqrt(np.min(self.to_observation)))
        yardstick = typical if typical > 0 else self.spread
        return nearest / yardstick if yardstick > 0 else 0.0


def neighbourhood(pairs: Pairs, scaling: str) -> Neighbourhood:
    """Measurement distances in the frame of the simulated measurements.

    Args:
        pairs: at least one measurement, two different members.
        scaling: of the measurements' kernel coordinates.
    """
    frame = fit_frame(pairs.simulated, scaling)
    simulated = frame.into(pairs.simulated)
    target = frame.into(pairs.observation)
    to_observation = _to_target(simulated, target)
    count = min(HELD_OUT, simulated.shape[0])
    held_out = np.sort(np.argsort(to_observation, kind="stable")[:count])
    among = _among(simulated, simulated[held_out])
    copies = _copies(pairs.states)
    among[copies[held_out, None] == copies] = np.inf
    spread = 1.0
    if frame.kind == "none":
        spread = float(np.sqrt(np.mean(np.var(simulated, axis=0, ddof=1))))
    return Neighbourhood(to_observation, held_out, among, "pairs", spread)


def _to_target(centres: Array, target: Array) -> Array:
    """Squared distances of the target, ``(N,)``."""
    gaps = np.minimum(np.maximum(centres - target, -FARTHEST), FARTHEST)
    return np.asarray(np.einsum("ij,ij->i", gaps, gaps))


def _among(centres: Array, points: Array) -> Array:
    """Squared distances of points, ``(J, N)``."""
    found = points @ (-2.0 * centres.T)
    found += np.einsum("ij,ij->i", points, points)[:, None]
    found += np.einsum("ij,ij->i", centres, centres)
    return np.asarray(np.maximum(found, 0.0, out=found))


def _copies(states: Array) -> npt.NDArray[np.intp]:
    """A number per member that identical members share, ``(N,)``.

    A held-out member whose copy stays in would score best with no kernel at all.
    """
    first = np.sort(states[:, 0])
    if (first[1:] > first[:-1]).all():
        return np.arange(len(states))
    few = states[:, :FIRST_VARIABLES]
    if few.shape[1] < states.shape[1] and np.ptp(_row_numbers(few)) + 1 == len(states):
        # All differ in their first variables: no need to look at the others.
        return np.arange(len(states))
    return _row_numbers(states)


def _row_numbers(table: Array) -> npt.NDArray[np.intp]:
    """A number per row, counted from 0, that equal rows share, ``(N,)``."""
    rows = np.ascontiguousarray(table + 0.0).view(f"V{table.itemsize * table.shape[1]}")
    return np.unique(rows.ravel(), return_inverse=True)[1].ravel()
