"""The default method is of second order, and its default steps are enough.

Common latents and a float64 denoiser, so that differences between step numbers are
discretisation alone. The flow is smooth but not the same everywhere: trajectories that
start near the ridge between two modes converge late, so errors are root mean squares
over trajectories that are not the worst percent.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from ccdm_engine import AnalysisOptions
from ccdm_engine.mixture import Mixture
from ccdm_engine.samplers import SAMPLERS, Draws, Task
from ccdm_engine.samplers.multistep import coefficients
from ccdm_engine.sampling import sample
from ccdm_engine.schedules import SCHEDULES
from ccdm_engine.subspace import fit_axes
from tests.engine.law import Law
from tests.engine.mixtures import MIXTURES

Array = npt.NDArray[np.float64]

STEPS = np.array([8, 16, 32, 64, 128])
SMOOTH = ["bimodal", "three_dimensional", "two_members"]


def first_order(task: Task) -> Draws:
    """Exponential Euler, to see that a slope of 1 would be told from one of 2."""
    x = task.start
    for s, following in zip(task.levels[:-1], task.levels[1:], strict=True):
        mean = task.denoise(x, float(s))
        x = mean + (x - mean) * following / s
    return Draws(x, task.levels.size - 1)


def endpoints(
    method: Callable[[Task], Draws], law: Law, schedule: str, steps: int
) -> Array:
    mixture = Mixture(law.centres - law.mean, np.log(law.weights), law.h)
    latents = np.random.default_rng(31).standard_normal((400, law.centres.shape[1]))
    largest = 4 * float(np.sqrt(np.trace(mixture.centre_covariance())))
    # Along the mixture's axes and with their rules, as the engine draws.
    axes = fit_axes(mixture)
    spread = float(axes.deviations[-1])
    scales = SCHEDULES[schedule](law.h, largest, steps, spread)
    task = Task(
        denoise=axes.mixture.denoiser(np.float64),
        levels=scales,
        start=axes.project(latents) * np.hypot(axes.deviations, largest),
        latents=latents,
        centres=axes.mixture.centres,
        weights=law.weights,
        rng=lambda: np.random.default_rng(32),
        coefficients=coefficients(scales, axes.deviations**2, spread),
    )
    return axes.embed(method(task).samples)


def slope(method: Callable[[Task], Draws], law: Law, schedule: str) -> float:
    """Richardson: differences between K and 2 K steps, slope over the finer three."""
    ends = [endpoints(method, law, schedule, int(k)) for k in [*STEPS, 2 * STEPS[-1]]]
    gaps = [np.linalg.norm(coarse - fine, axis=1) for coarse, fine in pairwise(ends)]
    usual = np.argsort(gaps[-1])[: int(0.99 * gaps[-1].size)]
    errors = np.array([np.sqrt(np.mean(gap[usual] ** 2)) for gap in gaps])
    return float(-np.polyfit(np.log(STEPS[-3:]), np.log(errors[-3:]), 1)[0])


@pytest.mark.parametrize("schedule", ["ve", "vp"])
@pytest.mark.parametrize("name", SMOOTH)
def test_ode_converges_with_order_two(name: str, schedule: str) -> None:
    order = slope(SAMPLERS["ode"], MIXTURES[name]().law, schedule)
    assert 1.75 < order < 2.35, order


@pytest.mark.parametrize("name", SMOOTH)
def test_a_first_order_method_is_told_apart(name: str) -> None:
    order = slope(first_order, MIXTURES[name]().law, "ve")
    assert 0.8 < order < 1.3, order


def test_ode_and_rk45_end_in_the_same_points() -> None:
    """Two integrators of different families agree: it is the flow they follow."""
    law = MIXTURES["three_dimensional"]().law
    fine = endpoints(SAMPLERS["ode"], law, "ve", 2048)
    adaptive = endpoints(SAMPLERS["rk45"], law, "ve", 1)
    gaps = np.linalg.norm(fine - adaptive, axis=1)
    assert np.quantile(gaps, 0.99) < 1e-3


def drawn(law: Law, sampler: str, count: int, steps: int | None = None) -> Array:
    """As the engine draws by default: float32, pruned, moment-matched, batched."""
    mixture = Mixture(law.centres, np.log(law.weights), law.h)
    latents = np.random.default_rng(33).standard_normal((count, law.centres.shape[1]))
    options = AnalysisOptions(sampler=sampler, steps=steps, scaling="none")
    return sample(mixture, options, latents, seed=34).points


@pytest.mark.parametrize("sampler", ["ode", "sde"])
@pytest.mark.parametrize("name", ["bimodal", "narrow_kernels"])
def test_default_steps_leave_less_than_sampling_error(name: str, sampler: str) -> None:
    """Of 6000 draws the expected Kolmogorov distance is 0.869 / sqrt(6000).

    Ten times as many draws show the bias of the method below that.
    """
    law = MIXTURES[name]().law
    samples = drawn(law, sampler, 60_000)[:, 0]
    distance = stats.kstest(samples, law.cdf).statistic
    assert distance < 0.869 / np.sqrt(6000), distance


@pytest.mark.parametrize("h", [0.1, 0.01, 0.001])
def test_light_members_and_narrow_kernels_keep_the_law(h: float) -> None:
    """Weights of 0.5 to 0.01: the distance that chance alone has with 60 000 draws

    is 0.0036; twice that may be the method's.
    """
    centres = np.array([-1.3, -0.4, 0.1, 0.9, 1.7])[:, None]
    weights = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    mixture = Mixture(centres, np.log(weights), h)
    even = stats.norm.ppf((np.arange(60_000) + 0.5) / 60_000)[:, None]
    options = AnalysisOptions(scaling="none")
    samples = np.sort(sample(mixture, options, even, seed=1).points[:, 0])
    cdf = stats.norm.cdf((samples[:, None] - centres[:, 0]) / h) @ weights
    assert np.max(np.abs(cdf - (np.arange(60_000) + 0.5) / 60_000)) < 0.0072


@pytest.mark.parametrize("schedule", ["ve", "vp"])
@pytest.mark.parametrize("h", [0.02, 1e-3, 1e-5])
def test_narrow_kernels_are_no_wider_than_they_should_be(
    h: float, schedule: str
) -> None:
    """Around centres far apart the mean square distance is ``d h^2``, to 2 % by chance
    once in 700 times; five more may be the method's."""
    centres = np.random.default_rng(4).standard_normal((50, 8))
    mixture = Mixture(centres, np.full(50, -np.log(50.0)), h)
    latents = np.random.default_rng(5).standard_normal((3200, 8))
    options = AnalysisOptions(scaling="none", schedule=schedule)  # type: ignore[arg-type]
    points = sample(mixture, options, latents, seed=1).points
    square = ((points[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
    assert abs(square.mean() / (8 * h**2) - 1.0) < 0.05


@pytest.mark.parametrize("name", ["three_dimensional", "forty_dimensional"])
def test_default_steps_move_moments_less_than_sampling_error(name: str) -> None:
    """Against the same latents with many steps: no sampling error in between."""
    law = MIXTURES[name]().law
    few, many = drawn(law, "ode", 2000), drawn(law, "ode", 2000, steps=128)
    deviation = np.sqrt(np.diag(law.covariance))
    shift = np.abs(few.mean(axis=0) - many.mean(axis=0)) / deviation
    stretch = np.abs(few.std(axis=0) - many.std(axis=0)) / deviation
    assert shift.max() < 1 / np.sqrt(6000)
    assert stretch.max() < 1 / np.sqrt(6000)


def test_three_steps_would_not_be_enough() -> None:
    law = MIXTURES["bimodal"]().law
    samples = drawn(law, "ode", 60_000, steps=3)[:, 0]
    assert stats.kstest(samples, law.cdf).statistic > 0.869 / np.sqrt(6000)
