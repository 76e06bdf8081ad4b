"""What an analysis will cost, roughly, before it is run.

The estimates decide where it runs and whether it may; they need to be right within a
factor of a few, on the safe side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_CHOSEN_BY_LIKELIHOOD = ("preconditioner", "measurement_bandwidth", "shrink")


def estimated_seconds(
    states: Array, simulated: Array, options: Mapping[str, Any]
) -> float:
    """A rough estimate of an analysis' time on one core.

    Sampling costs members times samples, selection members times members, regression
    states times measurements, and scaling what decompositions cost.
    """
    members, dx, dy = _sizes(states, simulated)
    samples = options.get("n_samples") or members
    adaptive = options.get("sampler") == "rk45"
    evaluations = 200 if adaptive else options.get("steps") or 12
    width = 1 + (dx + dy) / 20
    seconds = 4e-9 * members * samples * evaluations * width
    seconds += 5e-7 * dx * dy + 1e-9 * min(members, dx) ** 2 * dx
    chosen = [options.get(name, "auto") for name in _CHOSEN_BY_LIKELIHOOD]
    if "auto" in chosen:
        seconds += 2e-7 * members * min(members, 1000) * width
    return float(seconds)


def estimated_bytes(states: Array, simulated: Array, options: Mapping[str, Any]) -> int:
    """A rough estimate of an analysis' memory: a few copies of its largest arrays."""
    members, dx, dy = _sizes(states, simulated)
    samples = options.get("n_samples") or members
    return 8 * 4 * (dx * dy + (members + samples) * (dx + dy))


def _sizes(states: Array, simulated: Array) -> tuple[int, int, int]:
    """N, dx, dy; arrays of other shapes are the engine's to refuse."""
    if states.ndim != 2 or simulated.ndim != 2:
        return 1, 1, 1
    return max(1, states.shape[0]), states.shape[1], simulated.shape[1]
