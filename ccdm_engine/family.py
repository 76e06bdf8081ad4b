"""The family of density models that the options leave open.

A candidate joins a regression of states on measurements, a kernel on measurements and
its bandwidth ``h_y``. Two kinds of measurement kernel:

``pairs``
    around each simulated measurement ``y_i``, in units of their spread: the paper's.
``noise``
    around what ``y_i`` would be without its noise, in units of that noise
    (:mod:`.noise`): for ``h_y = 1`` the likelihood itself, beyond that a tempered one,
    the rest of which goes through the regression. With fewer measurements than
    state variables, or curved ones, the likelihood alone is tried too: in the
    directions that the measurements leave open a regression pulls modes together.

The ends are the paper's kernel density (no regression, narrow kernels) and the
stochastic EnKF (linear regression, ``h_y`` infinite).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ccdm_engine import local_noise, local_transform, noise, preconditioning
from ccdm_engine.blocks import blocks
from ccdm_engine.localization import Localization
from ccdm_engine.neighbourhood import AT_A_TIME, Neighbourhood
from ccdm_engine.noise import Noise
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression, linear, none, weighted
from ccdm_engine.scaling import (
    Frame,
    deviations,
    fit_frame,
    has_footing,
    symmetric_roots,
)

Array = npt.NDArray[np.float64]

# Candidate bandwidths: in units of the measurements' spread, and of their noise.
PAIRS_BANDWIDTHS = (0.1, 0.2, 0.4, 0.7, 1.2)
NOISE_BANDWIDTHS = (1.2, 1.6, 2.2, 3.2, 5.0)
# A regression with as many columns as this share of the members predicts its own
# training data and nothing else: left out of the automatic family.
SATURATED = 0.5
# A weighted regression needs this many effective members per coefficient.
MEMBERS_PER_COEFFICIENT = 2.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A regression, a measurement kernel and its bandwidth.

    Attributes:
        regression: evaluated on the members and at the observation.
        prior: frame of the residuals of all members alike.
        near: measurement kernels around the members.
        bandwidth: ``h_y``, in the units of these kernels.
    """

    regression: Regression
    prior: Frame
    near: Neighbourhood
    bandwidth: float

    @property
    def tier(self) -> int:
        """0 for a shift, 1 for kernels in units of the noise, 2 for ``pairs``."""
        if self.is_shift:
            return 0
        return 1 if self.near.kind == "noise" else 2

    @property
    def is_shift(self) -> bool:
        """Whether each member is moved along the regression, and no more."""
        return np.isinf(self.bandwidth) and self.regression.name != "none"

    def settled(self) -> Candidate:
        """The same without what only choosing needs."""
        return replace(self, regression=self.regression.settled())


def candidates(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood
) -> Iterator[Candidate]:
    """Every combination that the options allow.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
        near: the ``pairs`` kernels.
    """
    closed = pairs.columns.size >= pairs.states.shape[1]
    parts = noise.known(pairs)
    told = _told(pairs, options, parts)
    for regression in _regressions(pairs, options, parts):
        if regression.name == "none" and told is not None and not closed:
            continue  # kernels in units of the noise take its place
        prior = _prior(regression, pairs, options)
        for h_y in _bandwidths(regression, near, options, closed=closed):
            yield Candidate(regression, prior, near, h_y)
        del regression, prior  # in many variables each array counts
    if told is not None:
        yield from _tempered(pairs, told, options, near, closed=closed)


def _told(pairs: Pairs, options: AnalysisOptions, parts: Noise | None) -> Noise | None:
    """The noise in whose units kernels may be, where there is footing for them."""
    free = _is_free(options) and options.localization is None
    if not (free and has_footing(*pairs.states.shape)):
        return None
    return noise.regressed(pairs) if parts is None else parts


def _is_free(options: AnalysisOptions) -> bool:
    """Whether regression and measurement kernel are both left to the engine."""
    return options.preconditioner == options.measurement_bandwidth == "auto"


def _prior(regression: Regression, pairs: Pairs, options: AnalysisOptions) -> Frame:
    return fit_frame(
        regression.residuals,
        options.scaling,
        center=options.center,
        floor=deviations(pairs.states),
    )


def _regressions(
    pairs: Pairs, options: AnalysisOptions, parts: Noise | None
) -> Iterator[Regression]:
    """The regressions to choose from, their residuals as wide as asked for."""
    for fitted in _fitted(pairs, options, parts):
        yield fitted.unbiased() if options.unbiases else fitted
        del fitted


def compares_regressions(pairs: Pairs, options: AnalysisOptions) -> bool:
    """Whether there is a choice between two regressions at least, whatever the rest."""
    return (
        options.localization is None
        and options.preconditioner == "auto"
        and _may_be_linear(pairs)
    )


def _may_be_linear(pairs: Pairs) -> bool:
    measurements, dimension = pairs.columns.size, pairs.states.shape[1]
    return measurements <= SATURATED * (pairs.used.size - 1) and (
        measurements >= dimension or not has_footing(*pairs.states.shape)
    )


