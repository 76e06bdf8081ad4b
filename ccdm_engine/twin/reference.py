"""The belief a perfect filter would hold, as exactly as it can be had.

:func:`toy_posterior` is Bayes' rule on a grid, exact to its spacing. :func:`particles`
is the reference of the paper: a bootstrap particle filter with 1e5 particles. Its
effective sample size comes with it, because in 40 dimensions even 1e5 particles
collapse, and a collapsed reference is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccdm_engine.baselines import sir_plain
from ccdm_engine.errors import OptionsError
from ccdm_engine.twin import toy
from ccdm_engine.twin.cycle import Method, steps, weather
from ccdm_engine.twin.experiment import Experiment

Array = npt.NDArray[np.float64]

# Half-width and spacing of the toy's grid; the modes sit at +-1 with width 0.1.
_HALF_WIDTH, _SPACING = 4.0, 0.002


@dataclass(frozen=True, slots=True)
class Reference:
    """Equally weighted draws from the reference posterior of every cycle.

    Attributes:
        samples: ``(cycles, kept, dx)``.
        effective_sample_size: of the particles before resampling, ``(cycles,)``;
            infinite where the posterior is exact.
    """

    samples: Array
    effective_sample_size: Array


def particles(
    experiment: Experiment,
    seed: int,
    *,
    size: int = 100_000,
    keep: int = 1000,
    cycles: int | None = None,
) -> Reference:
    """Bootstrap particle filter on the observations of ``seed``.

    Args:
        experiment: a setting with process noise; without any, resampled particles
            never part again and the filter is no reference.
        seed: as of the runs to compare with.
        size: number of particles.
        keep: how many to keep per cycle, every ``size / keep``-th.
        cycles: fewer than the setting has.

    Raises:
        OptionsError: for a setting without process noise.
    """
    if experiment.process_noise == 0.0:
        raise OptionsError(
            "experiment",
            got=f"{experiment.name}, which has no process noise",
            wanted="a setting in which copies of a particle part",
        )
    kept, effective = [], []
    method = Method("reference", sir_plain, knows_error=True)
    # Resampled particles stand in the order of their ancestors, so that a regular
    # stride takes from each family its share.
    stride = max(1, size // keep)
    for step in steps(experiment, method, size, seed, cycles=cycles):
        kept.append(step.samples[::stride][:keep])
        effective.append(step.diagnostics.effective_sample_size)
    return Reference(np.array(kept), np.array(effective))


def toy_posterior(
    experiment: Experiment,
    seed: int,
    *,
    keep: int = 1000,
    cycles: int | None = None,
) -> Reference:
    """Exact posterior of TOY_01 by Bayes' rule on a grid.

    Forecast by convolution with the process noise, analysis by multiplication with
    the likelihood; the draws are the quantiles ``(k - 1/2) / keep``.

    Args:
        experiment: TOY_01 or a variant of it.
        seed: as of the runs to compare with.
        keep: number of quantiles.
        cycles: fewer than the setting has.
    """
    _, observations = weather(experiment, seed, cycles=cycles)
    grid = np.arange(-_HALF_WIDTH, _HALF_WIDTH + _SPACING / 2, _SPACING)
    # An odd number of points: an even kernel would shift the density by half a cell.
    reach = np.arange(-_HALF_WIDTH / 4, _HALF_WIDTH / 4 + _SPACING / 2, _SPACING)
    kernel = _bell(reach / experiment.process_noise)
    simulated = experiment.observe(grid[:, None])[:, 0]
    density = _bell((grid - 1.0) / toy.STD) + _bell((grid + 1.0) / toy.STD)
    levels = (np.arange(keep) + 0.5) / keep
    samples = np.empty((observations.shape[0], keep, 1))
    for k, observed in enumerate(observations[:, 0]):
        likelihood = _bell((observed - simulated) / experiment.error)
        density = np.convolve(density, kernel, mode="same") * likelihood
        density /= density.sum()
        samples[k, :, 0] = np.interp(levels, np.cumsum(density) - density / 2, grid)
    return Reference(samples, np.full(observations.shape[0], np.inf))


def _bell(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z**2))
