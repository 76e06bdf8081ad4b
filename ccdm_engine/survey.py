"""What has to be known of many state variables before any of them is updated.

Two kinds of parts, each over one block of variables. A survey tells which members ran,
how many variables differ between them, and a digest by which members that are copies
of each other are known. A search tells, for each measurement near the block, the
variable most correlated with what is left to explain (:func:`.noise.explained`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ccdm_engine.localization import Localization
from ccdm_engine.noise import standardized
from ccdm_engine.normalization import exponents_of
from ccdm_engine.pairs import LARGEST_VALUE

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class States(Protocol):
    """Forecast states that are read by the block, wherever they lie.

    Attributes:
        shape: ``(N, dx)``.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    def read(self, columns: slice) -> Array:
        """The block, float64 ``(N, b)``."""
        ...


class Held(NamedTuple):
    """A block of states that are in memory, as a source of its own."""

    states: Array

    def read(self, columns: slice) -> Array:
        """The block itself."""
        return self.states


class Block(NamedTuple):
    """The states of one part.

    Attributes:
        columns: which of the caller's variables.
        source: where they are read.
        places: their coordinates, ``(b, k)``.
    """

    columns: slice
    source: Held | States
    places: Array

    def states(self, used: Indices) -> Array:
        """The members that take part, ``(n, b)``."""
        # How an array lies in memory decides the last bits of its sums.
        found = np.ascontiguousarray(self.source.read(self.columns))
        return found if used.size == found.shape[0] else found[used]


class Seen(NamedTuple):
    """What a survey of one block found.

    Attributes:
        usable: members without NaN, infinity or excess in the block, ``(N,)``.
        first_bad: first unusable value by member: ``(member, column, value)``.
        varied: variables that differ between the members that take part.
        digests: of the block in each member.
    """

    usable: npt.NDArray[np.bool_]
    first_bad: tuple[int, int, float] | None
    varied: int
    digests: tuple[bytes, ...]


def survey(used: Indices, block: Block) -> Seen:
    """Look at one block.

    Args:
        used: members that take part as far as is known.
        block: of states.
    """
    whole = np.ascontiguousarray(block.source.read(block.columns))
    fine = np.abs(whole) <= LARGEST_VALUE
    usable = np.asarray(fine.all(axis=1))
    first = None
    if not usable.all():
        member, column = (int(i) for i in np.argwhere(~fine)[0])
        value = float(whole[member, column])
        first = (member, block.columns.start + column, value)
    part = whole if used.size == whole.shape[0] else whole[used]
    varied = int(np.count_nonzero(np.min(part, axis=0) < np.max(part, axis=0)))
    rows = np.ascontiguousarray(whole + 0.0)  # of -0.0 and 0.0 one
    digests = tuple(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
    return Seen(usable, first, varied, digests)


class Overview(NamedTuple):
    """All surveys together.

    Attributes:
        usable: members that ran, ``(N,)``.
        first_bad: first unusable value by member, then by variable.
        varied: variables that differ between the members that take part.
        copies: a number per member that identical members share, ``(N,)``.
    """

    usable: npt.NDArray[np.bool_]
    first_bad: tuple[int, int, float] | None
    varied: int
    copies: Indices


def overview(surveys: Iterable[Seen], members: int) -> Overview:
    """Put the surveys together, one after the other."""
    usable = np.ones(members, dtype=np.bool_)
    first: tuple[int, int, float] | None = None
    varied, hashes = 0, [hashlib.blake2b(digest_size=16) for _ in range(members)]
    for seen in surveys:
        usable &= seen.usable
        if seen.first_bad and (first is None or seen.first_bad[:2] < first[:2]):
            first = seen.first_bad
        varied += seen.varied
        for known, digest in zip(hashes, seen.digests, strict=True):
            known.update(digest)
    found = np.array([known.hexdigest() for known in hashes])
    return Overview(usable, first, varied, np.unique(found, return_inverse=True)[1])


@dataclass(frozen=True, slots=True)
class Question:
    """What a search looks for.

    Attributes:
        used: members that take part, ``(n,)``.
        residual: of the open measurements, ``(n, m)``.
        localization: coordinates of the open measurements and radius.
    """

    used: Indices
    residual: Array
    localization: Localization


class Answer(NamedTuple):
    """The strongest variable of a block for each measurement near it.

    Attributes:
        near: which of the open measurements, ``(k,)``.
        candidates: how many variables of the block compete, ``(k,)``.
        strength: of the strongest, ``(k,)``.
        values: its standardized values, ``(n, k)``.
    """

    near: Indices
    candidates: Array
    strength: Array
    values: Array


def search(question: Question, block: Block) -> Answer:
    """Look through one block."""
    local = question.localization.among(block.places)
    near = local.near_measurements()
    states = block.states(question.used)
    kept = np.min(states, axis=0) < np.max(states, axis=0)
    if near.size == 0 or not kept.any():
        nothing = np.empty((question.used.size, 0))
        return Answer(near[:0], np.empty(0), np.empty(0), nothing)
    states = states[:, kept]
    z = standardized(np.ldexp(states, -exponents_of(states)))
    taper = local.taper_xy(near, np.flatnonzero(kept))
    strength = np.abs(z.T @ question.residual[:, near]) * taper**2
    best = np.argmax(strength, axis=0)
    most = strength[best, np.arange(near.size)]
    return Answer(near, taper.sum(axis=0), most, z[:, best])


def strongest(answers: Iterator[Answer], members: int, count: int) -> Answer:
    """Of all blocks the strongest, in the order of the blocks where two are alike."""
    total, most = np.zeros(count), np.full(count, -1.0)
    values = np.zeros((members, count))
    for answer in answers:
        total[answer.near] += answer.candidates
        better = answer.strength > most[answer.near]
        where = answer.near[better]
        most[where] = answer.strength[better]
        values[:, where] = answer.values[:, better]
    return Answer(np.arange(count), total, most, values)
