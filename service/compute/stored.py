"""One localized analysis of files, block by block."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.compute.engine import engine
from service.compute.progress import Progress, Writer
from service.compute.work import ALONE, translated
from service.places import Place
from service.stored.sources import Source
from service.stored.targets import Target

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StoredJob:
    """What is read, how, and where the result goes.

    Attributes:
        states: forecast states, ``(N, dx)``.
        simulated: ``(N, dy)``.
        observation: ``(dy,)``.
        localization: coordinates as arrays, radius and period.
        options: as the engine takes them, without the localization.
        seed: ``None`` draws one.
        result: the file.
        side: what it is called until it is whole.
        variable: its name there.
        overwrite: whether a file that is there is replaced.
        again: whether one with the same bytes is the result.
    """

    states: Source
    simulated: Array
    observation: Array
    localization: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int | None
    result: Path
    side: Path
    variable: str | None = None
    overwrite: bool = False
    again: bool = False


class StoredOutcome(NamedTuple):
    """What became of it.

    Attributes:
        shape: of the result.
        digest: SHA-256 of its blocks.
        diagnostics: as of any analysis.
        seconds: spent computing.
    """

    shape: tuple[int, int]
    digest: str
    diagnostics: dict[str, Any]
    seconds: float


def run_stored(
    job: StoredJob, place: Place = ALONE, progress: Progress | str | None = None
) -> StoredOutcome:
    """The analysis, in whichever thread or process this is.

    Args:
        job: what is read, how, and where the result goes.
        place: where its blocks are done.
        progress: told about them: a function, or the file that one writes to.
    """
    loaded = engine()
    from ccdm_engine.assimilate import checked_seed
    from ccdm_engine.blockwise import assimilate_blocks
    from service.compute.crews import crew  # brings the engine along

    start = time.perf_counter()
    tell = progress if callable(progress) else Writer(progress)
    try:
        options = loaded.AnalysisOptions.from_dict(
            {**job.options, "localization": loaded.Localization(**job.localization)}
        )
        target = Target(
            *(job.result, job.side, job.states.shape[1]),
            variable=job.variable,
            overwrite=job.overwrite,
            again=job.again,
        )
        with crew(place, tell) as doing, target:
            facts = assimilate_blocks(
                job.states,  # type: ignore[arg-type]
                job.simulated,
                job.observation,
                target.put,
                options=options,
                seed=checked_seed(job.seed),
                crew=doing,
            )
    except loaded.CcdmError as error:
        raise translated(error) from None
    finally:
        if isinstance(tell, Writer):
            tell.close()
    seconds = time.perf_counter() - start
    return StoredOutcome(target.shape, target.digest, facts.to_dict(), seconds)
