"""What an analysis will cost, roughly, before it is run.

The estimates decide where it runs and whether it may; they need to be right within a
factor of a few, on the safe side. They follow the engine's own branches, with its own
numbers: which regressions it will try, how many candidates it will score, whether it
will sample. Factors were measured on one core, and are rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import family, neighbourhood, noise, search
from ccdm_engine.blockwise import PART
from ccdm_engine.joint import SHARES
from ccdm_engine.local_kernels import MOST_HELD_OUT
from ccdm_engine.scaling import has_footing

Array = npt.NDArray[np.float64]

# Seconds per multiplication and addition in a matrix product, per n^3 of a symmetric
# eigendecomposition and what follows it, per m n^2 of a singular value decomposition.
_PRODUCT = 2e-10
_EIGEN = 1e-9
_SINGULAR = 3e-9
# Seconds per number of a chain of elementwise functions.
_ELEMENT = 1.5e-7
# Seconds per exponential in a score and in a sampling step.
_SCORE = 1.2e-8
_SOFTMAX = 4e-9
_BASE_SECONDS = 2e-3
# The local update: seconds per n^3 of the eigendecomposition of a small matrix, and
# per member and candidate of the search for what a measurement follows.
_SMALL_EIGEN = 1e-8
_SEARCH = 4e-7
_LOCAL_CANDIDATES = 50
_CORRELATED = 2000
# Parts of a stored analysis that are alive at a time, where one is done after the other
# or a cluster holds what is not asked for yet.
PARTS_ALIVE = 4
# States at which it is counted how many measurements are near.
_COUNTED = 32

# Models with joint kernels: a straight update beside those of every bandwidth.
_JOINT = 1 + len(SHARES)

_EVALUATIONS = {"ode": 16.0, "sde": 64.0, "exact": 0.0}
_RK45_EVALUATIONS = 200.0
_RK45_MOST_EVALUATIONS = 10_000.0


class _Tried(NamedTuple):
    """Density models that the engine will compare.

    Attributes:
        linear: whether a plain linear regression is among them.
        joint: whether joint kernels are, for which the measurements are taken apart.
        candidates: not counting the widths of their kernels.
        drawn: the same with their centres drawn together and not, where both are.
        kernels: the same with every width of their kernels.
        sampled: whether the chosen one may need a sampler.
    """

    linear: bool
    joint: bool
    candidates: int
    drawn: int
    kernels: int
    sampled: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the engine will do with arrays of these sizes under these options.

    Attributes:
        members, dx, dy, samples: sizes.
        axes: coordinate axes of a localization, 0 without one.
        seen: measurements within reach of a state, where each is updated by those.
        shrunk, linear, kernel: whether such a regression is made.
        tried: density models.
        whitened_x, whitened_y: whether coordinates are whitened.
        evaluations: of the denoiser, per sample.
        at_once: whether all trajectories are integrated as one system.
    """

    members: int
    dx: int
    dy: int
    samples: int
    axes: int
    seen: float
    shrunk: bool
    linear: bool
    kernel: bool
    tried: _Tried
    whitened_x: bool
    whitened_y: bool
    evaluations: float
    at_once: bool

    @property
    def scored(self) -> int:
        """Members times held-out members times kernels: one exponential each."""
        return self.held_out * self.members * self.tried.kernels

    @property
    def held_out(self) -> int:
        """Members on which models are judged."""
        return min(neighbourhood.HELD_OUT, self.members)

    @property
    def features(self) -> int:
        """Columns of the quadratic fit that tells curved relations, if it is made."""
        columns = self.dx + self.dx * (self.dx + 1) // 2
        enough = self.dx <= noise.MOST_CURVED and has_footing(self.members, columns)
        return columns if self.tried.joint and enough else 0


