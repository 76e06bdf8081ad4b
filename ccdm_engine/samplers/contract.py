"""What every sampler is given and what it gives back.

A sampler transports draws at noise scale ``s_0`` to draws at ``s_K = h_x``. It knows
neither kernels nor observations: the denoiser arrives as a callable, the schedule as
an array of numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Denoiser = Callable[[Array, float], Array]


class Coefficients(NamedTuple):
    """Steps of the multistep method, the same for all trajectories, each ``(K, d)``.

    ``x <- carry x + last n + previous n_before`` with ``n = m(x, s) - gaussian x``.
    """

    gaussian: npt.NDArray[Any]
    carry: npt.NDArray[Any]
    last: npt.NDArray[Any]
    previous: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Task:
    """Trajectories that a sampler is given together.

    Attributes:
        denoise: ``m(x, s)``, from points like the start to a new array like it.
        levels: ``s_0 > ... > s_K``, ``(K + 1,)``.
        start: draws of the law at ``s_0``, ``(n, d)``, or ``(b, n, d)`` where they are
            denoised batch by batch; dtype and order in memory are kept throughout.
        latents: standard normal draws, ``(n, d)``; only the exact sampler looks at
            them, and at the mixture.
        centres, weights: that itself, ``(M, d)`` and ``(M,)``.
        rng: makes the source of further randomness, for the samplers that need it.
        rtol, atol: tolerances of adaptive samplers.
        coefficients: of the multistep method, where coordinates are the mixture's
            axes from its mean; ``None`` for any other coordinates.
    """

    denoise: Denoiser
    levels: npt.NDArray[np.float64]
    start: Array
    latents: Array
    centres: Array
    weights: npt.NDArray[np.float64]
    rng: Callable[[], np.random.Generator]
    rtol: float = 1e-5
    atol: float = 1e-5
    coefficients: Coefficients | None = None


class Draws(NamedTuple):
    """Samples at the last level, like the start, and denoiser evaluations of each."""

    samples: Array
    evaluations: int


Sampler = Callable[[Task], Draws]
