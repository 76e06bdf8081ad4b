"""What worker processes and threads do: one analysis, within its memory."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Container
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from service.compute.engine import engine
from service.compute.progress import Progress, Writer
from service.errors import (
    InvalidInputError,
    InvalidOptionsError,
    NumericalBreakdownError,
    ServiceError,
)
from service.manifest import manifest_of
from service.media.errors import FieldError, TooLargeError
from service.places import Place

Array = npt.NDArray[np.float64]
T = TypeVar("T")
WORKER_BASE_BYTES = 2**29
WATCH_SECONDS = 1.0
# Who answers comes before who computes.
WORKER_NICENESS = 5
ALONE = Place("processes")


class Spent(NamedTuple):
    """Seconds of one analysis where it was done.

    Attributes:
        whole: with its options, its facts and its manifest.
        engine: of the engine's ``assimilate`` alone.
    """

    whole: float
    engine: float


def run_job(
    states: Array,
    simulated: Array,
    observation: Array,
    options: dict[str, Any],
    seed: int | None,
    place: Place = ALONE,
    progress: Progress | str | None = None,
    manifest: bool = True,
) -> tuple[Array, dict[str, Any], Spent]:
    """One analysis, in whichever thread or process this is.

    Args:
        states: ``(N, dx)``.
        simulated: ``(N, dy)``.
        observation: ``(dy,)``.
        options: as the engine takes them.
        seed: of the analysis.
        place: where its parts are done.
        progress: told about them: a function, or the file that one writes to.
        manifest: whether its facts are to say what it was made of.
    """
    loaded = engine()
    from service.compute.crews import crew  # brings the engine along

    start = time.perf_counter()
    arrays = (states, simulated, observation)
    tell = progress if callable(progress) else Writer(progress)
    try:
        resolved = loaded.AnalysisOptions.from_dict(options)
        with crew(place, tell) as doing:
            began = time.perf_counter()
            analysis = loaded.assimilate(
                *arrays, options=resolved, seed=seed, crew=doing
            )
            inside = time.perf_counter() - began
    except loaded.CcdmError as error:
        raise translated(error) from None
    finally:
        if isinstance(tell, Writer):
            tell.close()
    samples, facts = analysis.samples, analysis.diagnostics.to_dict()
    if manifest:
        chosen, seed = resolved.to_dict(), facts["seed"]
        facts["manifest"] = manifest_of(arrays, chosen, seed, samples)
    return samples, facts, Spent(time.perf_counter() - start, inside)


@cache
def warm_up(memory_bytes: int) -> None:
    """Make a worker process ready, once."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    os.nice(WORKER_NICENESS)
    engine()
    # What was estimated too low ends here, and not by taking the machine down.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = memory_bytes + WORKER_BASE_BYTES
    if most == resource.RLIM_INFINITY or allowed < most:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))


def _end_with(parent: int) -> None:
    """End this process when the service was killed: nobody waits for its result."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def worker_job(memory_bytes: int, function: Callable[..., T], *args: Any) -> T:
    """Something in a worker process, within its memory."""
    warm_up(memory_bytes)
    try:
        return function(*args)
    except MemoryError:
        raise too_much_memory(None, memory_bytes) from None


def too_much_memory(needed: int | None, limit: int) -> TooLargeError:
    about = f"about {needed / 2**30:.1f} GiB" if needed else "more"
    return TooLargeError(
        f"The analysis needs {about} of memory; {limit / 2**30:g} GiB are allowed. "
        "Fewer samples, states or measurements need less.",
        "max_memory_bytes",
        limit,
    )


def understood_options(options: dict[str, Any]) -> dict[str, Any]:
    loaded = engine()
    try:
        understood = loaded.AnalysisOptions.from_dict(options).to_dict()
    except loaded.CcdmError as error:
        raise translated(error) from None
    return dict(understood)


def translated(error: Any, beside: Container[str] = ()) -> ServiceError:
    """An error of the engine as one of the service, with a pointer.

    Args:
        error: of the engine.
        beside: options that stand beside the others in the request.
    """
    loaded = engine()
    place = "/" + error.argument.replace(".", "/")
    place += "".join(f"/{step}" for step in error.index or ())
    message = f"got {error.got}, wanted {error.wanted}"
    kind: type[ServiceError] = InvalidInputError
    if isinstance(error, loaded.OptionsError):
        kind = InvalidOptionsError
        if error.argument == "options":
            place = ""
        if error.argument.partition(".")[0] not in beside:
            place = "/options" + place
    elif isinstance(error, loaded.NumericalError):
        kind = NumericalBreakdownError
    return kind(str(error), FieldError(place, error.code, message, error.remedy))
