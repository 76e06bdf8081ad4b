"""Trajectories by the batch, and batches by the part that one worker does.

A batch is as many rows as keep its logits in cache; a part is as many batches as are
worth sending. Both are cut by the problem alone: which rows are computed together
decides the last bits of a matrix product, so that must not depend on who computes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.mixture import TOGETHER, Mixture
from ccdm_engine.parts import Crew
from ccdm_engine.samplers import SAMPLERS, Draws, Task
from ccdm_engine.samplers.contract import Coefficients, Denoiser
from ccdm_engine.streams import SAMPLER, stream

Array = npt.NDArray[np.float64]

# One batch's logits stay in cache: at most this many, and so many rows.
BATCH_LOGITS = 2**17
BATCH_ROWS = (16, 512)
# Products of so many rows, or of a multiple, leave no remainder to slower code. They
# are filled up to that where it comes to no more than this.
ROW_MULTIPLE, MOST_FILLED = 16, 1.125
# Batches that a sampler is given together have at most so many coordinates.
STEP_NUMBERS = 2**16
# An analysis is cut into so many parts, an even number for two to share, as far as each
# has at least and at most so many logits per step: milliseconds to tenths of a second.
PARTS = 4
PART_LOGITS = (2**19, 2**22)


@dataclass(frozen=True, slots=True)
class Flow:
    """What all trajectories of an analysis share: model, noise levels, rules.

    Attributes:
        mixture: in the coordinates of the trajectories.
        sampler: its name.
        dtype: in which the denoiser works.
        levels: ``s_0 > ... > s_K``, ``(K + 1,)``.
        seed: of the analysis.
        rtol, atol: tolerances of adaptive samplers.
        coefficients: of the multistep method.
        batch: rows of one batch.
    """

    mixture: Mixture
    sampler: str
    dtype: npt.DTypeLike
    levels: Array
    seed: int
    rtol: float
    atol: float
    coefficients: Coefficients | None
    batch: int

    def denoiser(self) -> Denoiser:
        """Of the mixture."""
        # The multistep method's coordinates are offsets from the mean.
        return self.mixture.denoiser(self.dtype, centred=self.coefficients is not None)

    def task(
        self, denoise: Denoiser, start: npt.NDArray[Any], latents: Array, batch: int = 0
    ) -> Task:
        """One sampler's trajectories that start from these points.

        Args:
            denoise: see :meth:`denoiser`.
            start: ``(n, d)`` or ``(b, n, d)``.
            latents: ``(n, d)``.
            batch: number of the first, for those that draw from a stream of its own.
        """
        return Task(
            denoise=denoise,
            levels=self.levels,
            start=start,
            latents=latents,
            centres=self.mixture.centres,
            weights=self.mixture.weights,
            rng=partial(stream, self.seed, SAMPLER, batch),
            rtol=self.rtol,
            atol=self.atol,
            coefficients=self.coefficients,
        )


class Rows(NamedTuple):
    """The trajectories of one part.

    Attributes:
        first: number of its first batch.
        start: where they start, ``(n, d)``.
        latents: draws behind them, ``(n, d)``.
    """

    first: int
    start: npt.NDArray[Any]
    latents: Array


def batch_rows(total: int, members: int) -> int:
    """Rows per batch, the same in all but the last: a function of the problem alone.

    Args:
        total: number of rows.
        members: of the mixture.
    """
    fewest, most = BATCH_ROWS
    rows = BATCH_LOGITS // members // ROW_MULTIPLE * ROW_MULTIPLE
    count = math.ceil(total / min(max(rows, fewest), most))
    even = math.ceil(total / count)
    whole = ROW_MULTIPLE * math.ceil(even / ROW_MULTIPLE)
    return whole if whole * count <= MOST_FILLED * total else even


def part_rows(total: int, members: int, batch: int) -> int:
    """Rows per part, whole batches: a function of the problem alone.

    Args:
        total: number of rows.
        members: of the mixture.
        batch: rows of one batch.
    """
    fewest, most = PART_LOGITS
    size = min(max(total * members / PARTS, fewest), most)
    parts = math.ceil(total * members / size)
    parts += parts % 2 if parts > 1 else 0
    return batch * max(1, math.ceil(total / (parts * batch)))


def transported(
    flow: Flow, start: npt.NDArray[Any], latents: Array, crew: Crew
) -> Draws:
    """All trajectories, part by part.

    Args:
        flow: what they share.
        start: ``(n, d)``.
        latents: ``(n, d)``.
        crew: who does the parts; the bytes are the same for any.
    """
    total, members = start.shape[0], flow.mixture.log_weights.size
    rows = part_rows(total, members, flow.batch)

    def parts() -> Iterator[Rows]:
        for begin in range(0, total, rows):
            part = slice(begin, begin + rows)
            yield Rows(begin // flow.batch, start[part], latents[part])

    samples, begin, evaluations = np.empty_like(start), 0, 0
    for draws in crew("sampling", fill, flow, parts(), -(-total // rows)):
        end = begin + draws.samples.shape[0]
        samples[begin:end], begin = draws.samples, end
        evaluations = draws.evaluations
    return Draws(samples, evaluations)


def told(task: Task, crew: Crew) -> Task:
    """The same trajectories, with an empty part after each evaluation.

    For samplers that are done in one piece, here: so whoever watches the parts hears
    of them meanwhile, and can stop them.
    """

    def denoise(x: npt.NDArray[Any], s: float) -> npt.NDArray[Any]:
        means = task.denoise(x, s)
        list(crew("solving", _nothing, None, [None], 1))
        return means

    return replace(task, denoise=denoise)


def _nothing(common: None, part: None) -> None:
    """What an empty part does."""


def fill(flow: Flow, part: Rows) -> Draws:
    """The trajectories of one part, a few batches at a time."""
    together = flow.batch * _batches_together(flow, flow.batch * part.start.shape[1])
    denoise = flow.denoiser()
    samples, evaluations = np.empty_like(part.start), 0
    for begin in range(0, part.start.shape[0], together):
        here = slice(begin, begin + together)
        number = part.first + begin // flow.batch
        start = _batched(part.start[here], flow.batch)
        task = flow.task(denoise, start, part.latents[here], number)
        with np.errstate(over="ignore", invalid="ignore"):  # threads have their own
            draws = SAMPLERS[flow.sampler](task)
        _unbatch(draws.samples, samples[here])
        evaluations = draws.evaluations
    return Draws(samples, evaluations)


def _batched(points: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """Points in batches, coordinates one after the other, ``(b, rows, d)``.

    The last batch is filled up with its last point: products of fewer rows would cost
    places of their own.
    """
    count, dimension = points.shape
    whole = count // rows
    across = np.empty((math.ceil(count / rows), dimension, rows), points.dtype)
    batches = across.swapaxes(1, 2)
    batches[:whole] = points[: whole * rows].reshape(whole, rows, dimension)
    if whole < len(batches):
        left = count - whole * rows
        batches[whole, :left] = points[whole * rows :]
        batches[whole, left:] = points[-1]
    return batches


def _unbatch(batches: npt.NDArray[Any], into: npt.NDArray[Any]) -> None:
    """Batches as points, without what the last was filled up with."""
    count, rows = into.shape[0], batches.shape[1]
    whole = count // rows
    into[: whole * rows].reshape(batches[:whole].shape)[...] = batches[:whole]
    if whole < len(batches):
        into[whole * rows :] = batches[whole, : count - whole * rows]


def _batches_together(flow: Flow, numbers: int) -> int:
    """How many batches a sampler is given at once, each of so many coordinates.

    Whatever is not a product is then one call for all of them. A sampler that draws
    has a stream for each batch, and is given them one by one.
    """
    if flow.coefficients is None:
        return 1
    many = max(1, STEP_NUMBERS // numbers)
    return many - many % TOGETHER if many > TOGETHER else many