def _fitted(
    pairs: Pairs, options: AnalysisOptions, parts: Noise | None
) -> Iterator[Regression]:
    triple = (pairs.states, pairs.simulated, pairs.observation)
    wanted = options.preconditioner
    if options.localization is not None:
        yield _local(pairs, options, options.localization, parts)
    elif wanted not in ("auto", "shrunk"):
        yield preconditioning.RULES[wanted](*triple)
    else:
        yield preconditioning.shrunk(*triple, parts)
    if wanted != "auto" or options.localization is not None:
        return
    if has_footing(*pairs.states.shape):
        yield none(*triple)
    if _may_be_linear(pairs):
        if parts is None:
            yield linear(*triple)
        else:
            yield preconditioning.filtered(*triple, parts)


def _local(
    pairs: Pairs, options: AnalysisOptions, places: Localization, parts: Noise | None
) -> Regression:
    """The update with coordinates: a transform, or a regression to put kernels on."""
    if options.preconditioner == "linear":  # the localized EnKF, nothing else
        parts = Noise.none(pairs.simulated)
    elif parts is None:
        parts = local_noise.near(pairs, places)
    if _is_free(options) and not parts.curved:
        return local_transform.transformed(pairs, places, parts)
    triple = (pairs.states, pairs.simulated, pairs.observation)
    columns = (pairs.state_columns, pairs.columns)
    return preconditioning.localized(*triple, places, *columns, parts)


def _bandwidths(
    regression: Regression,
    near: Neighbourhood,
    options: AnalysisOptions,
    *,
    closed: bool,
) -> tuple[float, ...]:
    if options.measurement_bandwidth != "auto":
        return (float(options.measurement_bandwidth),)
    finite = tuple(near.spread * width for width in PAIRS_BANDWIDTHS)
    near.prepare(finite)
    if regression.name == "none":
        # Without a regression equal weights would ignore the observation.
        return finite
    footing = has_footing(*regression.residuals.shape) and options.localization is None
    if options.preconditioner == "auto" and not (footing and closed):
        # Kernels have no footing, or the measurements leave directions open in which
        # a regression would pull modes together: keep the members, and move them.
        return (np.inf,)
    return (*finite, np.inf)


def _tempered(
    pairs: Pairs,
    parts: Noise,
    options: AnalysisOptions,
    near: Neighbourhood,
    *,
    closed: bool,
) -> Iterator[Candidate]:
    """Candidates with kernels in units of the measurement noise.

    Where the measurements leave directions open, or are curved, the kernels carry the
    whole likelihood; elsewhere, and beside that, a tempered one and a regression.
    """
    deviations = np.sqrt(np.diag(parts.covariance))
    correlation = parts.covariance / np.outer(deviations, deviations)
    whiten = symmetric_roots(correlation)[1] / deviations[:, None]
    kernels = near.around(
        parts.fitted @ whiten, pairs.simulated @ whiten, pairs.observation @ whiten
    )
    tempers: tuple[float, ...] = (1.0, *NOISE_BANDWIDTHS)
    kernels.prepare(tempers)
    least = MEMBERS_PER_COEFFICIENT * (1 + pairs.columns.size + pairs.states.shape[1])
    tempers = tuple(h_y for h_y in tempers if kernels.weights(h_y).effective >= least)
    if parts.curved or not closed:
        plain = none(pairs.states, pairs.simulated, pairs.observation)
        prior = _prior(plain, pairs, options)
        for h_y in tempers:
            yield Candidate(plain, prior, kernels, h_y)
    if closed:
        tempers = tuple(h_y for h_y in tempers if h_y > 1.0)
        for some in blocks(len(tempers), max(1, AT_A_TIME // pairs.states.size)):
            yield from _with_rests(pairs, parts, options, kernels, tempers[some])


def _with_rests(
    pairs: Pairs,
    parts: Noise,
    options: AnalysisOptions,
    kernels: Neighbourhood,
    tempers: Sequence[float],
) -> Iterator[Candidate]:
    """Tempered kernels, and regressions that carry the rest of the likelihood."""
    given = [kernels.weights(h_y).given_observation for h_y in tempers]
    shares = np.exp(given)
    rests = _rests(pairs, parts, np.array(tempers), shares)
    rests = rests if options.unbiased is False else rests.unbiased(shares)
    priors = _prior(rests, pairs, options)
    for place, h_y in enumerate(tempers):
        yield Candidate(rests.at(place), priors.at(place), kernels, h_y)


def _rests(pairs: Pairs, parts: Noise, tempers: Array, weights: Array) -> Regression:
    """The regressions that carry what tempering leaves of the likelihood.

    Their measurements have the noise of the power ``1 - 1 / h_y^2`` of the likelihood.
    """
    factor = (tempers / np.sqrt(tempers**2 - 1.0))[:, None, None]
    return weighted(
        pairs.states,
        pairs.simulated,
        parts.fitted + factor * (pairs.simulated - parts.fitted),
        pairs.observation,
        weights,
    )
