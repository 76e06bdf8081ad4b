"""Localized analyses of more state variables than anybody holds at once.

::

    survey     block by block: members that ran, variables that differ
    gather     block by block: states near the measurements, to tell their noise by
    fit        the measurements' side of the update, once
    update     block by block: members moved, each variable by what is near

Every block is read, sent and forgotten: memory is a few blocks, the states that lie
nearest to each measurement, and ``dy^2`` numbers for the measurements. The update is
that of :mod:`.local_transform`, or with an infinite ``measurement_bandwidth`` that of
:mod:`.preconditioning`; the cut into blocks is by the problem alone, so that the bytes
are those of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine import diagnostics, inflation, local_noise, noise
from ccdm_engine.analysis import ChosenModel, Diagnostics
from ccdm_engine.astray import together
from ccdm_engine.bandwidth import silverman
from ccdm_engine.errors import NonFiniteError, NumericalError, OptionsError
from ccdm_engine.family import is_free
from ccdm_engine.local_transform import Measured, measured
from ccdm_engine.localization import Localization
from ccdm_engine.members import copied, places, sample_count
from ccdm_engine.moved_scores import Scores, summed
from ccdm_engine.neighbourhood import neighbourhood
from ccdm_engine.noise import Noise
from ccdm_engine.normalization import normal_measurements
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs, perturb, screen, without_constants
from ccdm_engine.parts import Crew
from ccdm_engine.preconditioning import Gain, fit_gain
from ccdm_engine.scaling import has_footing
from ccdm_engine.streams import EXTRA, PERTURBATION, stream
from ccdm_engine.survey import (
    Block,
    Held,
    Overview,
    States,
    Wanted,
    gather,
    overview,
    survey,
)
from ccdm_engine.updating import Squares, Update, Updated, copy, update

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Put = Callable[[slice, Array], None]

# Variables of one part: a few hundredths of a second of work, a few MiB to send.
PART = 8192
# With fewer, nothing is gained by blocks.
LEAST_VARIABLES = 2 * PART


@dataclass(frozen=True, slots=True)
class InMemory:
    """States that are here, given out by the block.

    Attributes:
        array: ``(N, dx)``.
    """

    array: Array

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, dx)``."""
        return self.array.shape[0], self.array.shape[1]

    def read(self, columns: slice) -> Array:
        """The block, ``(N, b)``."""
        return self.array[:, columns]


def suits(shape: tuple[int, ...], options: AnalysisOptions) -> bool:
    """Whether an analysis of so many members and variables goes block by block.

    A function of the problem alone, wherever the states are.
    """
    return (
        len(shape) == 2
        and shape[1] >= LEAST_VARIABLES
        and why_not(shape[0], shape[1], options) is None
    )


def why_not(members: int, dimension: int, options: AnalysisOptions) -> str | None:
    """What keeps an analysis from going block by block; ``None`` for nothing."""
    h_y = options.measurement_bandwidth
    if options.localization is None:
        return "localization is missing: without it every variable hears of all others"
    if options.scaling == "none":
        return "scaling is 'none': bandwidths are then in the units of all variables"
    if has_footing(members, dimension):
        return "there are five members per variable or more: kernels may be chosen"
    if h_y == np.inf or (h_y == "auto" and options.preconditioner == "auto"):
        return None
    return "measurement_bandwidth is finite or to be compared: members are then sampled"


def localized(members: int, dimension: int, options: AnalysisOptions) -> Localization:
    """The localization of an analysis that can go block by block.

    Raises:
        OptionsError: for options under which variables depend on each other.
    """
    reason = why_not(members, dimension, options)
    if reason is not None or options.localization is None:
        raise OptionsError(
            "localization" if options.localization is None else "options",
            got=reason or "none",
            wanted="a localized update that moves the members, for states by the block",
        )
    return options.localization


