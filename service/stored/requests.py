"""What is asked of files, held against locations and limits; now, or again as a job.

Nothing of the request but the names of its files is known to a job, which may run on
another machine, later: files are opened, and shapes checked, where the work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.errors import InvalidParametersError
from service.media.errors import FieldError
from service.media.numbers import array_from_json
from service.schemas.stored import Reference, StoredAnalysisRequest
from service.sessions.requests import fresh_seed
from service.stored.beneath import Beneath
from service.stored.jobs import StoredJob, StoredOutcome
from service.stored.locations import Location, file_in, parse
from service.stored.sizes import (
    MEASURED_AT,
    OBSERVATION,
    SIMULATED,
    STATES,
    STATES_AT,
    check_chunks,
    check_shapes,
)
from service.stored.sources import Source, h5py_module, open_source
from service.stored.targets import Attempt, beside, check_variable, clear, sweep
from service.stored.troubles import already_there, in_place, result_error, writing

if TYPE_CHECKING:
    from service.settings import Settings

Document = dict[str, Any]
Array = npt.NDArray[np.float64]
Locations = Mapping[str, Location]


def prepared(
    params: StoredAnalysisRequest,
    settings: Settings,
    inline: Mapping[str, Array] = MappingProxyType({}),
    attempt: Attempt | None = None,
) -> StoredJob:
    """What is asked for, ready to be run; of files, only the heads are read.

    Args:
        params: the request.
        settings: with locations and limits.
        inline: numbers that stand in the place of those in the request, by name.
        attempt: of a job, which may have been run before, to the end: a file that is
            there with the same bytes is then its result.

    Raises:
        InvalidParametersError, InvalidInputError, InvalidArrayError, TooLargeError: for
            what does not fit, with pointers.
    """
    locations = parse(settings.locations)
    states = _source(params.forecast_states, STATES, locations)
    arrays = {
        pointer: _opened(given, pointer, locations)
        for pointer, given in _arrays(params).items()
    }
    for pointer in arrays:
        if _name(pointer) in inline:
            arrays[pointer] = inline[_name(pointer)]
    check_shapes(states, arrays, settings)
    sources = {STATES: states} | {
        pointer: array
        for pointer, array in arrays.items()
        if not isinstance(array, np.ndarray)
    }
    check_chunks(sources, settings.max_memory_bytes)
    options = params.options.chosen() if params.options else {}
    if "localization" in options:
        raise _wrong(
            "/options/localization", "got one here, wanted it beside the options"
        )
    result = _result(params, locations, sources, attempt is not None)
    for before in attempt.earlier() if attempt else ():
        clear(beside(result, before))
    sweep(
        result.path.parent,
        max(settings.deadline_seconds, settings.job_deadline_seconds),
    )
    given = params.localization
    return StoredJob(
        states=states,
        simulated=arrays[SIMULATED],
        observation=arrays[OBSERVATION],
        localization={
            "state_coordinates": arrays[STATES_AT],
            "measurement_coordinates": arrays[MEASURED_AT],
            "radius": given.radius,
            "period": given.period,
        },
        options=options,
        seed=params.seed,
        result=result,
        side=beside(result, attempt),
        variable=params.result.variable,
        overwrite=params.overwrite,
        again=attempt is not None,
        most_bytes=settings.max_memory_bytes,
    )


def kept(params: StoredAnalysisRequest) -> tuple[Document, dict[str, Array]]:
    """A request as a job keeps it: numbers apart, and with its seed drawn.

    Raises:
        InvalidArrayError: for numbers that are none.
    """
    document = params.model_dump(mode="json", exclude_unset=True)
    if params.seed is None:
        # Drawn now: if it has to run again, it comes to the same.
        document["seed"] = fresh_seed()
    numbers = {}
    for pointer, given in _arrays(params).items():
        if not isinstance(given, Reference):
            name = _name(pointer)
            numbers[name] = array_from_json(given, pointer)
            within = document if name in document else document["localization"]
            within[name] = []
    return document, numbers


def told(params: StoredAnalysisRequest, found: StoredOutcome) -> dict[str, Any]:
    """The answer: where the samples are, and what to make of them."""
    return {
        "result": {
            **params.result.model_dump(exclude_none=True),
            "shape": list(found.shape),
            "sha256": found.digest,
        },
        "inputs": {
            pointer: {"bytes": facts.size, "modified": _seconds(facts.modified)}
            for pointer, facts in found.inputs.items()
        },
        "diagnostics": found.diagnostics,
    }


def _arrays(params: StoredAnalysisRequest) -> dict[str, Reference | list[Any]]:
    return {
        SIMULATED: params.simulated_measurements,
        OBSERVATION: params.observation,
        STATES_AT: params.localization.state_coordinates,
        MEASURED_AT: params.localization.measurement_coordinates,
    }


def _seconds(moment: int) -> str:
    """Nanoseconds since 1970 as ``stat --format %.Y`` has them: no float holds them."""
    return f"{moment // 10**9}.{moment % 10**9:09d}"


def _name(pointer: str) -> str:
    return pointer.rpartition("/")[2]


def _result(
    params: StoredAnalysisRequest,
    locations: Locations,
    sources: Mapping[str, Source],
    again: bool,
) -> Beneath:
    """Where the result goes, before any time is spent on it."""
    given = params.result
    file = file_in(locations, given.location, given.path, "/result", write=True)
    for pointer, source in sources.items():
        if file.is_same(source.file):
            raise in_place(pointer)
    if file.path.exists() and not params.overwrite and not again:
        raise already_there()
    if not file.name.endswith(".npy"):
        with writing():
            h5py_module()
        check_variable(given.variable)
    else:
        _check_no_variable(file.name, given.variable, "/result")
    return file


def _source(given: Reference, pointer: str, locations: Locations) -> Source:
    file = file_in(locations, given.location, given.path, pointer)
    _check_no_variable(file.name, given.variable, pointer)
    return open_source(file, given.variable, pointer)


def _check_no_variable(name: str, variable: str | None, pointer: str) -> None:
    """Refuse a name in a file of one nameless array, rather than pass over it."""
    if name.endswith(".npy") and variable is not None:
        raise result_error(
            f"{pointer}/variable",
            "name",
            f"got {variable[:80]!r} for a .npy file, which holds one array without a "
            "name; leave it out",
        )


def _opened(given: Any, pointer: str, locations: Locations) -> Source | Array:
    if isinstance(given, Reference):
        return _source(given, pointer, locations)
    return array_from_json(given, pointer)


def _wrong(pointer: str, message: str) -> InvalidParametersError:
    return InvalidParametersError(
        f"{pointer}: {message}.", FieldError(pointer, "shape", message)
    )
