"""Every sampler draws from the exact mixture, and a broken one would be noticed.

All p-values of the file together raise a false alarm, when seeds are changed, with
probability at most FALSE_ALARM (Bonferroni). The seeds are fixed, so that an engine
that passes once passes always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.mixture import Mixture
from ccdm_engine.samplers import SAMPLERS, Draws, Task
from ccdm_engine.samplers.multistep import coefficients
from ccdm_engine.schedules import SCHEDULES
from tests.engine.law import Law, Pairs, p_values
from tests.engine.mixtures import MIXTURES

FALSE_ALARM = 0.02
# rk45 and exact do not use the levels: one schedule says all (see the last test).
METHODS = [("ode", "ve"), ("ode", "vp"), ("sde", "ve"), ("sde", "vp")]
METHODS += [("rk45", "ve"), ("exact", "ve")]
# Mean, covariance and energy everywhere; Kolmogorov-Smirnov on two 1-D mixtures.
TESTS = len(METHODS) * (3 * len(MIXTURES) + 2)
LEVEL = FALSE_ALARM / TESTS
COUNT = 6000


def options(pairs: Pairs, sampler: str, schedule: str) -> AnalysisOptions:
    return AnalysisOptions(
        sampler=sampler,
        schedule=schedule,
        n_samples=COUNT,
        scaling="none",
        preconditioner="none",
        shrink=False,
        state_bandwidth=pairs.h_x,
        measurement_bandwidth=pairs.h_y,
    )


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize(("sampler", "schedule"), METHODS)
def test_samples_have_the_law_of_the_mixture(
    name: str, sampler: str, schedule: str
) -> None:
    pairs = MIXTURES[name]()
    analysis = assimilate(
        pairs.states,
        pairs.simulated,
        pairs.observation,
        options=options(pairs, sampler, schedule),
        seed=2024,
    )
    found = p_values(analysis.samples, pairs.law, np.random.default_rng(7))
    assert min(found.values()) > LEVEL, found


def task(law: Law, steps: int, rng: np.random.Generator) -> Task:
    """A task as the engine sets it up, in float64."""
    mixture = Mixture(law.centres, np.log(law.weights), law.h)
    spread = np.sqrt(np.linalg.eigvalsh(mixture.centre_covariance())[-1])
    largest = 4.0 * float(spread)
    latents = rng.standard_normal((COUNT, law.centres.shape[1]))
    start = law.mean + np.sqrt(spread**2 + largest**2) * latents
    levels = SCHEDULES["ve"](law.h, largest, steps)
    return Task(
        denoise=mixture.denoiser(np.float64),
        levels=levels,
        start=start,
        latents=latents,
        centres=law.centres,
        weights=law.weights,
        rng=lambda: rng,
        # In the coordinates given, with nothing solved beforehand.
        coefficients=coefficients(levels, np.zeros(latents.shape[1]), 0.0),
    )


def wrong_sign(task: Task) -> Draws:
    """Pushed away from the denoised mean instead of towards it."""
    return SAMPLERS["ode"](
        replace(task, denoise=lambda x, s: 2 * x - task.denoise(x, s))
    )


def one_step_too_few(task: Task) -> Draws:
    """Stops at the last level but one, where noise is left."""
    return SAMPLERS["ode"](replace(task, levels=task.levels[:-1]))


def one_step_too_few_with_noise(task: Task) -> Draws:
    return SAMPLERS["sde"](replace(task, levels=task.levels[:-1]))


def first_order(task: Task) -> Draws:
    """Exponential Euler, with the steps that suffice for the second-order method."""
    x = task.start
    for s, following in zip(task.levels[:-1], task.levels[1:], strict=True):
        mean = task.denoise(x, float(s))
        x = mean + (x - mean) * following / s
    return Draws(x, task.levels.size - 1)


def without_noise(task: Task) -> Draws:
    """The reverse diffusion's drift without its noise."""
    x = task.start
    for s, following in zip(task.levels[:-1], task.levels[1:], strict=True):
        mean = task.denoise(x, float(s))
        x = mean + (x - mean) * (following / s) ** 2
    return Draws(x, task.levels.size - 1)


def equal_weights(task: Task) -> Draws:
    """Forgets the observation."""
    even = np.full_like(task.weights, 1 / task.weights.size)
    return SAMPLERS["exact"](replace(task, weights=even))


BROKEN = {
    "wrong_sign": (wrong_sign, 12),
    "one_step_too_few": (one_step_too_few, 10),
    "one_step_too_few_with_noise": (one_step_too_few_with_noise, 12),
    "first_order": (first_order, 12),
    "without_noise": (without_noise, 40),
    "equal_weights": (equal_weights, 12),
}


@pytest.mark.parametrize("mixture", ["bimodal", "three_dimensional"])
@pytest.mark.parametrize("twin", BROKEN)
def test_a_broken_sampler_fails_the_same_tests(twin: str, mixture: str) -> None:
    sampler: Callable[[Task], Draws]
    sampler, steps = BROKEN[twin]
    law = MIXTURES[mixture]().law
    rng = np.random.default_rng(8)
    samples = sampler(task(law, steps, rng)).samples
    found = p_values(np.nan_to_num(samples), law, rng)
    assert min(found.values()) < LEVEL, found


@pytest.mark.parametrize(("sampler", "steps"), [("ode", 10), ("sde", 12), ("rk45", 1)])
@pytest.mark.parametrize("mixture", ["bimodal", "three_dimensional"])
def test_the_whole_samplers_pass_where_the_broken_fail(
    sampler: str, steps: int, mixture: str
) -> None:
    """The set-up of the broken twins does not itself make them fail."""
    law = MIXTURES[mixture]().law
    rng = np.random.default_rng(8)
    samples = SAMPLERS[sampler](task(law, steps, rng)).samples
    found = p_values(samples, law, rng)
    assert min(found.values()) > LEVEL, found


@pytest.mark.parametrize("sampler", ["rk45", "exact"])
def test_samplers_without_levels_do_not_depend_on_the_schedule(sampler: str) -> None:
    pairs = MIXTURES["two_members"]()
    first, second = (
        assimilate(
            pairs.states,
            pairs.simulated,
            pairs.observation,
            options=options(pairs, sampler, schedule),
            seed=3,
        ).samples
        for schedule in ("ve", "vp")
    )
    assert first.tobytes() == second.tobytes()
