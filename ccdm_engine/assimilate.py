"""The one public call: forecast pairs and an observation in, an analysis out.

::

    screen     what takes part: members that ran, measurements that were observed
    perturb    noise-free simulated measurements get the declared error
    normalize  convenient units, constants set aside
    condition  on the observation (:mod:`.conditioning`)
    describe   how it came about

Binder, Dasgupta and Oberai (2026), arXiv 2603.21291, with the extensions that each
module names.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine import blockwise, diagnostics
from ccdm_engine.analysis import Analysis
from ccdm_engine.conditioning import Conditioned, Draw, condition
from ccdm_engine.errors import (
    NonFiniteError,
    NumericalError,
    OptionsError,
    ShapeError,
)
from ccdm_engine.members import copied, sample_count
from ccdm_engine.normalization import normalize
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import (
    Pairs,
    perturb,
    real_array,
    screen,
    without_constants,
)
from ccdm_engine.parts import Crew, Through
from ccdm_engine.sampling import ALONE
from ccdm_engine.streams import PERTURBATION, normal_points, stream

Array = npt.NDArray[np.float64]

LARGEST_SEED = 2**63 - 1


def assimilate(
    forecast_states: npt.ArrayLike,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    *,
    options: AnalysisOptions | Mapping[str, Any] | None = None,
    seed: int | None = None,
    latents: npt.ArrayLike | None = None,
    threads: int = 1,
    crew: Crew | None = None,
) -> Analysis:
    """Analysis samples from p(x | y*), knowing nothing but the ensemble of pairs.

    Args:
        forecast_states: ``x_i``, ``(N, dx)``, any units, one row per member.
        simulated_measurements: ``y_i``, ``(N, dy)``, simulated from the states
            *including measurement noise*; if noise-free, say
            ``options.measurement_error`` and the engine adds it.
        observation: ``y*``, ``(dy,)``; NaN marks what was not observed.
        options: :class:`AnalysisOptions`, or a dictionary of its fields; the defaults
            need no tuning.
        seed: non-negative integer below 2**63; ``None`` draws one and reports it.
        latents: standard normal draws ``(n_samples, dx)`` to use instead of the
            seed's own, for common random numbers.
        threads: among how many the sampling of large ensembles is shared; the result
            is the same for any number.
        crew: who does the parts of a large analysis, in place of those threads; see
            :mod:`.parts`.

    Returns:
        Samples ``(n_samples, dx)`` and diagnostics. Same inputs, options and seed:
        the same bytes.

    Raises:
        ShapeError, DtypeError, NonFiniteError, TooFewMembersError: unusable arrays.
        OptionsError: options, seed or latents that do not fit.
        NumericalError: arithmetic that breaks down, which takes extreme units.

    The bytes are the same for any number of workers and any transport. In large
    problems they depend on how many threads NumPy's BLAS uses; the service uses one.
    """
    if not isinstance(options, AnalysisOptions):
        options = AnalysisOptions.from_dict(dict(options or {}))
    seed = checked_seed(seed)
    threads = _checked_threads(threads)
    states = real_array("forecast_states", forecast_states)
    pairs_of = states, simulated_measurements, observation
    with _crew(threads, crew) as workers:
        if latents is None and blockwise.suits(states.shape, options):
            return _by_blocks(*pairs_of, options, seed, workers)
        return _at_once(
            _usable(*pairs_of, options, seed), latents, options, seed, workers
        )


def _usable(
    states: Array,
    simulated: npt.ArrayLike,
    observation: npt.ArrayLike,
    options: AnalysisOptions,
    seed: int,
) -> Pairs:
    """Screened, and with the error that the simulated measurements lack."""
    screened = screen(
        states, simulated, observation, failed_members=options.failed_members
    )
    if options.localization is not None:
        options.localization.require_sizes(
            screened.states.shape[1], len(screened.status)
        )
    if options.measurement_error is not None:
        rng = stream(seed, PERTURBATION)
        screened = perturb(screened, options.measurement_error, rng)
    return without_constants(screened)


def _at_once(
    pairs: Pairs,
    latents: npt.ArrayLike | None,
    options: AnalysisOptions,
    seed: int,
    crew: Crew,
) -> Analysis:
    """All variables together."""
    n_samples = sample_count(pairs, options)
    draws = _latents(latents, n_samples, pairs.states.shape[1], seed)
    normal = normalize(pairs, options.scaling)
    if pairs.columns.size == 0 or normal.is_constant:
        return _unchanged(pairs, n_samples, options, seed)
    with np.errstate(over="ignore", invalid="ignore"):  # checked at the end
        found = _conditioned(
            normal.pairs, options, lambda: normal.varied(draws()), seed, crew
        )
        samples = normal.restore(found.samples)
    if not np.isfinite(samples).all():
        raise _breakdown("samples that are not finite")
    about = diagnostics.facts_of(pairs, samples, options)
    found = found.in_units(normal.exponents)
    return Analysis(samples, diagnostics.describe(pairs, found, about, options, seed))


def _unchanged(
    pairs: Pairs, n_samples: int, options: AnalysisOptions, seed: int
) -> Analysis:
    """The forecast again, of which nothing was observed or nothing varies."""
    samples = np.array(pairs.states[copied(pairs, n_samples, options)])
    about = diagnostics.facts_of(pairs, samples, options)
    facts = diagnostics.unchanged(pairs, about, options, seed)
    if options.inflation == "adaptive":
        facts = replace(facts, forecast_inflation=options.learned_inflation)
    return Analysis(samples, facts)


def _conditioned(
    pairs: Pairs, options: AnalysisOptions, latents: Draw, seed: int, crew: Crew
) -> Conditioned:
    try:
        return condition(pairs, options, latents, seed, crew)
    except NumericalError:
        raise
    except (np.linalg.LinAlgError, ArithmeticError) as error:
        raise _breakdown(str(error)) from error


def _breakdown(what: str) -> NumericalError:
    return NumericalError(
        "forecast_states",
        got=what,
        wanted="a finite analysis",
        remedy="Check the units: with scaling='none' keep values and bandwidths "
        "within 1e-100 to 1e100.",
    )


def _by_blocks(
    states: Array,
    simulated: npt.ArrayLike,
    observation: npt.ArrayLike,
    options: AnalysisOptions,
    seed: int,
    crew: Crew,
) -> Analysis:
    """Many variables: worked on block by block, so that no copy of them is needed."""
    found: list[Array] = []

    def put(columns: slice, samples: Array) -> None:
        if not found:
            found.append(np.empty((samples.shape[0], states.shape[1])))
        found[0][:, columns] = samples

    facts = blockwise.assimilate_blocks(
        blockwise.InMemory(states),
        simulated,
        observation,
        put,
        options=options,
        seed=seed,
        crew=crew,
    )
    return Analysis(found[0], facts)


@contextmanager
def _crew(threads: int, crew: Crew | None) -> Iterator[Crew]:
    """Who does the parts: whoever was given, or so many threads."""
    if crew is not None or threads < 2:
        yield crew or ALONE
        return
    with ThreadPoolExecutor(threads) as pool:
        yield Through(pool, 2 * threads)


def _checked_threads(threads: int) -> int:
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)):
        raise OptionsError("threads", got=repr(threads), wanted="a positive integer")
    if threads < 1:
        raise OptionsError("threads", got=repr(threads), wanted="1 or more")
    return int(threads)


def checked_seed(seed: int | None) -> int:
    """The seed, or one that is drawn.

    Raises:
        OptionsError: for anything but a non-negative integer below 2**63.
    """
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise OptionsError("seed", got=repr(seed), wanted="a non-negative integer")
    if not 0 <= seed <= LARGEST_SEED:
        raise OptionsError("seed", got=repr(seed), wanted="0 <= seed < 2**63")
    return int(seed)


def _latents(
    latents: npt.ArrayLike | None, n_samples: int, dimension: int, seed: int
) -> Draw:
    """The latents when they are needed: a shift of the members needs none."""
    if latents is None:
        return partial(normal_points, seed, n_samples, dimension)
    given = real_array("latents", latents)
    if given.shape != (n_samples, dimension):
        raise ShapeError(
            "latents",
            got=f"shape {given.shape}",
            wanted=f"shape ({n_samples}, {dimension}), one row per sample",
        )
    if not np.isfinite(given).all():
        raise NonFiniteError("latents", got="NaN or infinity", wanted="finite numbers")
    return lambda: given
