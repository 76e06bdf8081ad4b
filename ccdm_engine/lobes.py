"""Ensembles that have come apart into lobes.

Measurements such as ``|x|`` leave a symmetry open, and the forecast falls into clouds
with nothing between them. Within a cloud a straight line may tell states from
measurements where over all of them none does, so that each is analysed by itself.

:func:`apart` finds them: two normal components are fitted to the states by expectation
maximisation (Dempster et al. 1977), begun along the directions of extreme kurtosis in
whitened coordinates (Cardoso 1989), the members divided there in two (Otsu 1979). They
count as lobes when the information criterion (Schwarz 1978) prefers them and hardly a
member is in doubt; then each is looked at again.

:func:`shares` tells how many samples each lobe is due. By Bayes' rule its share is
multiplied by its evidence ``p(y* | lobe)``, known here from few members. Multiplying by
what chance says, cycle after cycle, makes shares wander until all but one are gone. So
``g``, the logarithm of the evidence over that of the best lobe, is multiplied by::

    1 - (3 se(g) / g)^2,     0 where negative

the positive part of James and Stein (1961) with three standard errors in place of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns
from ccdm_engine.neighbourhood import FARTHEST
from ccdm_engine.scaling import MEMBERS_PER_DIMENSION, fit_frame

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Members in doubt, as a share of all, above which two clouds are one.
IN_DOUBT = 1e-3
# Evidence counts beyond so many of its standard errors.
STANDARD_ERRORS = 3.0
STEPS = 20
SETTLED = 1e-3
# More in doubt after so many steps will not be lobes in the end, nor will more than
# these that no longer become fewer.
MOST_IN_DOUBT = {1: 0.1, 3: 0.05}
LATE, STILL_IN_DOUBT = 4, 0.02
# Variance of a component along each axis, in units of the whole ensemble's.
LEAST_VARIANCE = 1e-6


def apart(states: Array) -> list[Indices]:
    """The members of each lobe.

    Args:
        states: ``(N, dx)``.
    """
    least = fewest(states.shape[1])
    found, waiting = [], [np.arange(states.shape[0])]
    while waiting:
        members = waiting.pop()
        first = _first_of_two(states[members], least)
        if first is None:
            found.append(members)
        else:
            waiting += [members[first], members[~first]]
    return found


def fewest(dimension: int) -> int:
    """Members that a lobe has at least: half of what tells a shape."""
    return max(MEMBERS_PER_DIMENSION * (dimension + 1) // 2, MEMBERS_PER_DIMENSION)


class Evidence(NamedTuple):
    """What the observation says for a lobe.

    Attributes:
        members: how many it has.
        log: ``log p(y* | lobe)``.
        variance: of that, for so few members.
    """

    members: int
    log: float
    variance: float


def evidence(
    simulated: Array, observation: Array, lobes: Sequence[Indices]
) -> list[Evidence]:
    """For each lobe, from its simulated measurements.

    Args:
        simulated: ``y_i``, ``(N, dy)``.
        observation: ``y*``, ``(dy,)``.
        lobes: members of each.
    """
    floor = columns.deviation(simulated)
    # Tails equally heavy for all, or far out the lobe of the fewest members wins.
    freedom = min(part.size for part in lobes) - 1.0
    return [_evidence(simulated[part], observation, floor, freedom) for part in lobes]


def shares(evidence: Sequence[Evidence]) -> Array:
    """Share of each lobe given the observation, ``(L,)``, summing to 1.

    ``g`` is taken to the lobe of the most evidence, so that a hopeless lobe beside them
    does not decide between two others.
    """
    members, told, variance = np.array(evidence).T
    before = members / members.sum()
    best = int(np.argmax(told))
    gap = told - told[best]
    doubt = variance + variance[best]
    size = np.maximum(gap**2, 1e-300)
    gap *= np.maximum(1.0 - STANDARD_ERRORS**2 * doubt / size, 0.0)
    after = before * np.exp(gap)
    return np.asarray(after / after.sum())


def counts(after: Array, lobes: Sequence[Indices], n_samples: int) -> Indices:
    """How many samples each lobe is due: largest remainders, ties to the first."""
    before = np.array([members.size for members in lobes])
    if n_samples == before.sum() and np.allclose(after * n_samples, before):
        return before
    due = after * n_samples
    whole = np.floor(due).astype(np.intp)
    order = np.argsort(whole - due, kind="stable")
    whole[order[: n_samples - int(whole.sum())]] += 1
    return whole


def _evidence(
    simulated: Array, observation: Array, floor: Array, freedom: float
) -> Evidence:
    """Student's t, which a normal density of unknown covariance predicts by.

    Its tails make the sampling error of the logarithm bounded, however far y* lies::

        log p = -(m + k) / 2  log(1 + q / m) + const,   q = |y* - mean|^2

    to first order in the relative error of q, ``2 / n + 4 / (n q)``.

    Args:
        simulated: of the lobe's n members, ``(n, k)``.
        observation: ``y*``, ``(k,)``.
        floor: least deviations, ``(k,)``.
        freedom: ``m``.
    """
    members, count = simulated.shape
    frame = fit_frame(simulated, "whiten", floor=floor)
    gap = np.clip(frame.into(observation), -FARTHEST, FARTHEST)
    square = float(np.sum(gap**2))
    power = 0.5 * (freedom + count)
    log = float(frame.log_volume) - power * float(np.log1p(square / freedom))
    slope = power * square / (freedom + square)
    relative = 2.0 / members + 4.0 / (members * max(square, 1e-300))
    # And of the volume: half the logarithm of a chi-square in each direction.
    variance = slope**2 * relative + 0.5 * count / members
    return Evidence(members, log, variance)


def _first_of_two(states: Array, least: int) -> npt.NDArray[np.bool_] | None:
    """Which members make up the first of two lobes; ``None`` where there is one."""
    members, dimension = states.shape
    if members < 2 * least:
        return None
    z = fit_frame(states, "whiten").into(states)
    # Of unit covariance the symmetric root has taken care, up to what is constant.
    first = _begin(z, least).astype(np.float64)
    fitted = _mixed(z, first, least)
    if fitted is None:
        return None
    share, likelihood = fitted
    alone = -0.5 * members * dimension * (np.log(2 * np.pi) + (members - 1) / members)
    parameters = 1 + dimension + dimension * (dimension + 1) // 2
    preferred = 2 * (likelihood - alone) > parameters * np.log(members)
    chosen = share > 0.5
    large = least <= int(chosen.sum()) <= members - least
    return chosen if preferred and _in_doubt(share) < IN_DOUBT and large else None


def _in_doubt(share: Array) -> float:
    """Share of the members that may belong to either."""
    return float(np.mean(np.minimum(share, 1.0 - share)))


def _begin(z: Array, least: int) -> npt.NDArray[np.bool_]:
    """The best division in two by a threshold along directions of kurtosis."""
    members = z.shape[0]
    weighted = z * np.sum(z**2, axis=1, keepdims=True)
    _, directions = np.linalg.eigh(weighted.T @ z / members)
    along = z @ directions
    order = np.sort(along, axis=0)
    total = np.cumsum(order, axis=0)
    below = np.arange(least, members - least + 1)[:, None]
    means = total[below[:, 0] - 1] / below
    others = (total[-1] - total[below[:, 0] - 1]) / (members - below)
    between = below * (members - below) * (means - others) ** 2
    place, axis = np.unravel_index(int(np.argmax(between)), between.shape)
    last = int(below[place, 0]) - 1
    threshold = 0.5 * (order[last, axis] + order[min(last + 1, members - 1), axis])
    return np.asarray(along[:, axis] < threshold)


def _mixed(z: Array, first: Array, least: int) -> tuple[Array, float] | None:
    """Two normal components: each member's share in the first, log likelihood.

    Args:
        z: members in whitened coordinates, ``(N, d)``.
        first: shares to begin with, ``(N,)``.
        least: members in each component.

    Returns:
        ``None`` where a component has fewer, or too many members remain in doubt.
    """
    share, likelihood, doubt = first, -np.inf, 1.0
    for step in range(STEPS):
        if not least <= float(share.sum()) <= share.size - least:
            return None
        one, other = _components(z, share)
        both = np.logaddexp(one, other)
        before, share = share, np.exp(one - both)
        likelihood = float(both.sum())
        earlier, doubt = doubt, _in_doubt(share)
        stuck = step >= LATE and doubt > STILL_IN_DOUBT and doubt >= earlier
        if stuck or doubt > MOST_IN_DOUBT.get(step, 1.0):
            return None
        if float(np.max(np.abs(share - before))) < SETTLED:
            break
    return share, likelihood


def _components(z: Array, share: Array) -> Array:
    """Log of weight times density of either component, ``(2, N)``.

    Args:
        z: members in whitened coordinates, ``(N, d)``.
        share: of each member in the first, ``(N,)``.
    """
    members, dimension = z.shape
    parts = np.array([share, 1.0 - share])
    weights = parts.sum(axis=1)[:, None]
    gaps = z - (parts @ z / weights)[:, None]
    across = gaps.transpose(0, 2, 1)
    covariances = across * parts[:, None] @ gaps / weights[:, None]
    covariances += LEAST_VARIANCE * np.eye(dimension)
    factors = np.linalg.cholesky(covariances)
    unit = np.linalg.solve(factors, across)
    constant = np.log(weights / members) - 0.5 * dimension * np.log(2 * np.pi)
    constant -= np.sum(np.log(np.einsum("kii->ki", factors)), axis=1, keepdims=True)
    return np.asarray(constant - 0.5 * np.sum(unit**2, axis=1))
