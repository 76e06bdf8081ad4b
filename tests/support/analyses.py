"""A small analysis in place of the engine, where the engine is not the subject."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SmallResult:
    """Samples and facts, as the sessions want them."""

    samples: Array
    diagnostics: dict[str, Any]


def nudged(
    states: Array, simulated: Array, observation: Array, options: Any, seed: int
) -> Array:
    """Depends on every argument, and on nothing else: ``(N, dx)``."""
    noise = np.random.default_rng(seed).standard_normal(states.shape)
    gap = float(np.nansum(observation) - simulated.sum())
    return states + noise + gap + float(options.get("shift", 0.0))


class SmallAnalysis:
    """Counts its calls, takes its time, and fails when told to.

    Attributes:
        calls: how often it began.
        delay: seconds that each call takes.
        error: raised in place of a result.
        began: set when a call begins.
        gate: calls go on while it is set.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.calls = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.delay = delay
        self.error: Exception | None = None

    async def __call__(
        self,
        states: Array,
        simulated: Array,
        observation: Array,
        options: dict[str, Any],
        seed: int | None,
        /,
    ) -> SmallResult:
        """An analysis of ``(N, dx)``, ``(N, dy)`` and ``(dy,)``."""
        self.calls += 1
        self.began.set()
        await self.gate.wait()
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        assert seed is not None
        samples = nudged(states, simulated, observation, options, seed)
        facts = {"seed": seed, "options": options, "n_members": len(states)}
        return SmallResult(samples, facts)


def forecast(
    seed: int, *, members: int = 6, dx: int = 3, dy: int = 2
) -> tuple[Array, Array, Array]:
    """Arrays of one cycle: ``(N, dx)``, ``(N, dy)`` and ``(dy,)``."""
    random = np.random.default_rng(seed)
    return (
        random.standard_normal((members, dx)),
        random.standard_normal((members, dy)),
        random.standard_normal(dy),
    )
