"""Numbers of ordinary size, whatever the units, without rounding.

Each column is multiplied by the power of two that brings its spread near 1. That is
exact in floating point: 1e-200 beside 1e+200 neither overflows nor vanishes when
squared, and nothing else changes. State variables that all members agree on are set
aside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine.columns import extent
from ccdm_engine.pairs import Exponents, Pairs

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Normalized:
    """Pairs in convenient units, and the way back.

    Attributes:
        pairs: varied state columns only, every column of spread near 1.
        kept: which state columns those are, ``(dx,)`` of bool.
        exponents: ``x = 2^exponent * normalized``, one per kept column.
        constants: values of all state columns in the first member, ``(dx,)``.
    """

    pairs: Pairs
    kept: npt.NDArray[np.bool_]
    exponents: Exponents
    constants: Array

    @property
    def is_constant(self) -> bool:
        """Whether no state variable differs between members."""
        states = self.pairs.states
        return bool(np.all(states == states[:1]))

    def varied(self, columns: Array) -> Array:
        """Those of the state columns that are not constant, ``(n, dx)``."""
        return columns if self.kept.all() else columns[:, self.kept]

    def restore(self, samples: Array) -> Array:
        """Samples in the caller's units with all columns again, ``(n, dx)``.

        May be the same array, overwritten.
        """
        if self.exponents.any():
            samples = np.ldexp(samples, self.exponents, out=samples)
        if self.kept.all():
            return np.ascontiguousarray(samples)
        whole = np.tile(self.constants, (samples.shape[0], 1))
        whole[:, self.kept] = samples
        return whole


def normalize(pairs: Pairs, scaling: str) -> Normalized:
    """Bring every column to a spread near 1 and set constant states aside.

    With ``scaling="none"`` nothing is done: distances are then in the caller's units,
    and the paper's method spreads constants like everything else.

    Args:
        pairs: as screened.
        scaling: of the analysis.
    """
    dimension = pairs.states.shape[1]
    if scaling == "none":
        everything = np.ones(dimension, dtype=np.bool_)
        zeros = np.zeros(dimension, dtype=np.int32)
        return Normalized(pairs, everything, zeros, pairs.states[0])
    low, high = extent(pairs.states)
    kept = np.asarray(low < high)
    states = pairs.states if kept.all() else pairs.states[:, kept]
    exponents = exponents_of(states)
    normal = replace(
        normal_measurements(pairs),
        states=np.ascontiguousarray(np.ldexp(states, -exponents)),
        state_columns=np.flatnonzero(kept),
        state_exponents=exponents,
    )
    return Normalized(normal, kept, exponents, pairs.states[0])


def normal_measurements(pairs: Pairs) -> Pairs:
    """The same with every measurement of a spread near 1; the states as they are."""
    measured = exponents_of(pairs.simulated)
    return replace(
        pairs,
        simulated=np.ldexp(pairs.simulated, -measured),
        observation=np.ldexp(pairs.observation, -measured),
        noise=None if pairs.noise is None else np.ldexp(pairs.noise, -measured),
        error=None if pairs.error is None else np.ldexp(pairs.error, -measured),
        measurement_exponents=measured,
    )


def exponents_of(columns: Array) -> Exponents:
    """Exponent of each column's half range; halves first, so nothing overflows."""
    if columns.shape[0] == 0 or columns.shape[1] == 0:
        return np.zeros(columns.shape[1], dtype=np.int32)
    low, high = extent(columns)
    half_range = high / 2 - low / 2
    return np.asarray(np.frexp(half_range)[1], dtype=np.int32)
