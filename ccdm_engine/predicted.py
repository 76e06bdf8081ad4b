"""What the ensemble predicted of the measurements, and where ``y*`` lies in it.

::

    quantiles   of y_1k, ..., y_Nk, by linear interpolation (Hyndman and Fan, type 7)
    rank        #{i : y_ik < y*_k}, uniform on 0..N for a calibrated ensemble

The simulated measurements are taken with their noise, so that ``y*`` is one more draw
from the same distribution when ensemble and noise are right (Hamill 2001).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ccdm_engine import columns
from ccdm_engine.analysis import Predicted
from ccdm_engine.pairs import Pairs
from ccdm_engine.scores import Ranks, ranks
from ccdm_engine.streams import TIES, stream

Array = npt.NDArray[np.float64]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
# Facts about an analysis should stay small beside its samples.
MOST_DESCRIBED = 100


def predicted(pairs: Pairs, seed: int) -> Predicted | None:
    """The prediction of the assimilated measurements, at most 100 of them.

    Args:
        pairs: what took part, ``simulated`` with its noise.
        seed: of the analysis; breaks ties between ``y*`` and members.

    Returns:
        Facts about measurements spread evenly over all assimilated ones; ``None``
        when there is none.
    """
    count = pairs.columns.size
    if count == 0:
        return None
    chosen = np.arange(count)
    if count > MOST_DESCRIBED:
        spread = np.linspace(0, count - 1, MOST_DESCRIBED).round()
        chosen = np.unique(spread.astype(np.intp))
    simulated = np.sort(pairs.simulated[:, chosen], axis=0)
    observation = pairs.observation[chosen]
    middle, unit, deviation = moments(simulated)
    return Predicted(
        index=_whole(pairs.columns[chosen]),
        observation=_real(observation),
        rank=_whole(_ranks(simulated, observation, seed)),
        mean=_real(middle),
        std=_real(unit * deviation),
        quantile_levels=LEVELS,
        quantiles=tuple(_real(row) for row in _quantiles(simulated).T),
    )


def moments(ensemble: Array) -> tuple[Array, Array, Array]:
    """Mean, a unit, and the unbiased standard deviation in that unit, by column.

    Units of the caller may be so extreme that squares overflow, and products too.

    Args:
        ensemble: ``(N, d)``, N at least 2.
    """
    middle = columns.mean(ensemble / 2) * 2
    gaps = ensemble - middle
    largest = np.max(np.abs(gaps), axis=0, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    gaps /= unit
    gaps -= columns.mean(gaps)
    square = np.einsum("ij,ij->j", gaps, gaps) / (gaps.shape[0] - 1)
    return middle, unit, np.sqrt(square)


def _ranks(simulated: Array, observation: Array, seed: int) -> Ranks:
    """Ranks of the observations; without ties there is nothing to draw."""
    if (simulated == observation).any():
        return ranks(simulated, observation, stream(seed, TIES))
    return np.asarray(np.count_nonzero(simulated < observation, axis=0))


def _quantiles(ordered: Array) -> Array:
    """Quantiles at ``LEVELS`` of columns in ascending order, ``(levels, d)``."""
    places = np.array(LEVELS) * (ordered.shape[0] - 1)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[0] - 1)
    share = (places - below)[:, None]
    return np.asarray((1 - share) * ordered[below] + share * ordered[above])


def _real(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())


def _whole(values: npt.NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(values.tolist())
