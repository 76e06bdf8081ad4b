"""Noise-free simulated measurements with a declared error are noisy measurements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from ccdm_engine import AnalysisOptions, assimilate
from ccdm_engine.baselines import enkf
from tests.engine.law import energy_p

Array = npt.NDArray[np.float64]

ERROR = np.array([0.5, 3.0])
FALSE_ALARM = 1e-3


def noise_free(members: int, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng([5, seed])
    states = rng.standard_normal((members, 2)) * [1.0, 5.0]
    clean = np.column_stack([states[:, 0] ** 2, states.sum(axis=1)])
    return states, clean, np.array([1.0, 4.0])


def posterior_means(*, declared: bool, repeats: int, factor: float = 1.0) -> Array:
    """Posterior means of one ensemble under many draws of the measurement noise."""
    states, clean, observation = noise_free(80, seed=0)
    kernels = AnalysisOptions(
        preconditioner="linear",
        state_bandwidth=0.4,
        measurement_bandwidth=0.6,
        measurement_error=tuple(factor * ERROR) if declared else None,
        sampler="exact",
    )
    found = np.empty((repeats, 2))
    for seed in range(repeats):
        rng = np.random.default_rng([6, seed])
        noise = 0.0 if declared else ERROR * rng.standard_normal(clean.shape)
        samples = assimilate(
            states, clean + noise, observation, options=kernels, seed=seed
        ).samples
        found[seed] = samples.mean(axis=0)
    return found


def test_the_engines_noise_has_the_law_of_the_callers() -> None:
    rng = np.random.default_rng(1)
    ours = posterior_means(declared=True, repeats=400)
    theirs = posterior_means(declared=False, repeats=400)
    assert energy_p(ours, theirs, rng) > FALSE_ALARM
    # Half the noise is another law, and the test sees it.
    half = posterior_means(declared=True, repeats=400, factor=0.5)
    assert energy_p(half, theirs, rng) < FALSE_ALARM


def test_the_perturbations_are_standard_normal_times_the_deviations() -> None:
    """Seen through the linear update, which is linear in them."""
    rng = np.random.default_rng(2)
    states = rng.standard_normal((3000, 1))
    simulated = np.column_stack([states * 0, states * 0])
    options = AnalysisOptions(
        measurement_error=tuple(ERROR),
        preconditioner="linear",
        measurement_bandwidth=np.inf,
    )
    analysis = assimilate(states, simulated, [0.0, 0.0], options=options, seed=3)
    # Constant measurements with error are observed; the noise tells them apart.
    assert analysis.diagnostics.observation_status == ("assimilated", "assimilated")
    expected = enkf(states, simulated, [0.0, 0.0], options=options, seed=3).samples
    assert np.max(np.abs(analysis.samples - expected)) < 1e-10
    spread = analysis.diagnostics.innovation
    # y* - mean over std of 3000 draws around the observation: within 4 / sqrt(3000).
    assert max(abs(value) for value in spread) < 4 / np.sqrt(3000)


def test_one_deviation_serves_all_measurements() -> None:
    states, clean, observation = noise_free(60, seed=1)
    one, two = (
        assimilate(
            states,
            clean,
            observation,
            options=AnalysisOptions(measurement_error=error),
            seed=4,
        ).samples
        for error in (0.7, (0.7, 0.7))
    )
    assert one.tobytes() == two.tobytes()


def test_an_error_of_zero_leaves_the_measurements_alone() -> None:
    states, clean, observation = noise_free(60, seed=2)
    zero, none = (
        assimilate(
            states,
            clean,
            observation,
            options=AnalysisOptions(measurement_error=error),
            seed=4,
        ).samples
        for error in (0.0, None)
    )
    assert zero.tobytes() == none.tobytes()


def test_a_members_noise_does_not_depend_on_who_failed_or_what_was_observed() -> None:
    """Two measurements, one missing; a member fails: the others keep their draws."""
    states, clean, observation = noise_free(60, seed=3)
    options = AnalysisOptions(
        measurement_error=tuple(ERROR),
        preconditioner="none",
        state_bandwidth=1e-6,
        measurement_bandwidth=1e-9,
        shrink=False,
        failed_members="drop",
    )
    # A tiny bandwidth picks the member whose noisy measurement is nearest to y*.
    partial = np.array([np.nan, observation[1]])
    first = assimilate(states, clean, partial, options=options, seed=5)
    winner = int(np.argmin(np.abs(states - first.samples[0]).sum(axis=1)))
    failed = states.copy()
    failed[(winner + 1) % 60] = np.nan
    second = assimilate(failed, clean, partial, options=options, seed=5)
    assert np.allclose(first.samples[0], second.samples[0], atol=1e-4)


def test_the_noise_is_not_the_latents() -> None:
    """Independent streams: perturbations and samples are uncorrelated."""
    rng = np.random.default_rng(7)
    states = rng.standard_normal((2000, 1))
    options = AnalysisOptions(
        measurement_error=1.0,
        preconditioner="none",
        measurement_bandwidth=1e6,
        state_bandwidth=50.0,
        shrink=False,
        sampler="exact",
    )
    wide = assimilate(states, states, [0.0], options=options, seed=8).samples
    shift = AnalysisOptions(
        measurement_error=1.0, preconditioner="linear", measurement_bandwidth=np.inf
    )
    moved = assimilate(states, states, [0.0], options=shift, seed=8).samples
    correlation = stats.pearsonr(wide[:, 0], moved[:, 0])
    assert correlation.pvalue > FALSE_ALARM