def assimilate_blocks(
    states: States,
    simulated_measurements: npt.ArrayLike,
    observation: npt.ArrayLike,
    put: Put,
    *,
    options: AnalysisOptions,
    seed: int,
    crew: Crew,
) -> Diagnostics:
    """As :func:`.assimilate`, for states that are read and written by the block.

    Args:
        states: forecast states, read several times.
        simulated_measurements: ``(N, dy)``.
        observation: ``(dy,)``.
        put: takes each block of the result, ``(n_samples, b)``, in order.
        options: with a localization.
        seed: of the analysis.
        crew: who does the blocks.

    Raises:
        OptionsError: for options under which variables depend on each other.
        ShapeError, NonFiniteError, TooFewMembersError, NumericalError: as there.
    """
    members, dimension = states.shape
    local = localized(members, dimension, options)
    work = _Work(states, options, local, seed, crew)
    pairs, seen = work.screened(simulated_measurements, observation)
    pairs = without_constants(
        perturb(pairs, options.measurement_error, stream(seed, PERTURBATION))
    )
    if pairs.columns.size == 0 or seen.varied == 0:
        about = work.copied(pairs, put)
        facts = diagnostics.unchanged(pairs, about, options, seed)
        if options.inflation == "adaptive":
            facts = replace(facts, forecast_inflation=options.learned_inflation)
        return facts
    return work.analysed(pairs, seen, put)


