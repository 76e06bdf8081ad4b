"""Mixtures that samplers must get right, each given by pairs and an observation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.engine.law import Pairs


def bimodal() -> Pairs:
    """1-D, two modes of unequal weight; the observation is of ``|x|``."""
    rng = np.random.default_rng(101)
    signs = np.where(np.arange(40) < 26, 1.0, -1.0)
    states = (signs * 2 + 0.3 * rng.standard_normal(40))[:, None]
    simulated = np.abs(states) + 0.2 * rng.standard_normal(states.shape)
    return Pairs(states, simulated, np.array([2.1]), h_x=0.25, h_y=0.4)


def three_dimensional() -> Pairs:
    """3-D, correlated and skewed, one coordinate observed."""
    rng = np.random.default_rng(102)
    states = rng.standard_normal((80, 3)) @ np.array(
        [[2.0, 0.5, 0.0], [0.0, 1.0, 0.8], [0.0, 0.0, 0.5]]
    )
    states[:, 1] += 0.4 * states[:, 0] ** 2
    simulated = states[:, :1] + 0.5 * rng.standard_normal((80, 1))
    return Pairs(states, simulated, np.array([1.0]), h_x=0.4, h_y=0.8)


def forty_dimensional() -> Pairs:
    """40-D with a decaying spectrum, ten measurements."""
    rng = np.random.default_rng(103)
    states = rng.standard_normal((120, 40)) * np.linspace(2.0, 0.4, 40)
    simulated = states[:, :10] + 0.5 * rng.standard_normal((120, 10))
    return Pairs(states, simulated, np.full(10, 0.3), h_x=0.6, h_y=4.0)


def dominant_weight() -> Pairs:
    """2-D, one member with 97 % of the weight, away from all others."""
    rng = np.random.default_rng(104)
    states = rng.standard_normal((30, 2))
    states[7] = [2.5, -1.5]
    simulated = np.full((30, 1), np.sqrt(2 * np.log(29 * 0.97 / 0.03)))
    simulated[7] = 0.0
    return Pairs(states, simulated, np.array([0.0]), h_x=0.3, h_y=1.0)


def two_members() -> Pairs:
    """N = 2, unequal weights, well apart."""
    states = np.array([[-1.0, 0.0], [1.5, 1.0]])
    simulated = np.array([[0.0], [1.0]])
    return Pairs(states, simulated, np.array([0.2]), h_x=0.4, h_y=0.8)


def many_variables() -> Pairs:
    """dx = 200 with 12 members: sampled in the span of the members."""
    rng = np.random.default_rng(105)
    states = 0.5 * rng.standard_normal((12, 200))
    simulated = states[:, :1] + 0.5 * rng.standard_normal((12, 1))
    return Pairs(states, simulated, np.array([0.4]), h_x=0.5, h_y=0.7)


def narrow_kernels() -> Pairs:
    """1-D, kernels 200 times narrower than the ensemble: fifteen spikes."""
    rng = np.random.default_rng(106)
    states = np.sort(rng.standard_normal((15, 1)), axis=0) * 2
    simulated = states + rng.standard_normal((15, 1))
    return Pairs(states, simulated, np.array([0.0]), h_x=0.01, h_y=1.5)


MIXTURES: dict[str, Callable[[], Pairs]] = {
    rule.__name__: rule
    for rule in (
        bimodal,
        three_dimensional,
        forty_dimensional,
        dominant_weight,
        two_members,
        many_variables,
        narrow_kernels,
    )
}
