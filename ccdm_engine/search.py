"""Held-out scores of all candidates, with little work for those that cannot win.

The score has one maximum over the state bandwidths, or nearly so: two of them are
tried first, and then the neighbours of the best until it lies between two others.
Candidates that lack more than :data:`FAR_BEHIND` nats per member by then are left where
they are. Candidates of a kind are scored together, as many as fit the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ccdm_engine.bandwidth import held_out_scores, silverman
from ccdm_engine.blocks import blocks
from ccdm_engine.candidate import Candidate
from ccdm_engine.neighbourhood import AT_A_TIME
from ccdm_engine.options import AnalysisOptions
from ccdm_engine.scaling import Frame, fit_weighted, stacked

Array = npt.NDArray[np.float64]
Real = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

# Candidate bandwidths of the states, in units of their spread.
STATE_BANDWIDTHS = (0.08, 0.14, 0.24, 0.4, 0.6, 1.0)
# Places among them of those that are tried first.
FIRST = (2, 4)
# Three more bandwidths hardly ever gain half as much.
FAR_BEHIND = 1.0
# Variables worked on at a time, where there are more than members.
BLOCK = 1024


class Scored(NamedTuple):
    """A candidate at its best state bandwidth.

    Attributes:
        candidate: what it is.
        frames, place: kernel coordinates, one of a stack.
        width, shrink: of the state kernels.
        scores: held-out log densities, ``(J,)``; ``mean`` their mean.
    """

    candidate: Candidate
    frames: Frame
    place: int
    width: float
    shrink: bool
    scores: Array
    mean: float

    def settled(self) -> Scored:
        """The same without what only choosing needs."""
        return self._replace(candidate=self.candidate.settled())

    @property
    def frame(self) -> Frame:
        """Kernel coordinates of the residuals."""
        return self.frames.at(self.place)


def best_of_tiers(
    family: Iterator[Candidate], options: AnalysisOptions
) -> dict[int, Scored]:
    """The best of each tier."""
    best: dict[int, Scored] = {}
    for batch in _batches(family, options):
        field = _Field.of(batch, options)
        for shrink in shrinkages(batch[0], options):
            for scored in field.finished(shrink, best):
                tier = scored.candidate.tier
                if tier not in best or scored.mean > best[tier].mean:
                    best[tier] = scored.settled()
        # In many variables each array counts: none is kept while others are made.
        del batch, field, scored
    return best


def _batches(
    family: Iterator[Candidate], options: AnalysisOptions
) -> Iterator[list[Candidate]]:
    """Candidates of the same kind, as many as are worth scoring at once; shifts first.

    All share the number of state bandwidths, the shrinkages and the kind of frame.
    """
    waiting: dict[tuple[bool, bool, int | None], list[Candidate]] = {}
    shift = (False, False, None)
    for candidate in family:
        kind = (
            _is_refitted(candidate, options),
            candidate.regression.name == "none",
            None if candidate.width is None else candidate.tier,
        )
        batch = waiting.setdefault(kind, [])
        batch.append(candidate)
        size = max(
            len(FIRST) * candidate.near.among.size, candidate.regression.residuals.size
        )
        if (len(batch) + 1) * size > AT_A_TIME:
            del batch, candidate
            if shift in waiting:
                yield waiting.pop(shift)
            if kind in waiting:
                yield waiting.pop(kind)
    if shift in waiting:
        yield waiting.pop(shift)
    yield from waiting.values()


@dataclass(frozen=True, slots=True)
class _Field:
    """A batch of B candidates and what their scores are made from."""

    batch: Sequence[Candidate]
    frames: Frame
    points: Array  # (B, J, d)
    centres: Array  # (B, N, d)
    log_weights: Real  # (B, J, N)
    widths: Array  # (B, H)
    constant: Array  # (B, 1, 1)

    @classmethod
    def of(cls, batch: Sequence[Candidate], options: AnalysisOptions) -> _Field:
        """Kernel coordinates, and the held-out members and all others in them."""
        frames = fitted_frames(batch, options)
        points, centres = _in_kernel_coordinates(batch, frames)
        weights = [item.near.weights(item.bandwidth) for item in batch]
        log_weights = _stacked([item.given_member for item in weights])
        # The frame was fitted to the held-out members too; p parameters from n members
        # flatter each member's score by about p / n (Akaike 1974).
        effective = np.array([item.effective for item in weights])
        constant = frames.log_volume - (frames.parameters / effective)[:, None]
        return cls(
            batch,
            frames,
            points,
            centres,
            np.broadcast_to(log_weights, (len(batch), *log_weights.shape[1:])),
            np.array([state_bandwidths(item, options) for item in batch]),
            constant[:, :, None],
        )

    def finished(self, shrink: bool, best: dict[int, Scored]) -> Iterator[Scored]:
        """The candidates at their best bandwidths, but for those far behind."""
        count = self.widths.shape[1]
        first = FIRST if count == len(STATE_BANDWIDTHS) else range(count)
        scores = np.full((*self.widths.shape, self.points.shape[1]), -np.inf)
        rows, columns = np.arange(len(self.batch)), np.array([first] * len(self.batch))
        scores[rows[:, None], columns] = self._scores(rows, columns, shrink)
        means = scores.mean(axis=2)
        near = self._in_sight(means.max(axis=1), best)
        while True:
            steps = np.argmax(means, axis=1)[:, None] + (-1, 1)
            steps = np.clip(steps, 0, count - 1)
            rows = np.flatnonzero(
                near & np.isinf(np.take_along_axis(means, steps, 1)).any(axis=1)
            )
            if rows.size == 0:
                break
            columns = steps[rows]
            found = self._scores(rows, columns, shrink)
            scores[rows[:, None], columns] = found
            means[rows[:, None], columns] = found.mean(axis=2)
        for row, column in enumerate(np.argmax(means, axis=1).tolist()):
            yield Scored(
                self.batch[row],
                self.frames,
                row,
                float(self.widths[row, column]),
                shrink,
                scores[row, column],
                float(means[row, column]),
            )

    def _scores(
        self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], shrink: bool
    ) -> Array:
        """Scores of some candidates at some bandwidths each, ``(R, C, J)``."""
        # All of them in their order need no copies.
        some = slice(None) if rows.size == len(self.batch) else rows
        found = held_out_scores(
            self.points[some],
            self.centres[some],
            self.log_weights[some],
            np.take_along_axis(self.widths[some], columns, 1),
            shrink=shrink,
            dimension=self.frames.origin.shape[-1],
        )
        return found + self.constant[some]

    def _in_sight(self, means: Array, best: dict[int, Scored]) -> Mask:
        """Which are not far behind the best of their tier or of the plainest, (B,)."""
        tiers = [item.tier for item in self.batch]
        top = {tier: scored.mean for tier, scored in best.items()}
        for tier, mean in zip(tiers, means.tolist(), strict=True):
            top[tier] = max(mean, top.get(tier, -np.inf))
        plain = top[min(top)]
        return np.array(
            [
                mean >= max(plain, top[tier]) - FAR_BEHIND
                for tier, mean in zip(tiers, means.tolist(), strict=True)
            ]
        )


def _in_kernel_coordinates(
    batch: Sequence[Candidate], frames: Frame
) -> tuple[Array, Array]:
    """Held-out residuals ``(B, J, d)`` and residuals ``(B, N, d)``."""
    members, dimension = batch[0].regression.residuals.shape
    held_out = batch[0].near.held_out
    if dimension > members + held_out.size:
        return _in_their_span(batch, frames)
    regressions = {id(item.regression): item.regression for item in batch}
    left = {
        name: regression.held_out_residuals[held_out]
        for name, regression in regressions.items()
    }
    points = _stacked([left[id(item.regression)] for item in batch])
    centres = _stacked([item.regression.residuals for item in batch])
    return frames.into(points), frames.into(centres)


def _in_their_span(batch: Sequence[Candidate], frames: Frame) -> tuple[Array, Array]:
    """Held-out residuals and residuals by coordinates in the space they span.

    Scores need nothing but distances, and these are the same there: with ``G`` the
    points by their inner products, ``G = V diag(l) V^T``, the rows of ``V sqrt(l)``
    are as far from each other as the points. Blocks of variables, no further copies.
    """
    held_out, found = batch[0].near.held_out, []
    for place, item in enumerate(batch):
        frame = frames.at(place)
        products = np.zeros((held_out.size + item.regression.residuals.shape[0],) * 2)
        for block in blocks(frame.origin.size, BLOCK):
            both = np.vstack(
                [
                    item.regression.held_out(held_out, block),
                    item.regression.residuals[:, block],
                ]
            )
            both -= frame.origin[block]
            both /= frame.deviation[block]
            products += both @ both.T
        values, vectors = np.linalg.eigh(products)
        found.append(vectors * np.sqrt(np.maximum(values, 0.0)))
    coordinates = np.stack(found)
    return coordinates[:, : held_out.size], coordinates[:, held_out.size :]


def _stacked(arrays: Sequence[Real]) -> Real:
    """Arrays along a new first axis; one that all share is not copied."""
    if all(array is arrays[0] for array in arrays):
        return arrays[0][None]
    return np.stack(arrays)


def _is_refitted(candidate: Candidate, options: AnalysisOptions) -> bool:
    """Whether kernel coordinates follow the spread of the weighted members.

    With automatic state bandwidths they do, as far as there are enough of them; a
    bandwidth given as a number is in units of the whole ensemble's spread.
    """
    return bool(
        candidate.width is None
        and isinstance(options.state_bandwidth, str)
        and np.isfinite(candidate.bandwidth)
        and candidate.prior.kind != "none"
    )


def fitted_frames(batch: Sequence[Candidate], options: AnalysisOptions) -> Frame:
    """Kernel coordinates of the residuals, stacked."""
    priors = [candidate.prior for candidate in batch]
    if not _is_refitted(batch[0], options):
        return stacked(priors)
    weights = [candidate.near.weights(candidate.bandwidth) for candidate in batch]
    effective = np.array([item.effective for item in weights])
    return fit_weighted(
        _stacked([candidate.regression.residuals for candidate in batch]),
        np.exp([item.given_observation for item in weights]),
        priors,
        effective / (effective + priors[0].origin.size + 1),
    )


def state_bandwidths(candidate: Candidate, options: AnalysisOptions) -> Sequence[float]:
    """Candidates for ``h_x``, as multiples of the centres' spread in the frame."""
    wanted = options.state_bandwidth
    if candidate.width is not None:
        return (candidate.width,)
    if wanted == "auto":
        spread = _spread(candidate)
        return tuple(spread * width for width in STATE_BANDWIDTHS)
    if wanted == "silverman":
        return reference_bandwidth(candidate)
    return (float(wanted),)


def reference_bandwidth(candidate: Candidate) -> Sequence[float]:
    """The normal-reference rule at the effective sample size."""
    effective = candidate.near.weights(candidate.bandwidth).effective
    rule = silverman(effective, candidate.prior.origin.size)
    return (_spread(candidate) * rule,)


def _spread(candidate: Candidate) -> float:
    """Spread of the residuals in the frame: 1, except in the caller's units."""
    if candidate.prior.kind != "none":
        return 1.0
    variance = np.var(candidate.regression.residuals, axis=0, ddof=1)
    return float(np.sqrt(np.mean(variance))) or 1.0


def shrinkages(candidate: Candidate, options: AnalysisOptions) -> Sequence[bool]:
    """Whether kernel centres may be drawn together."""
    if candidate.width is not None:
        # All centres as one, or where they stand already.
        return (candidate.is_shift,)
    if options.shrink != "auto":
        return (bool(options.shrink),)
    if options.scaling == "none":
        # Shrinkage is defined in coordinates of unit spread.
        return (False,)
    # A regression promises residuals of the right spread: kernels must not add to it
    # at every cycle. Where kernels alone stand for the modes they may be wider.
    return (True, False) if candidate.regression.name == "none" else (True,)
