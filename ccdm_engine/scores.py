"""Verification: how good is an ensemble ``x_1..x_N`` against a truth or a reference?

::

    RMSE     sqrt( mean_k (m_k - x*_k)^2 )               m the ensemble mean
    spread   sqrt( mean_k var_k )                        var unbiased
    CRPS     mean_k [ E|X_k - x*_k| - 1/2 E|X_k - X'_k| ]
    energy   E|X - x*| - 1/2 E|X - X'|                   Euclidean norm over variables
    W2       sqrt( min over couplings of E|X - Z|^2 )    against a reference ensemble
    ranks    #{i : x_ik < x*_k}, uniform on 0..N for a calibrated ensemble

All but W2 take the truth alone; CRPS and the energy score are proper (Gneiting and
Raftery 2007): no ensemble scores better on average than draws from the belief that is
right. RMSE of the mean is misleading where the belief is bimodal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from scipy.special import chdtrc

from ccdm_engine.errors import ShapeError

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.intp]


def rmse(ensemble: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Root mean square error of the ensemble mean over the variables.

    Args:
        ensemble: ``(N, dx)``.
        truth: ``(dx,)``.
    """
    members, target = _checked(ensemble, truth)
    return float(np.sqrt(np.mean((members.mean(axis=0) - target) ** 2)))


def spread(ensemble: npt.ArrayLike) -> float:
    """Root of the unbiased ensemble variance averaged over the variables.

    For a calibrated ensemble it equals the RMSE up to ``sqrt((N + 1) / N)`` (Fortin
    et al. 2014).

    Args:
        ensemble: ``(N, dx)``, N >= 2.
    """
    members = _ensemble("ensemble", ensemble, least=2)
    return float(np.sqrt(np.mean(members.var(axis=0, ddof=1))))


def crps(ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, fair: bool = False) -> float:
    """Continuous ranked probability score, averaged over the variables.

    By default the score of the ensemble's own step distribution (Hersbach 2000)::

        1/N sum_i |x_i - x*|  -  1/(2 N^2) sum_ij |x_i - x_j|

    With ``fair=True`` the second divisor is ``2 N (N - 1)`` (Ferro 2014): unbiased
    for the distribution that the members are drawn from, so that ensembles of
    different sizes compare, but it may be negative. ``O(dx N log N)`` by sorting.

    Args:
        ensemble: ``(N, dx)``; N >= 2 when fair.
        truth: ``(dx,)``.
        fair: which divisor.
    """
    return float(np.mean(crps_by_variable(ensemble, truth, fair=fair)))


def crps_by_variable(
    ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, fair: bool = False
) -> Array:
    """:func:`crps` of each variable on its own, ``(dx,)``."""
    members, target = _checked(ensemble, truth, least=2 if fair else 1)
    count = members.shape[0]
    # sum_ij |x_i - x_j| = 2 sum_k (2k - N - 1) x_(k) over sorted values, k = 1..N.
    # Measured from the truth, so that a large common offset does not cancel digits.
    gaps = np.sort(members - target, axis=0)
    weights = 2.0 * np.arange(1, count + 1) - count - 1
    pairs = 2.0 * (weights @ gaps)
    divisor = count * (count - 1) if fair else count**2
    return np.asarray(np.abs(gaps).mean(axis=0) - pairs / (2.0 * divisor))


def energy_score(
    ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, fair: bool = False
) -> float:
    """Energy score: the CRPS of the whole vector (Gneiting and Raftery 2007).

    It sees dependence between variables, which the CRPS does not. ``O(dx N^2)``.

    Args:
        ensemble: ``(N, dx)``; N >= 2 when fair.
        truth: ``(dx,)``.
        fair: divide the second term by ``N (N - 1)`` instead of ``N^2``.
    """
    members, target = _checked(ensemble, truth, least=2 if fair else 1)
    count = members.shape[0]
    to_truth = float(np.linalg.norm(members - target, axis=1).mean())
    divisor = count * (count - 1) if fair else count**2
    # pdist holds each pair once, the double sum twice: the factors 2 and 1/2 cancel.
    return float(to_truth - pdist(members).sum() / divisor)


