"""Ensembles of pairs used by several tests of the engine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Triple(NamedTuple):
    """The three arrays of the public call."""

    states: Array
    simulated: Array
    observation: Array


def gaussian(members: int = 60, dx: int = 3, dy: int = 2, seed: int = 0) -> Triple:
    """Correlated Gaussian states, linear measurements with noise."""
    rng = np.random.default_rng([1, seed])
    states = rng.standard_normal((members, dx)) @ rng.standard_normal((dx, dx))
    states += rng.standard_normal(dx)
    operator = np.eye(dx)[:, :dy] + 0.1 * rng.standard_normal((dx, dy))
    simulated = states @ operator + 0.5 * rng.standard_normal((members, dy))
    observation = simulated.mean(axis=0) + 0.5 * simulated.std(axis=0)
    return Triple(states, simulated, observation)


def two_lobes(members: int = 100, seed: int = 0) -> Triple:
    """The kind of L63_03: (x, y) on either lobe, only z observed, and well."""
    rng = np.random.default_rng([2, seed])
    lobe = np.where(rng.random(members) < 0.5, -1.0, 1.0)
    height = 25 + 6 * rng.standard_normal(members)
    reach = 12 - 0.5 * (height - 25)
    states = np.column_stack([lobe * reach, lobe * reach, height])
    states += 0.5 * rng.standard_normal((members, 3))
    simulated = states[:, 2:] + rng.standard_normal((members, 1))
    return Triple(states, simulated, np.array([27.0]))


def squared(members: int = 200, seed: int = 0, noise: float = 0.1) -> Triple:
    """x is a curved function of y: what a linear regression cannot follow."""
    rng = np.random.default_rng([3, seed])
    driver = rng.uniform(-2, 2, members)
    states = np.column_stack([driver**2, np.sin(2 * driver)])
    states += noise * rng.standard_normal((members, 2))
    simulated = driver[:, None] + noise * rng.standard_normal((members, 1))
    return Triple(states, simulated, np.array([1.2]))


def folded(members: int = 100, seed: int = 0) -> Triple:
    """``|x|`` observed of a wide x: two answers, and no correlation that tells any."""
    rng = np.random.default_rng([9, seed])
    states = rng.standard_normal((members, 2)) * [2.0, 1.0]
    states[:, 1] += 0.3 * states[:, 0]
    simulated = np.abs(states[:, :1]) + 0.3 * rng.standard_normal((members, 1))
    return Triple(states, simulated, np.array([2.5]))
