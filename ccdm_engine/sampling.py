"""From a density model to samples: start, noise levels, batches, arithmetic.

The mixture is set up in the model's kernel coordinates; the chosen sampler transports
standard normal latents to it; the frame and the regression take the draws back.

Layers of cost: once per analysis the mixture, its moments and the starting draws;
per step and batch one denoiser call. Batches are cut by a rule that looks only at the
problem, never at the machine, so that results do not depend on who computes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine.mixture import Mixture
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.samplers import SAMPLERS, Draws, Task
from ccdm_engine.scaling import symmetric_roots
from ccdm_engine.schedules import levels
from ccdm_engine.streams import SAMPLER, stream
from ccdm_engine.subspace import fit_subspace

Array = npt.NDArray[np.float64]

# Members dropped may weigh this much together: the error in total variation.
PRUNED_WEIGHT = 1e-6
# The flow starts where the noise hides the ensemble: this many deviations.
START_DEVIATIONS = 4.0
# Steps per unit of log s; see the convergence tests.
STEP_DENSITY = {"ode": 4.0, "sde": 16.0}
# Logits grow like (radius / h)^2; beyond this ratio float32 no longer resolves them.
FLOAT32_RANGE = 100.0
# Centres closer together than this share of h are one Gaussian, drawn as such.
SINGLE_KERNEL = 1e-7
# One batch's logits stay in cache: at most this many, and so many rows.
BATCH_LOGITS = 2**17
BATCH_ROWS = (16, 512)


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
    mixture: Mixture, options: AnalysisOptions, latents: Array, seed: int
) -> Sampled:
    """Draws from the mixture by the chosen sampler.

    Args:
        mixture: in kernel coordinates.
        options: sampler, schedule, steps, ``h_max``, tolerances.
        latents: standard normal, ``(n, d)``.
        seed: for the samplers that need more randomness than the latents.

    Returns:
        ``n`` draws, one per row of the latents.
    """
    if options.moment_matched:
        mixture = mixture.pruned(PRUNED_WEIGHT)
    multistep = options.sampler in STEP_DENSITY
    if multistep and mixture.radius <= SINGLE_KERNEL * mixture.bandwidth:
        points = mixture.mean + mixture.bandwidth * latents
        return Sampled(points, 0, mixture.bandwidth, 0.0)
    wanted = None
    if options.max_bandwidth != "auto":
        wanted = float(options.max_bandwidth)
    if not multistep:
        return _transport(mixture, options, wanted, latents, seed)
    # Around the mixture's own mean and in units near h, single precision suffices.
    unit = float(2.0 ** np.frexp(mixture.bandwidth)[1])
    origin = mixture.mean if options.moment_matched else np.zeros_like(mixture.mean)
    local = Mixture(
        (mixture.centres - origin) / unit, mixture.log_weights, mixture.bandwidth / unit
    )
    wanted = None if wanted is None else wanted / unit
    drawn = _local(local, options, wanted, latents, seed)
    return Sampled(
        origin + unit * drawn.points,
        drawn.evaluations,
        unit * drawn.max_bandwidth,
        unit * drawn.widest,
    )


def _local(
    mixture: Mixture,
    options: AnalysisOptions,
    wanted: float | None,
    latents: Array,
    seed: int,
) -> Sampled:
    members, dimension = mixture.centres.shape
    if dimension <= members or not options.moment_matched:
        # A start around the frame's origin is not one around the members' span.
        return _transport(mixture, options, wanted, latents, seed)
    subspace = fit_subspace(mixture)
    inside = subspace.project(latents)
    inner = _transport(subspace.mixture, options, wanted, inside, seed)
    points = subspace.embed(inner.points, latents, mixture.bandwidth)
    return replace(inner, points=points)


def _transport(
    mixture: Mixture,
    options: AnalysisOptions,
    wanted: float | None,
    latents: Array,
    seed: int,
) -> Sampled:
    covariance = mixture.centre_covariance()
    widest = float(np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 0.0)))
    largest = _max_bandwidth(mixture, widest, wanted)
    start = _start(mixture, covariance, largest, latents, options)
    density = STEP_DENSITY.get(options.sampler, 1.0)
    dtype = _working_dtype(mixture, options.sampler)
    task = Task(
        denoise=mixture.denoiser(dtype),
        levels=levels(
            options.schedule, mixture.bandwidth, largest, options.steps, density
        ),
        start=start.astype(dtype, copy=False),
        latents=latents,
        centres=mixture.centres,
        weights=mixture.weights,
        rng=stream(seed, SAMPLER),
        rtol=options.rtol,
        atol=options.atol,
    )
    draws = _in_batches(task, options.sampler, seed)
    samples = draws.samples.astype(np.float64, copy=False)
    return Sampled(samples, draws.evaluations, largest, widest)


def _in_batches(task: Task, sampler: str, seed: int) -> Draws:
    if sampler not in STEP_DENSITY:
        # rk45 controls its error over all trajectories together.
        return SAMPLERS[sampler](task)
    total = task.start.shape[0]
    samples = np.empty_like(task.start)
    evaluations = 0
    rows = batch_rows(task.weights.size)
    for index, begin in enumerate(range(0, total, rows)):
        part = slice(begin, min(begin + rows, total))
        piece = replace(
            task,
            start=task.start[part],
            latents=task.latents[part],
            rng=stream(seed, SAMPLER, index),
        )
        samples[part], evaluations = SAMPLERS[sampler](piece)
    return Draws(samples, evaluations)


def batch_rows(members: int) -> int:
    """Rows per batch for so many members: a function of the problem alone."""
    fewest, most = BATCH_ROWS
    return int(min(max(BATCH_LOGITS // members, fewest), most))


def _max_bandwidth(mixture: Mixture, widest: float, wanted: float | None) -> float:
    if wanted is not None:
        return max(wanted, 1.01 * mixture.bandwidth)
    # Light members far out are within reach of the start, or they are never found.
    reach = max(START_DEVIATIONS * widest, mixture.radius)
    return max(reach, 1.5 * mixture.bandwidth)


def _start(
    mixture: Mixture,
    covariance: Array,
    largest: float,
    latents: Array,
    options: AnalysisOptions,
) -> Array:
    if not options.moment_matched:
        return largest * latents
    noised = covariance + largest**2 * np.eye(covariance.shape[0])
    root, _ = symmetric_roots(noised)
    return np.asarray(mixture.mean + latents @ root)


def _working_dtype(mixture: Mixture, sampler: str) -> npt.DTypeLike:
    if sampler not in STEP_DENSITY:
        return np.float64
    reach = mixture.radius + float(np.linalg.norm(mixture.mean))
    wide = reach > FLOAT32_RANGE * mixture.bandwidth
    return np.float64 if wide else np.float32
