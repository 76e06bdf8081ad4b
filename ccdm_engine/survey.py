"""What has to be known of many state variables before any of them is updated.

Two kinds of parts, each over one block of variables. A survey tells which members ran,
how many variables differ between them, and a digest by which members that are copies
of each other are known. A gathering brings together the few variables near each
measurement, of which :mod:`.local_noise` makes out what it depends on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

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


class Wanted(NamedTuple):
    """Variables that are asked for by number, in rising order, ``(k,)``."""

    used: Indices
    columns: Indices


class Gathered(NamedTuple):
    """Some variables, in units near 1: ``(n, k)``, and the powers of two, ``(k,)``."""

    values: Array
    powers: Indices


def gather(wanted: Wanted, block: Block) -> Gathered:
    """Those of the variables that are in one block; constant ones as 0."""
    first, last = np.searchsorted(
        wanted.columns, [block.columns.start, block.columns.stop]
    )
    if first == last:
        return Gathered(np.empty((wanted.used.size, 0)), np.empty(0, dtype=np.intp))
    here = wanted.columns[first:last] - block.columns.start
    states = block.states(wanted.used)[:, here]
    varied = np.min(states, axis=0) < np.max(states, axis=0)
    powers = np.where(varied, exponents_of(states), 0).astype(np.intp)
    return Gathered(np.where(varied, np.ldexp(states, -powers), 0.0), powers)