@dataclass(frozen=True, slots=True)
class _Work:
    """One analysis: what it is given, and who does its blocks."""

    source: States
    options: AnalysisOptions
    localization: Localization
    seed: int
    crew: Crew

    def blocks(self) -> Iterator[Block]:
        """All blocks of the states, one after the other."""
        dimension = self.source.shape[1]
        for begin in range(0, dimension, PART):
            columns = slice(begin, min(begin + PART, dimension))
            here = self.localization.state_coordinates[columns]
            if isinstance(self.source, InMemory):
                part = np.ascontiguousarray(self.source.read(columns))
                yield Block(columns, Held(part), here)
            else:
                yield Block(columns, self.source, here)

    def each(self, stage: str, work: Callable[[Any, Block], Any], common: Any) -> Any:
        """The results of all blocks, in order."""
        total = -(-self.source.shape[1] // PART)
        return self.crew(stage, work, common, self.blocks(), total)

    def screened(
        self, simulated: npt.ArrayLike, observation: npt.ArrayLike
    ) -> tuple[Pairs, Overview]:
        """What takes part; a number per member, alike for copies, is its state."""
        members, dimension = self.source.shape
        numbers = np.arange(members, dtype=np.float64)[:, None]
        policy = self.options.failed_members
        pairs = screen(numbers, simulated, observation, failed_members=policy)
        self.localization.require_sizes(dimension, len(pairs.status))
        seen = self._overview(pairs.used)
        if not seen.usable.all():
            if policy == "error" and seen.first_bad is not None:
                raise _not_finite(*seen.first_bad)
            numbers[~seen.usable] = np.nan
            pairs = screen(numbers, simulated, observation, failed_members=policy)
            seen = self._overview(pairs.used)
        copies = seen.copies[pairs.used, None].astype(np.float64)
        return replace(pairs, states=copies), seen

    def _overview(self, used: Indices) -> Overview:
        return overview(self.each("screening", survey, used), self.source.shape[0])

    def copied(self, pairs: Pairs, put: Put) -> diagnostics.StateFacts:
        """The forecast as the result."""
        n_samples = sample_count(pairs, self.options)
        rows = pairs.used[copied(pairs, n_samples, self.options)]
        return self._gathered(self.each("updating", copy, (pairs.used, rows)), put)[0]

    def analysed(self, pairs: Pairs, seen: Overview, put: Put) -> Diagnostics:
        """The localized update."""
        options, normal = self.options, normal_measurements(pairs)
        near = neighbourhood(normal, options.scaling)
        try:
            forecast, factors = self._widened(normal)
            fitted = self._fitted(forecast)
        except np.linalg.LinAlgError as error:
            raise _breakdown(str(error)) from error
        common = self._update(normal, fitted, seen.varied, factors.applied)
        if is_free(options):
            common = replace(common, held_out=near.held_out)
        about, scores = self._gathered(self.each("updating", update, common), put)
        if options.measurement_error is not None:
            about = replace(about, noise_free=False)
        chosen = ChosenModel(
            preconditioner="localized",
            scaling="standardize",
            state_bandwidth=common.bandwidth,
            measurement_bandwidth=np.inf,
            measurement_kernel="pairs",
            max_bandwidth=common.bandwidth,
            shrink=common.shrink,
            unbiased=common.unbiased,
            score=scores and scores.chosen,
            gaussian_score=scores and scores.gaussian,
        )
        effective, far = float(pairs.used.size), near.observation_distance
        facts = diagnostics.moved(
            pairs, chosen, effective, far, about, options, self.seed
        )
        return diagnostics.concluded(facts, factors, options)

    def _widened(self, pairs: Pairs) -> tuple[Pairs, inflation.Adapted]:
        wanted = inflation.wanted(pairs, self.options)
        if not wanted:
            return pairs, inflation.Adapted(1.0, 1.0)
        parts = self._apart(pairs)
        factors = inflation.factors(pairs, parts, self.options)
        # The states stand in for themselves: they are widened block by block.
        wider = inflation.widened(pairs, parts, factors.applied)
        if self.options.rescues:
            wider = inflation.drawn_in(wider)
        return replace(wider, states=pairs.states), factors

    def _fitted(self, pairs: Pairs) -> Gain | Measured:
        """The measurements' side: of a local transform, or of a tapered regression."""
        if self.options.preconditioner == "linear":  # the localized EnKF
            parts = Noise.none(pairs.simulated)
        else:
            parts = self._apart(pairs)
        if is_free(self.options) and not parts.curved:
            return measured(pairs, parts)
        among = self.localization.taper_yy(pairs.columns)
        return fit_gain(pairs.simulated, pairs.observation, parts, lambda r, n: among)

    def _apart(self, pairs: Pairs) -> Noise:
        told = noise.known(pairs)
        # The state of a member is its number here: nothing can be seen to bend with it.
        return self._near(pairs) if told is None else replace(told, curved=False)

    def _near(self, pairs: Pairs) -> Noise:
        """The noise as told by the states near each measurement."""
        around = local_noise.candidates(pairs.columns, self.localization)
        wanted = Wanted(pairs.used, np.unique(around.index))
        parts = list(self.each("searching", gather, wanted))
        values = np.concatenate([part.values for part in parts], axis=1)
        powers = np.concatenate([part.powers for part in parts])

        def read(index: Indices) -> tuple[Array, Indices]:
            place = np.searchsorted(wanted.columns, index)
            return values[:, place], powers[place]

        return local_noise.near(pairs, self.localization, read)

    def _update(
        self, pairs: Pairs, fitted: Gain | Measured, varied: int, factor: float
    ) -> Update:
        options = self.options
        rows = places(pairs, sample_count(pairs, options), options)
        extra = int(np.count_nonzero(rows < 0))
        width = options.state_bandwidth
        if isinstance(width, str):
            width = silverman(float(pairs.used.size), varied)
        return Update(
            used=pairs.used,
            places=rows,
            around=stream(self.seed, EXTRA).choice(pairs.used.size, size=extra),
            localization=self.localization.of(pairs.columns),
            fitted=fitted,
            factor=factor,
            unbiased=options.unbiases,
            bandwidth=float(width),
            shrink=bool(options.shrink),  # "auto" is yes, around a regression
            options=replace(options, localization=None),
            held_out=None,
            first_measured=pairs.simulated[0],
            seed=self.seed,
        )

    def _gathered(
        self, results: Iterator[Updated], put: Put
    ) -> tuple[diagnostics.StateFacts, Scores | None]:
        prior = posterior = Squares(0.0, 0.0)
        rows, measured, members, far = 0, False, 0, None
        kept: list[float | None] = []
        scores: list[Scores | None] = []
        for found in results:
            if not np.isfinite(found.samples).all():
                raise _breakdown("samples that are not finite")
            rows, members = found.samples.shape[0], found.members
            prior, posterior = prior.and_(found.prior), posterior.and_(found.posterior)
            measured = measured or found.measured
            far = together((far, found.astray))
            kept.append(found.kept)
            scores.append(found.scores)
            put(found.columns, found.samples)
        dimension = self.source.shape[1]
        about = diagnostics.StateFacts(
            dimension,
            rows,
            prior.root_mean((members - 1) * dimension),
            posterior.root_mean((rows - 1) * dimension),
            measured,
            far,
            None if None in kept else max(filter(None, kept), default=0.0),
        )
        whole = summed(scores)
        return about, whole if whole and np.isfinite(whole).all() else None


def _not_finite(member: int, column: int, value: float) -> NonFiniteError:
    return NonFiniteError(
        "forecast_states",
        got=str(value),
        wanted="a finite number",
        remedy="Set failed_members to 'drop' or 'refill' to go on without it.",
        index=(member, column),
    )


def _breakdown(what: str) -> NumericalError:
    return NumericalError(
        "forecast_states",
        got=what,
        wanted="a finite analysis",
        remedy="Check the units: keep values within 1e-100 to 1e100.",
    )