def estimated_seconds(
    states: Array, simulated: Array, options: Mapping[str, Any]
) -> float:
    """A rough estimate of an analysis' time on one core.

    Cubic in the measurements for shrunk and tapered regressions, or in those near each
    state for local updates, cubic in the members for kernel regressions, members times
    samples for sampling.
    """
    plan = _plan(states, simulated, options)
    seconds = _BASE_SECONDS + _regression_seconds(plan) + _frame_seconds(plan)
    seconds += _SCORE * plan.scored
    products = 3 * plan.held_out * plan.members * plan.dx
    seconds += _PRODUCT * products * plan.tried.drawn
    return float(seconds + (_sampling_seconds(plan) if plan.tried.sampled else 0.0))


def estimated_bytes(states: Array, simulated: Array, options: Mapping[str, Any]) -> int:
    """A rough estimate of an analysis' memory: the arrays alive at its widest."""
    return _bytes(_plan(states, simulated, options))


def _bytes(plan: _Plan) -> int:
    members, dx, dy = plan.members, plan.dx, plan.dy
    least = min(members, dy)
    numbers = 6 * members * (dx + dy) + 6 * plan.samples * dx + dx * dy
    if plan.seen:
        numbers += 6 * members * dx + 8 * min(dy, _CORRELATED) ** 2 + 2_000_000 * 12
        numbers += int(256 * (members + 2 * plan.axes + 6) * plan.seen)
    elif plan.axes:
        numbers += (3 * plan.axes + 8) * (dx * dy + dy**2)
    elif plan.shrunk:
        numbers += 6 * dx * dy + 8 * dy**2
    if plan.linear:
        numbers += 3 * members * dy + 8 * least**2
    if plan.kernel:
        numbers += 9 * members**2
    if plan.tried.joint:
        # Each with residuals and centres of its own; the noise and its root.
        numbers += 3 * _JOINT * members * dx + 6 * dy**2
        numbers += 5 * members * plan.features
    if plan.whitened_x:
        numbers += (4 * plan.tried.candidates + 6) * dx**2
    if plan.whitened_y:
        numbers += 8 * dy**2
    numbers += 29 * plan.held_out * members
    if plan.tried.sampled:
        inside = min(members, dx)
        numbers += 8 * inside**2 + 4 * plan.samples * inside
        if plan.at_once:
            # Six slopes, and the responsibility of every member for every sample.
            numbers += 10 * plan.samples * inside + plan.samples * members * 5 // 4
    return 8 * numbers


def estimated_stored_bytes(
    shape: tuple[int, ...],
    simulated: Array,
    options: Mapping[str, Any],
    *,
    least: bool = False,
    alive: int = PARTS_ALIVE,
) -> int:
    """The same of an analysis of files.

    A few parts are worked on, or wait; of all variables there are the coordinates
    and a few facts, and of those near the measurements the values.

    Args:
        shape: of the states, ``(N, dx)``.
        simulated: ``(N, dy)``.
        options: with a localization.
        least: whether only the axes of its places are known: as if one measurement
            was near each state.
        alive: parts that are worked on or wait, together.
    """
    members, dx = shape
    dy = int(simulated.shape[1])
    part = np.broadcast_to(np.float64(0.0), (members, min(dx, PART)))
    samples = int(options.get("n_samples") or members)
    numbers = alive * (members + samples) * min(dx, PART)
    numbers += 2 * members * min(dx, _LOCAL_CANDIDATES * dy)
    numbers += 4 * (_axes(options.get("localization")) + 1) * dx
    plan = _plan(part, simulated, options, seen=1.0 if least else None)
    return _bytes(plan) + 8 * numbers


