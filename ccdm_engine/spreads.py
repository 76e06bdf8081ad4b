"""What an analysis did to the spread, and readings that nothing predicted.

``spread-collapsed``
    No variable kept one hundredth of its spread. Sampling error does not do that: with
    five samples a normal law shows it once in ten million analyses, with more never.
    Measurements do where they are so much finer than the forecast. Where their errors
    are declared, it is known how far they can go: with ``v_j`` the variance of the
    simulated measurement and ``r_j`` that of its error, a linear update leaves every
    variable at least the share ``1 / (1 + sum_j (v_j / r_j - 1))`` of its variance
    (the sum is the trace of ``R^-1/2 C_ff R^-1/2``, which bounds its largest
    eigenvalue). Above that share nothing is told.

``spread-grew``
    The analysis is more than :data:`GREW` times as wide as the forecast, and nobody
    asked for inflation. A reading can widen what is known: of |x|, far out, it leaves
    two sides. But the variance that readings leave is on average below the forecast's,
    so that whatever the law at most 1 in 16 leaves 16 times as much (Markov); of |x|
    with x normal it is 6 in 100,000, of what is near Gaussian none.

``measurement-incredible``
    A reading lies more than :data:`FAR` predicted deviations off, and farther than
    chance would put any of the dy readings once in a million analyses: Student's t
    with N - 1 degrees of freedom for one more draw from a normal law (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ccdm_engine import columns
from ccdm_engine.analysis import Advice
from ccdm_engine.blocks import blocks
from ccdm_engine.pairs import Pairs

Array = npt.NDArray[np.float64]

# Share of the spread that some variable keeps in any analysis of sound mind.
COLLAPSED = 0.01
# With fewer samples a small spread may be chance.
FEWEST = 5
# By what factor an analysis may be wider than the forecast.
GREW = 4.0
# Predicted deviations within which any law puts 35 of 36 readings (Chebyshev), and a
# normal one all.
FAR = 6.0
# How often chance may pass for a reading that is off, per analysis.
BY_CHANCE = 1e-6
# So many readings are named.
NAMED = 5
# Variables worked on at a time, so that no copy of the ensemble is made.
VARIABLES = 4096


def most_kept(before: Array, after: Array) -> float:
    """Largest share of its spread that any variable kept; 0 where none had any.

    Args:
        before: ``(N, d)``.
        after: ``(n, d)``; a single row keeps nothing.
    """
    most = 0.0
    for block in blocks(before.shape[1], VARIABLES):
        had, has = _spreads(before[:, block]), _spreads(after[:, block])
        varied = had > 0
        most = max(most, float(np.max(has[varied] / had[varied], initial=0.0)))
    return most


def _spreads(part: Array) -> Array:
    """Standard deviations; halves first, so that nothing overflows."""
    if part.shape[0] < 2:
        return np.zeros(part.shape[1])
    gaps = part - columns.mean(part / 2) * 2
    largest = columns.extent(np.abs(gaps))[1]
    gaps /= np.where(largest > 0, largest, 1.0)
    square = np.einsum("ij,ij->j", gaps, gaps) / (part.shape[0] - 1)
    return np.asarray(largest * np.sqrt(square))


def collapsed(pairs: Pairs, kept: float, n_samples: int) -> tuple[Advice, ...]:
    """What to say where no variable kept what the measurements must have left it.

    Args:
        pairs: what took part.
        kept: largest share of its spread that any variable kept.
        n_samples: of the analysis.
    """
    if n_samples < FEWEST or kept >= min(COLLAPSED, _least_kept(pairs)):
        return ()
    return (
        Advice(
            "spread-collapsed",
            f"No variable kept more than {kept:.2g} of the spread it had.",
            "Do not go on from it: such an ensemble follows no further observation. "
            "Use more members than measurements, preconditioner='auto', localization "
            "or inflation. If the measurements are that much finer than the forecast, "
            "all is well: declare measurement_error.",
        ),
    )


def _least_kept(pairs: Pairs) -> float:
    """Share of any spread that measurements of the declared error leave; 1 untold."""
    if pairs.error is None:
        return 1.0
    total = np.var(pairs.simulated, axis=0, ddof=1)
    with np.errstate(divide="ignore", over="ignore"):
        told = np.maximum(total / pairs.error**2 - 1.0, 0.0)
    return float(1.0 / np.sqrt(1.0 + np.sum(told)))


def widened(factor: float) -> Advice:
    """What to say of a forecast that was made so many times as wide."""
    return Advice(
        "ensemble-widened",
        "The innovations are larger than chance allows: the forecast was widened "
        f"{factor:.3g} times.",
        "Once, nothing: that is how a lost ensemble is caught again. At many cycles: "
        "add process noise, or check the declared measurement error.",
    )


def grown(before: float, after: float) -> tuple[Advice, ...]:
    """What to say of an analysis much wider than the forecast.

    Args:
        before: root mean variance over the variables.
        after: the same.
    """
    if before == 0:
        return ()
    return (
        Advice(
            "spread-grew",
            f"The analysis is {after / before:.3g} times as wide as the forecast.",
            "An observation should tell, not untell: check that row i of the simulated "
            "measurements belongs to row i of the states, use more members than "
            "measurements, or preconditioner='shrunk'.",
        ),
    )


def incredible(pairs: Pairs, innovation: Sequence[float]) -> tuple[Advice, ...]:
    """What to say of readings that lie where nothing simulated comes near.

    Args:
        pairs: what took part.
        innovation: of all measurements of the caller, in predicted deviations.
    """
    size = np.abs(np.array(innovation)[pairs.columns])
    members = pairs.used.size
    rare = BY_CHANCE / (2.0 * size.size)
    # One more draw lies sqrt(1 + 1/N) deviations from the mean of N.
    by_chance = -float(stdtrit(members - 1, rare)) * np.sqrt(1.0 + 1.0 / members)
    far = np.flatnonzero(size > max(FAR, by_chance))
    if far.size == 0:
        return ()
    worst = far[np.argsort(-size[far], kind="stable")]
    named = ", ".join(str(pairs.columns[place]) for place in worst[:NAMED])
    more = f" and {far.size - NAMED} more" if far.size > NAMED else ""
    what = "Measurement" if far.size == 1 else "Measurements"
    return (
        Advice(
            "measurement-incredible",
            f"{what} {named}{more} of {size.size}: up to {size[worst[0]]:.3g} "
            "predicted deviations from the mean of the simulated ones.",
            "Look at these instruments, their units and their order; send NaN (null) "
            "for a stuck one. Where most are named, or others at each cycle, the "
            "ensemble is too narrow.",
        ),
    )
