"""One analysis of files as it was asked for, and what became of it.

Both may be sent to a process that sees the same folders: numbers that lie in files are
references until they are read, where the work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.stored.beneath import Beneath, Facts
from service.stored.sources import Source

Array = npt.NDArray[np.float64]
PLACES = ("state_coordinates", "measurement_coordinates")


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What is read, how, and where the result goes.

    Attributes:
        states: forecast states, ``(N, dx)``.
        simulated: ``(N, dy)``.
        observation: ``dy`` numbers.
        localization: coordinates, radius and period.
        options: as the engine takes them, without the localization.
        seed: ``None`` draws one.
        result: the file.
        side: what it is called until it is whole.
        variable: its name there.
        overwrite: whether a file that is there is replaced.
        again: whether one with the same bytes is the result.
        most_bytes: of memory that it may need.
    """

    states: Source
    simulated: Source | Array
    observation: Source | Array
    localization: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int | None
    result: Beneath
    side: Beneath
    variable: str | None = None
    overwrite: bool = False
    again: bool = False
    most_bytes: int | None = None

    def inputs(self) -> dict[str, Facts]:
        """What tells the files that are read, by the pointers of their references."""
        return {source.pointer: source.facts for source in self.sources()}

    def sources(self) -> list[Source]:
        """The files that are read."""
        given = (self.states, self.simulated, self.observation)
        places = (self.localization[name] for name in PLACES)
        return [it for it in (*given, *places) if not isinstance(it, np.ndarray)]

    def read(self) -> StoredJob:
        """The same with all but the states in memory.

        Raises:
            InvalidArrayError: for what cannot be read any more.
        """
        for source in self.sources():
            source.check()
        places = {name: whole(self.localization[name]) for name in PLACES}
        return replace(
            self,
            simulated=whole(self.simulated),
            observation=whole(self.observation).reshape(-1),
            localization={**self.localization, **places},
        )


class StoredOutcome(NamedTuple):
    """What became of it.

    Attributes:
        shape: of the result.
        digest: SHA-256 of its blocks.
        diagnostics: as of any analysis.
        seconds: spent computing.
        inputs: the files that were read, by the pointers of their references.
    """

    shape: tuple[int, int]
    digest: str
    diagnostics: dict[str, Any]
    seconds: float
    inputs: dict[str, Facts]


def whole(array: Source | Array) -> Array:
    """All numbers of an array, here or in a file; likewise."""
    return array if isinstance(array, np.ndarray) else array.whole()