def _regression_seconds(plan: _Plan) -> float:
    members, dx, dy = plan.members, plan.dx, plan.dy
    least = min(members, dy)
    seconds = 0.0
    if plan.seen:
        return _local_seconds(plan)
    if plan.axes:
        seconds += 2 * _EIGEN * dy**3
        seconds += (1 + plan.axes / 3) * _ELEMENT * (dx * dy + dy**2)
    elif plan.shrunk:
        seconds += _EIGEN * dy**3 + _ELEMENT * (dx * dy + dy**2 / 2)
    if plan.axes or plan.shrunk:
        products = dx * dy**2 + 3 * members * dx * dy + 2 * members * dy**2
        seconds += _PRODUCT * products
    if plan.linear:
        seconds += _SINGULAR * members * dy * least
        seconds += 2 * _PRODUCT * members * dx * least
    if plan.kernel:
        seconds += 2 * _EIGEN * members**3 + _PRODUCT * members**2 * (15 * dx + 5 * dy)
    if plan.tried.joint:
        seconds += _SINGULAR * members * (dx**2 + dy * least + plan.features**2)
        each = 3 * _EIGEN * (dx**3 + dy**3) + 3 * _PRODUCT * members * (dx + dy) ** 2
        seconds += _JOINT * each
    # The check for measurements without noise is a regression the other way round.
    if members > 2 * dx + 2:
        seconds += _SINGULAR * members * dx**2 + _PRODUCT * members * dx * dy
    return seconds


def _local_seconds(plan: _Plan) -> float:
    """Of taking each measurement apart, and of updating each state."""
    members, small = plan.members, min(float(plan.members), plan.seen)
    candidates = min(plan.seen * plan.dx / plan.dy, _LOCAL_CANDIDATES)
    seconds = plan.dy * _SEARCH * members * (1 + candidates)
    seconds += _ELEMENT * min(plan.dy, _CORRELATED) ** 2
    each = 2e-4 + _SMALL_EIGEN * small**3 + 4e-8 * members * plan.seen
    each += 3 * _PRODUCT * members * plan.seen * small
    held_out = min(members, MOST_HELD_OUT) * members
    each += held_out * (_ELEMENT / 3 + _PRODUCT * plan.seen)
    return float(seconds + plan.dx * each)


def _frame_seconds(plan: _Plan) -> float:
    seconds = 3e-8 * plan.members * plan.dx * (plan.tried.candidates + 1)
    if plan.whitened_x:
        each = 2 * _EIGEN * plan.dx**3 + 2 * _PRODUCT * plan.members * plan.dx**2
        seconds += (plan.tried.candidates + 2) * each
    if plan.whitened_y:
        seconds += _EIGEN * plan.dy**3 + 2 * _PRODUCT * plan.members * plan.dy**2
    return seconds


def _sampling_seconds(plan: _Plan) -> float:
    members, dx, samples = plan.members, plan.dx, plan.samples
    inside = min(members, dx)
    seconds = 3 * _EIGEN * inside**3 + 3 * _PRODUCT * inside**2 * max(members, dx)
    seconds += 4 * _PRODUCT * samples * dx * inside
    seconds += _SOFTMAX * members * samples * plan.evaluations * (1 + inside / 20)
    return seconds + 1e-4 * plan.evaluations


def _plan(
    states: Array,
    simulated: Array,
    options: Mapping[str, Any],
    seen: float | None = None,
) -> _Plan:
    members, dx, dy = _sizes(states, simulated)
    wanted = options.get("preconditioner") or "auto"
    h_y = options.get("measurement_bandwidth", "auto")
    axes = _axes(options.get("localization"))
    local = axes and wanted == "auto" and h_y == "auto"
    tried = _tried(members, dx, dy, options)
    scaling = options.get("scaling") or "auto"
    if not local:
        seen = 0.0
    elif seen is None:
        seen = _seen(options["localization"], dy)
    return _Plan(
        members,
        dx,
        dy,
        samples=options.get("n_samples") or members,
        axes=axes,
        seen=seen,
        shrunk=wanted in ("auto", "shrunk") and not axes,
        linear=tried.linear or (wanted in ("linear", "kernel") and not axes),
        kernel=wanted == "kernel",
        tried=tried,
        whitened_x=_is_whitened(scaling, members, dx),
        whitened_y=_is_whitened(scaling, members, dy),
        evaluations=_evaluations(options),
        at_once=options.get("sampler") == "rk45",
    )


