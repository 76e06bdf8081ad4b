"""The family of density models that the options leave open.

A candidate joins a regression of states on measurements, a kernel on measurements and
its bandwidth ``h_y``. Two kinds of measurement kernel:

``pairs``
    around each simulated measurement ``y_i``, in units of their spread: the paper's.
``joint``
    around state and noise-free measurement together, in the shape of the ensemble
    (:mod:`.joint`), where there are members enough for such kernels to be narrower
    than the ensemble.

The ends are the paper's kernel density (no regression, narrow kernels) and the
stochastic EnKF (linear regression, ``h_y`` infinite).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ccdm_engine import (
    columns,
    joint,
    local_noise,
    local_transform,
    noise,
    preconditioning,
)
from ccdm_engine.bandwidth import silverman
from ccdm_engine.candidate import Candidate
from ccdm_engine.localization import Localization
from ccdm_engine.neighbourhood import Neighbourhood
from ccdm_engine.noise import Noise
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.pairs import Pairs
from ccdm_engine.regression import Regression, linear, none
from ccdm_engine.scaling import (
    Frame,
    fit_frame,
    has_footing,
)

Array = npt.NDArray[np.float64]

# Candidate bandwidths, in units of the measurements' spread.
PAIRS_BANDWIDTHS = (0.1, 0.2, 0.4, 0.7, 1.2)
# The one of them that is tried beside joint kernels.
SCOUT = PAIRS_BANDWIDTHS[2]
# A regression with as many columns as this share of the members predicts its own
# training data and nothing else: left out of the automatic family.
SATURATED = 0.5
# Kernels of this width hold half of the variance, and leave the other half to weights.
WIDEST = 0.5**0.5
# And joint ones over all members need those that are narrower yet, by the normal
# reference rule: 41 members in three dimensions, 139 in six, 873 in ten. Wider ones
# leave so much to covariances that these may as well move the members, at less risk.
JOINT_WIDEST = 0.57
# And they are sure of themselves where they are narrower than this: from 78 members on
# in three dimensions, 346 in six, 3154 in ten.
JOINT_SURE = 0.52


def candidates(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood
) -> Iterator[Candidate]:
    """Every combination that the options allow, but for joint kernels.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
        near: the ``pairs`` kernels.
    """
    closed = pairs.columns.size >= pairs.states.shape[1]
    floor = columns.deviation(pairs.states)
    for regression in _regressions(pairs, options, noise.known(pairs)):
        prior = _prior(regression, floor, options)
        for h_y in _bandwidths(regression, near, options, closed=closed):
            yield Candidate(regression, prior, near, h_y)
        del regression, prior  # in many variables each array counts


def with_joint_kernels(
    pairs: Pairs, options: AnalysisOptions, near: Neighbourhood
) -> Iterator[Candidate]:
    """Joint kernels, the Gaussian update beside them, and two of the others.

    Those two, without a regression and with one, tell whether more of them are worth a
    look: joint kernels stand or fall with ``y = f(x) + noise``, the same noise for all
    states. Nothing, where these parts cannot be told.

    Args:
        pairs: at least one measurement; every state and measurement with spread.
        options: what is fixed and what is ``"auto"``.
        near: the ``pairs`` kernels.
    """
    parts = noise.known(pairs) or noise.regressed(pairs)
    if parts is None:
        return
    straight = preconditioning.filtered(*pairs.triple, parts)
    straight = straight.unbiased() if options.unbiases else straight
    floor = columns.deviation(pairs.states)
    prior = _prior(straight, floor, options)
    yield Candidate(straight, prior, near, np.inf, width=1.0)
    shape = joint.fit_shape(pairs, parts)
    widths = joint.bandwidths(pairs, parts, options, shape)
    yield from joint.candidates(pairs, parts, near, options, widths, shape)
    near.prepare((SCOUT,))
    yield Candidate(straight, prior, near, SCOUT)
    plain = none(*pairs.triple)
    # Without a regression residuals are the states, in whose frame kernels are made;
    # a single variable has no shape.
    is_shaped = pairs.states.shape[1] > 1
    prior = shape.whole if is_shaped else _prior(plain, floor, options)
    yield Candidate(plain, prior, near, SCOUT)


def has_kernels(members: int, dimension: int) -> bool:
    """Whether kernels have footing, and are narrower than the ensemble."""
    narrow = silverman(members, dimension) < WIDEST
    return narrow and has_footing(members, dimension)


def goes_by_lobes(options: AnalysisOptions, members: int, dimension: int) -> bool:
    """Whether a forecast that has come apart is analysed lobe by lobe.

    Args:
        options: as given.
        members: of the whole ensemble.
        dimension: of the states.
    """
    return (
        is_free(options)
        and options.localization is None
        and options.scaling in ("auto", "whiten")
        and has_kernels(members, dimension)
    )


class Footing(IntEnum):
    """What joint kernels over all members have to stand on.

    Attributes:
        NONE: too little: they are not for the engine to choose.
        UNSURE: enough, unless a Gaussian update is far better.
        SURE: enough.
    """

    NONE = 0
    UNSURE = 1
    SURE = 2


def footing_of_many(members: int, dimension: int) -> Footing:
    """That of joint kernels of so many members, whatever the options."""
    width = silverman(members, dimension)
    if width < JOINT_SURE:
        return Footing.SURE
    return Footing.UNSURE if width < JOINT_WIDEST else Footing.NONE


def joint_footing(options: AnalysisOptions, members: int, dimension: int) -> Footing:
    """That of joint kernels over all members.

    Args:
        options: as given.
        members: of the whole ensemble.
        dimension: of the states.
    """
    if not goes_by_lobes(options, members, dimension):
        return Footing.NONE
    return footing_of_many(members, dimension)


def is_free(options: AnalysisOptions) -> bool:
    """Whether regression and measurement kernel are both left to the engine."""
    return options.preconditioner == options.measurement_bandwidth == "auto"


def _prior(regression: Regression, floor: Array, options: AnalysisOptions) -> Frame:
    return fit_frame(
        regression.residuals,
        options.scaling,
        center=options.center,
        floor=floor,
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
    triple = pairs.triple
    wanted = options.preconditioner
    if options.localization is not None:
        yield _local(pairs, options, options.localization, parts)
    elif wanted not in ("auto", "shrunk"):
        yield preconditioning.RULES[wanted](*triple)
    else:
        yield preconditioning.shrunk(*triple, parts)
    if wanted != "auto" or options.localization is not None:
        return
    if has_kernels(*pairs.states.shape):
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
    if is_free(options) and not parts.curved:
        return local_transform.transformed(pairs, places, parts)
    columns = (pairs.state_columns, pairs.columns)
    return preconditioning.localized(*pairs.triple, places, *columns, parts)


def _bandwidths(
    regression: Regression,
    near: Neighbourhood,
    options: AnalysisOptions,
    *,
    closed: bool,
) -> tuple[float, ...]:
    if options.measurement_bandwidth != "auto":
        return (float(options.measurement_bandwidth),)
    footing = has_footing(*regression.residuals.shape) and options.localization is None
    is_none = regression.name == "none"
    if options.preconditioner == "auto" and not (is_none or (footing and closed)):
        # Kernels have no footing, or the measurements leave directions open in which
        # a regression would pull modes together: keep the members, and move them.
        return (np.inf,)
    finite = tuple(near.spread * width for width in PAIRS_BANDWIDTHS)
    near.prepare(finite)
    # Without a regression equal weights would ignore the observation.
    return finite if is_none else (*finite, np.inf)