def wasserstein2(ensemble: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """W2 between two equally weighted ensembles, exact, Euclidean cost.

    In one variable by matching quantiles, whatever the two sizes. In several by
    optimal assignment, ``O(n^3)`` with n the larger size; the smaller one must divide
    it, each of its members then stands for as many of the other's.

    Args:
        ensemble: ``(N, dx)``.
        reference: ``(M, dx)``.

    Raises:
        ShapeError: when the sizes do not fit, in more than one variable.
    """
    here = _ensemble("ensemble", ensemble)
    there = _ensemble("reference", reference)
    if here.shape[1] != there.shape[1]:
        raise ShapeError(
            "reference",
            got=f"{there.shape[1]} variables",
            wanted=f"{here.shape[1]}, as in the ensemble",
        )
    if here.shape[1] == 1:
        return _quantile_distance(np.sort(here[:, 0]), np.sort(there[:, 0]))
    size = max(here.shape[0], there.shape[0])
    if size % here.shape[0] or size % there.shape[0]:
        raise ShapeError(
            "reference",
            got=f"{there.shape[0]} members",
            wanted=f"a multiple or a divisor of the ensemble's {here.shape[0]}",
            remedy="Draw a subsample of the larger one.",
        )
    cost = np.repeat(cdist(here, there, "sqeuclidean"), size // here.shape[0], axis=0)
    cost = np.repeat(cost, size // there.shape[0], axis=1)
    rows, columns = linear_sum_assignment(cost)
    return float(np.sqrt(cost[rows, columns].mean()))


def _quantile_distance(here: Array, there: Array) -> float:
    # Both quantile functions are constant between consecutive multiples of 1/N and
    # 1/M; integer arithmetic keeps the merged grid exact.
    n, m = here.size, there.size
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    left = edges[:-1]
    gaps = here[left // m] - there[left // n]
    return float(np.sqrt(np.sum(np.diff(edges) * gaps**2) / (n * m)))


def ranks(
    ensemble: npt.ArrayLike, truth: npt.ArrayLike, rng: np.random.Generator
) -> Ranks:
    """Rank of the truth among the members, per variable, 0 to N (Hamill 2001).

    Args:
        ensemble: ``(N, dx)``.
        truth: ``(dx,)``.
        rng: breaks ties; a truth equal to some members takes a place among them.

    Returns:
        Ranks, ``(dx,)``.
    """
    members, target = _checked(ensemble, truth)
    below = np.sum(members < target, axis=0)
    ties = np.sum(members == target, axis=0)
    return np.asarray(below + rng.integers(0, ties + 1), dtype=np.intp)


@dataclass(frozen=True, slots=True)
class RankHistogram:
    """Counts of ranks, and how far they are from flat.

    Attributes:
        counts: ``(bins,)``, members of the smallest ranks first.
        expected: count of each bin if all ranks were alike, ``(bins,)``.
        chi_square: ``sum (counts - expected)^2 / expected``.
        p_value: probability of a larger one if the ranks were uniform and
            independent. Ranks of neighbouring cycles and variables are not
            independent, so small values are no proof.
    """

    counts: npt.NDArray[np.int64]
    expected: Array
    chi_square: float
    p_value: float


def rank_histogram(
    observed_ranks: npt.ArrayLike, members: int, *, bins: int | None = None
) -> RankHistogram:
    """Histogram of ranks 0..N with its chi-square test of flatness.

    Args:
        observed_ranks: integers 0 to ``members``, any shape.
        members: ensemble size N.
        bins: number of bins, at most N + 1; ranks are grouped as evenly as they
            allow, and the expected counts follow the group sizes. ``None``: N + 1.
    """
    places = np.asarray(observed_ranks).ravel()
    groups = members + 1 if bins is None else min(bins, members + 1)
    group_of = np.arange(members + 1) * groups // (members + 1)
    counts = np.bincount(group_of[places], minlength=groups)
    shares = np.bincount(group_of, minlength=groups) / (members + 1)
    expected = shares * places.size
    # Without any rank there is nothing to expect, and nothing to find fault with.
    gaps = (counts - expected) ** 2 / np.where(expected > 0, expected, 1.0)
    chi_square = float(np.sum(gaps))
    return RankHistogram(
        counts=counts.astype(np.int64),
        expected=expected,
        chi_square=chi_square,
        p_value=float(chdtrc(groups - 1, chi_square)),
    )


def _ensemble(name: str, values: npt.ArrayLike, *, least: int = 1) -> Array:
    members = np.asarray(values, dtype=np.float64)
    if members.ndim != 2 or members.shape[0] < least:
        raise ShapeError(
            name,
            got=f"shape {members.shape}",
            wanted=f"shape (N, dx) with N >= {least}",
        )
    return members


def _checked(
    ensemble: npt.ArrayLike, truth: npt.ArrayLike, *, least: int = 1
) -> tuple[Array, Array]:
    members = _ensemble("ensemble", ensemble, least=least)
    target = np.asarray(truth, dtype=np.float64)
    if target.shape != members.shape[1:]:
        raise ShapeError(
            "truth", got=f"shape {target.shape}", wanted=f"shape {members.shape[1:]}"
        )
    return members, target