def _tried(members: int, dx: int, dy: int, options: Mapping[str, Any]) -> _Tried:
    """As :mod:`ccdm_engine.family` has it."""
    wanted = options.get("preconditioner") or "auto"
    h_y = options.get("measurement_bandwidth", "auto")
    scaling = options.get("scaling") or "auto"
    apart = not _axes(options.get("localization"))
    automatic = wanted == "auto" and apart
    footing = has_footing(members, dx)
    linear = automatic and dy <= family.SATURATED * (members - 1)
    linear = linear and (dy >= dx or not footing)
    plain = family.has_kernels(members, dx) if automatic else wanted == "none" and apart
    joint = automatic and plain and h_y == "auto" and _has_joint(scaling, members, dx)
    around = len(family.PAIRS_BANDWIDTHS) if h_y == "auto" else 1
    moved = 0 if wanted == "none" and apart else 1 + int(linear)
    kernels = h_y == "auto" and (wanted != "auto" or (apart and footing and dy >= dx))
    with_weights = plain or kernels or (h_y != "auto" and not math.isinf(float(h_y)))
    moved *= around + 1 if kernels else 1
    still = around * int(plain)
    both = options.get("shrink", "auto") == "auto" and scaling != "none"
    drawn = moved + still * (2 if both else 1)
    free = options.get("state_bandwidth", "auto") == "auto"
    widths = len(search.STATE_BANDWIDTHS) if free else 1
    more = _JOINT * int(joint)
    return _Tried(
        linear,
        joint,
        candidates=moved + still + more,
        drawn=drawn + more,
        kernels=widths * drawn + more,
        sampled=with_weights,
    )


def _has_joint(scaling: str, members: int, dimension: int) -> bool:
    return scaling in ("auto", "whiten") and bool(
        family.footing_of_many(members, dimension)
    )


def _is_whitened(scaling: str, members: int, dimension: int) -> bool:
    if scaling == "auto":
        return has_footing(members, dimension)
    return scaling == "whiten" and members > dimension


def _evaluations(options: Mapping[str, Any]) -> float:
    sampler = options.get("sampler") or "ode"
    if sampler == "rk45":
        tolerance = options.get("rtol") or 1e-5
        wanted = _RK45_EVALUATIONS * max(1.0, (1e-5 / tolerance) ** 0.2)
        return float(min(wanted, _RK45_MOST_EVALUATIONS))
    usual = _EVALUATIONS.get(sampler, _EVALUATIONS["sde"])
    return float(options.get("steps") or usual) if usual else 0.0


def _axes(localization: Any) -> int:
    """Coordinate axes of a localization as clients write it; 0 for none."""
    if not localization:
        return 0
    places = localization.get("state_coordinates")
    first = places[0] if places is not None and len(places) else None
    return max(1, len(first)) if isinstance(first, Sized) else 1


def _seen(localization: Mapping[str, Any], dy: int) -> float:
    """Measurements within reach of a state, at least 1, on an average of a few."""
    try:
        places = localization["state_coordinates"]
        places = places[:: max(1, len(places) // _COUNTED)]
        here = np.asarray(places, np.float64).reshape(len(places), 1, -1)
        there = np.asarray(localization["measurement_coordinates"], np.float64)
        gaps = np.abs(here - there.reshape(1, dy, -1))
        if localization.get("period"):
            length = np.asarray(localization["period"], np.float64)
            gaps = np.minimum(gaps % length, length - gaps % length)
        near = np.sum(gaps**2, axis=-1) < (2.0 * float(localization["radius"])) ** 2
        return max(1.0, float(np.sum(near)) / len(places))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return float(dy)  # the engine will say what is wrong


def _sizes(states: Array, simulated: Array) -> tuple[int, int, int]:
    """N, dx, dy; arrays of other shapes are the engine's to refuse."""
    if states.ndim != 2 or simulated.ndim != 2:
        return 1, 1, 1
    return max(1, states.shape[0]), states.shape[1], simulated.shape[1]
