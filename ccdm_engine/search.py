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
Indices = npt.NDArray[np.intp]

# Candidate bandwidths of the states, in units of their spread.
STATE_BANDWIDTHS = (0.08, 0.14, 0.24, 0.4, 0.6, 1.0)
# Places among them of those that are tried first; of candidates that move the members
# the widest, for in many variables all others are far behind it.
FIRST, FIRST_OF_SHIFTS = (2, 4), (2, 5)
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
    for batch in _batches(family):
        field = _Field.of(batch, options)
        better: dict[int, Scored] = {}
        for scored in field.finished(best):
            tier = scored.candidate.tier
            known = better.get(tier) or best.get(tier)
            if known is None or scored.mean > known.mean:
                better[tier] = scored
        best |= {tier: scored.settled() for tier, scored in better.items()}
        # In many variables each array counts: none is kept while others are made.
        del batch, field, scored, better, known
    return best


def _batches(family: Iterator[Candidate]) -> Iterator[list[Candidate]]:
    """Candidates of a kind, as many as are worth scoring at once; shifts first.

    All share the number of state bandwidths and the kind of frame.
    """
    waiting: dict[tuple[bool, str], list[Candidate]] = {}
    for candidate in family:
        kind = candidate.width is None, candidate.prior.kind
        batch = waiting.setdefault(kind, [])
        # Those that others are held against come first.
        batch.insert(0 if candidate.is_shift else len(batch), candidate)
        size = max(
            len(FIRST) * candidate.near.among.size, candidate.regression.residuals.size
        )
        if (len(batch) + 1) * size > AT_A_TIME:
            del batch, candidate
            yield waiting.pop(kind)
    yield from waiting.values()


@dataclass(frozen=True, slots=True)
class _Field:
    """A batch of B candidates, R times with and without shrinkage, to be scored."""

    batch: Sequence[Candidate]
    frames: Frame
    points: Array  # (B, J, d)
    centres: Array  # (B, N, d)
    log_weights: Real  # (B, J, N)
    widths: Array  # (B, H)
    constant: Array  # (B, 1, 1)
    places: Indices  # which candidate, (R,)
    shrink: Mask  # whether its centres are shrunk, (R,)

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
        rows = [
            (place, shrink)
            for place, item in enumerate(batch)
            for shrink in shrinkages(item, options)
        ]
        places, shrink = zip(*rows, strict=True)
        return cls(
            batch,
            frames,
            points,
            centres,
            np.broadcast_to(log_weights, (len(batch), *log_weights.shape[1:])),
            np.array([state_bandwidths(item, options) for item in batch]),
            constant[:, :, None],
            np.array(places),
            np.array(shrink),
        )

    def finished(self, best: dict[int, Scored]) -> Iterator[Scored]:
        """The candidates at their best bandwidths, but for those far behind."""
        count, total = self.widths.shape[1], self.places.size
        scores = np.full((total, count, self.points.shape[1]), -np.inf)
        rows, columns = np.arange(total), np.array([range(count)] * total)
        if count == len(STATE_BANDWIDTHS):
            shifts = [self.batch[place].is_shift for place in self.places.tolist()]
            columns = np.array([FIRST_OF_SHIFTS if it else FIRST for it in shifts])
        scores[rows[:, None], columns] = self._scores(rows, columns)
        means = np.mean(scores, axis=2)
        if count > 1:
            self._search(scores, means, best)
        for row, column in enumerate(np.argmax(means, axis=1).tolist()):
            place = int(self.places[row])
            yield Scored(
                self.batch[place],
                self.frames,
                place,
                float(self.widths[place, column]),
                bool(self.shrink[row]),
                scores[row, column],
                float(means[row, column]),
            )

    def _search(self, scores: Array, means: Array, best: dict[int, Scored]) -> None:
        """Try the neighbours of the best bandwidths until these lie between others.

        Args:
            scores: of those tried, ``(R, H, J)``; filled in.
            means: of them over the members, ``(R, H)``; filled in.
            best: what is known of other candidates.
        """
        total, count = means.shape
        near = self._in_sight(means.max(axis=1).tolist(), best)
        while True:
            steps = np.argmax(means, axis=1)[:, None] + (-1, 1)
            steps = np.minimum(np.maximum(steps, 0), count - 1)
            untried = np.isinf(means[np.arange(total)[:, None], steps])
            rows = np.flatnonzero(near & untried.any(axis=1))
            if rows.size == 0:
                return
            columns = steps[rows]
            found = self._scores(rows, columns)
            scores[rows[:, None], columns] = found
            means[rows[:, None], columns] = np.mean(found, axis=2)

    def _scores(self, rows: Indices, columns: Indices) -> Array:
        """Scores of some rows at some bandwidths each, ``(r, C, J)``."""
        places = self.places[rows]
        some = self._taken(places)
        found = held_out_scores(
            self.points[some],
            self.centres[some],
            self.log_weights[some],
            self.widths[places[:, None], columns],
            shrink=self.shrink[rows],
            dimension=self.frames.origin.shape[-1],
        )
        found += self.constant[some]
        return found

    def _taken(self, places: Indices) -> Indices | slice:
        """These candidates; without copies where it is all of them or but one."""
        if np.array_equal(places, np.arange(len(self.batch))):
            return slice(None)
        first = int(places[0])
        return slice(first, first + 1) if (places == first).all() else places

    def _in_sight(self, means: Sequence[float], best: dict[int, Scored]) -> Mask:
        """Which are not far behind the best of their tier or of the plainest, (R,)."""
        tiers = [self.batch[place].tier for place in self.places.tolist()]
        top = {tier: scored.mean for tier, scored in best.items()}
        for tier, mean in zip(tiers, means, strict=True):
            top[tier] = max(mean, top.get(tier, -np.inf))
        plain = top[min(top)]
        least = [max(plain, top[tier]) - FAR_BEHIND for tier in tiers]
        return np.array(means) >= least


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
    refitted = np.array([_is_refitted(candidate, options) for candidate in batch])
    if not refitted.any():
        return stacked(priors)
    weights = [candidate.near.weights(candidate.bandwidth) for candidate in batch]
    effective = np.array([item.effective for item in weights])
    trust = effective / (effective + priors[0].origin.size + 1)
    return fit_weighted(
        _stacked([candidate.regression.residuals for candidate in batch]),
        np.exp([item.given_observation for item in weights]),
        priors,
        np.where(refitted, trust, 0.0),
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
