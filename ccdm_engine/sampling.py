"""From a density model to samples: start, noise levels, batches, arithmetic.

The mixture is set up in the model's kernel coordinates; the chosen sampler transports
standard normal latents to it; the frame and the regression take the draws back.

Layers of cost: once per analysis the mixture, its moments and the starting draws;
per step and batch (:mod:`.batches`) one denoiser call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ccdm_engine.batches import Flow, batch_rows, told, transported
from ccdm_engine.mixture import Mixture
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.parts import Crew, InTurn
from ccdm_engine.samplers import SAMPLERS, Task
from ccdm_engine.samplers.multistep import coefficients
from ccdm_engine.schedules import levels
from ccdm_engine.streams import SAMPLER, stream
from ccdm_engine.subspace import fit_axes, fit_subspace

Array = npt.NDArray[np.float64]

# Members dropped may weigh this much together: the error in total variation.
PRUNED_WEIGHT = 1e-6
# The flow starts where the noise hides the ensemble: this many deviations.
START_DEVIATIONS = 4.0
# Steps per unit of log s; see the convergence tests.
STEP_DENSITY = {"ode": 6.0, "sde": 16.0}
# Logits grow like (radius / h)^2; beyond this ratio float32 no longer resolves them.
FLOAT32_RANGE = 100.0
# Centres closer together than this share of h are one Gaussian, drawn as such.
SINGLE_KERNEL = 1e-7

ALONE = InTurn()


@dataclass(frozen=True, slots=True)
class Sampled:
    """Samples in kernel coordinates and how they were made.

    Attributes:
        points: ``(n, d)``.
        evaluations: denoiser evaluations per sample.
        max_bandwidth: ``h_max`` as used.
        widest: largest standard deviation of the mixture's centres.
    """

    points: Array
    evaluations: int
    max_bandwidth: float
    widest: float


def sample(
    mixture: Mixture,
    options: AnalysisOptions,
    latents: Array,
    seed: int,
    crew: Crew = ALONE,
) -> Sampled:
    """Draws from the mixture by the chosen sampler.

    Args:
        mixture: in kernel coordinates.
        options: sampler, schedule, steps, ``h_max``, tolerances.
        latents: standard normal, ``(n, d)``.
        seed: for the samplers that need more randomness than the latents.
        crew: who does the batches; the result is the same for any.

    Returns:
        ``n`` draws, one per row of the latents.
    """
    if options.moment_matched:
        mixture = mixture.pruned(PRUNED_WEIGHT)
    if options.sampler == "exact":
        return _exact(mixture, options, latents, seed)
    is_start_ours = options.moment_matched or options.sampler in STEP_DENSITY
    if is_start_ours and mixture.radius <= SINGLE_KERNEL * mixture.bandwidth:
        points = mixture.mean + mixture.bandwidth * latents
        return Sampled(points, 0, mixture.bandwidth, 0.0)
    wanted = _wanted(options)
    members, dimension = mixture.centres.shape
    if dimension <= members or not options.moment_matched:
        # A start around the frame's origin is not one around the members' span.
        return _scaled(mixture, options, wanted, latents, seed, crew)
    subspace = fit_subspace(mixture)
    inside = subspace.project(latents)
    inner = _scaled(subspace.mixture, options, wanted, inside, seed, crew)
    return replace(inner, points=subspace.embed(inner.points, inside, latents))


def _wanted(options: AnalysisOptions) -> float | None:
    return None if options.max_bandwidth == "auto" else float(options.max_bandwidth)


def _exact(
    mixture: Mixture, options: AnalysisOptions, latents: Array, seed: int
) -> Sampled:
    """Direct draws, which need neither noise levels nor a start."""
    h = mixture.bandwidth
    task = Task(
        denoise=mixture.denoise,
        levels=np.array([h]),
        start=latents,
        latents=latents,
        centres=mixture.centres,
        weights=mixture.weights,
        rng=partial(stream, seed, SAMPLER),
    )
    samples, evaluations = SAMPLERS["exact"](task)
    return Sampled(samples, evaluations, _wanted(options) or h, 0.0)


def _scaled(
    mixture: Mixture,
    options: AnalysisOptions,
    wanted: float | None,
    latents: Array,
    seed: int,
    crew: Crew,
) -> Sampled:
    if options.sampler not in STEP_DENSITY:
        return _transport(mixture, options, wanted, latents, seed, crew)
    # Around the mixture's own mean and in units near h, single precision suffices.
    unit = 2.0 ** math.frexp(mixture.bandwidth)[1]
    origin = mixture.mean if options.moment_matched else np.zeros_like(mixture.mean)
    local = mixture.placed((mixture.centres - origin) / unit, unit)
    wanted = None if wanted is None else wanted / unit
    drawn = _transport(local, options, wanted, latents, seed, crew)
    points = np.multiply(drawn.points, unit, out=drawn.points)
    points += origin
    return Sampled(
        points, drawn.evaluations, unit * drawn.max_bandwidth, unit * drawn.widest
    )


def _transport(
    mixture: Mixture,
    options: AnalysisOptions,
    wanted: float | None,
    latents: Array,
    seed: int,
    crew: Crew,
) -> Sampled:
    axes = fit_axes(mixture)
    widest = float(axes.deviations[-1])
    # Light members far out are within reach of the start, or they are never found.
    reach = max(START_DEVIATIONS * widest, mixture.radius)
    largest = max(reach, 1.5 * mixture.bandwidth)
    if wanted is not None:
        largest = max(wanted, 1.01 * mixture.bandwidth)
    start = axes.project(latents) * np.hypot(axes.deviations, largest)
    if not options.moment_matched:
        start = axes.project(largest * latents - mixture.mean)
    along_axes, spread = options.sampler == "ode", widest
    if widest > 0:
        # Members far out widen the range of scales on which modes are told apart.
        usual = START_DEVIATIONS * math.sqrt(axes.deviations @ axes.deviations)
        spread *= max(1.0, mixture.radius / usual)
    scales = levels(
        options.schedule,
        mixture.bandwidth,
        largest,
        options.steps,
        STEP_DENSITY.get(options.sampler, 1.0),
        # Gaussians are solved exactly along their axes, whatever their shape.
        spread if along_axes else np.inf,
    )
    if not along_axes:
        start = axes.embed(start)
    dtype = _working_dtype(mixture, options.sampler)
    flow = Flow(
        axes.mixture if along_axes else mixture,
        options.sampler,
        dtype,
        scales,
        seed,
        options.rtol,
        options.atol,
        coefficients(scales, axes.deviations**2, spread) if along_axes else None,
        batch_rows(latents.shape[0], mixture.log_weights.size),
    )
    start = start.astype(dtype, copy=False)
    if options.sampler in STEP_DENSITY:
        draws = transported(flow, start, latents, crew)
    else:  # rk45 controls its error over all trajectories together
        task = told(flow.task(flow.denoiser(), start, latents), crew)
        draws = SAMPLERS[options.sampler](task)
    samples = axes.embed(draws.samples) if along_axes else draws.samples
    samples = samples.astype(np.float64, copy=False)
    return Sampled(samples, draws.evaluations, largest, widest)


def _working_dtype(mixture: Mixture, sampler: str) -> npt.DTypeLike:
    if sampler not in STEP_DENSITY:
        return np.float64
    reach = mixture.radius + math.sqrt(mixture.mean @ mixture.mean)
    wide = reach > FLOAT32_RANGE * mixture.bandwidth
    return np.float64 if wide else np.float32
