"""One localized analysis of files, block by block."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from service.compute.engine import engine
from service.compute.estimates import PARTS_ALIVE, estimated_stored_bytes
from service.compute.progress import Progress, Writer
from service.compute.work import ALONE, too_much_memory, translated
from service.places import Place
from service.stored.jobs import PLACES, StoredJob, StoredOutcome
from service.stored.sources import Source, check_unchanged
from service.stored.targets import Target

Array = npt.NDArray[np.float64]
# What stands beside the options in a request.
_BESIDE = ("localization",)


def check_stored(job: StoredJob, place: Place = ALONE) -> None:
    """Refuse what no file can mend, told by options and shapes alone.

    Raises:
        InvalidOptionsError: for options that do not suit states by the block.
        TooLargeError: for what needs too much memory, wherever the places are.
    """
    loaded = engine()
    from ccdm_engine.blockwise import localized

    places = {name: _known(job.localization[name]) for name in PLACES}
    try:
        options = loaded.AnalysisOptions.from_dict(
            {
                **job.options,
                "localization": loaded.Localization(**{**job.localization, **places}),
            }
        )
        members, dimension = job.states.shape
        localized(members, dimension, options)
    except loaded.CcdmError as error:
        raise translated(error, _BESIDE) from None
    shape = job.localization["state_coordinates"].shape
    local = {"state_coordinates": np.broadcast_to(0.0, shape)}
    _check_bytes(job, place, {**job.options, "localization": local}, least=True)


def _known(places: Source | Array) -> Array:
    """Of places that are not read yet, on how many axes they lie."""
    if isinstance(places, np.ndarray):
        return places
    return np.empty((0, *places.shape[1:]))


def _check_bytes(
    job: StoredJob, place: Place, options: dict[str, Any], *, least: bool
) -> None:
    shape, simulated = job.states.shape, np.broadcast_to(0.0, job.simulated.shape)
    alive = max(PARTS_ALIVE, place.at_once + 1)
    needed = estimated_stored_bytes(shape, simulated, options, least=least, alive=alive)
    needed += job.states.chunk_bytes
    if job.most_bytes is not None and needed > job.most_bytes:
        raise too_much_memory(needed, job.most_bytes)


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

    start, inputs = time.perf_counter(), job.inputs()
    tell = progress if callable(progress) else Writer(progress)
    try:
        # Here, where it has its turn and its memory, and not before.
        job = job.read()
        written = {**job.options, "localization": job.localization}
        _check_bytes(job, place, written, least=False)
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
                job.simulated,  # type: ignore[arg-type]
                job.observation,  # type: ignore[arg-type]
                target.put,
                options=options,
                seed=checked_seed(job.seed),
                crew=doing,
            )
            check_unchanged(job.states)
    except loaded.CcdmError as error:
        raise translated(error, _BESIDE) from None
    finally:
        if isinstance(tell, Writer):
            tell.close()
    seconds = time.perf_counter() - start
    about = facts.to_dict()
    return StoredOutcome(target.shape, target.digest, about, seconds, inputs)
