"""POST /v1/stored-analyses: arrays in files of registered folders, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.compute import StoredJob
from service.errors import InvalidParametersError
from service.limits import while_connected
from service.media.answers import encode_json
from service.media.errors import FieldError
from service.media.numbers import array_from_json
from service.media.types import JSON, negotiate
from service.observability import record
from service.openapi import answer, problems, ref
from service.routers.dependencies import (
    Tenant,
    TheCompute,
    TheSettings,
    Timeout,
    json_body,
)
from service.routers.parameters import check_options_limits, validated
from service.schemas.stored import Reference, StoredAnalysisRequest
from service.settings import Settings
from service.stored.locations import Location, file_in, parse
from service.stored.sizes import (
    MEASURED_AT,
    OBSERVATION,
    SIMULATED,
    STATES_AT,
    check_shapes,
)
from service.stored.sources import Source, h5py_module, open_source
from service.stored.targets import beside, check_variable
from service.stored.troubles import already_there, writing

router = APIRouter(prefix="/v1", tags=["analyses"])
Array = npt.NDArray[np.float64]
Locations = Mapping[str, Location]


@router.post(
    "/stored-analyses",
    summary="Run a localized analysis of files",
    operation_id="create_stored_analysis",
    response_class=Response,
    responses={
        200: answer("StoredAnalysisAnswer", "Where the samples are, and diagnostics."),
        **problems(
            *("invalid-json", "invalid-input", "invalid-options", "invalid-parameters"),
            *("numerical-breakdown", "not-acceptable", "too-large"),
            *("unsupported-media-type", "body-timeout", "too-busy"),
            *("deadline-exceeded", "cluster-unavailable"),
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": ref("StoredAnalysisRequest")}},
        }
    },
)
async def create_stored_analysis(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    compute: TheCompute,
    timeout: Timeout = None,
) -> Response:
    """Update more state variables than a body or a memory holds.

    Arrays are read from files, and the result is written to one, in folders that the
    operator has named. States are read by the block; each variable hears of the
    measurements within two radii. The file is there when it is whole, and so is the
    answer: `Prefer: respond-async` is not for this.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    params = validated(StoredAnalysisRequest, await json_body(request))
    with compute.patience(timeout):
        job = await compute.in_thread(_job, params, settings)
        found = await while_connected(request, lambda: compute.analyse_stored(job))
    record("compute", found.seconds)
    told = {
        "result": {
            **params.result.model_dump(exclude_none=True),
            "shape": list(found.shape),
            "sha256": found.digest,
        },
        "diagnostics": found.diagnostics,
    }
    return Response(encode_json(told), media_type=JSON)


def _job(params: StoredAnalysisRequest, settings: Settings) -> StoredJob:
    """What is asked for, held against locations and limits."""
    locations = parse(settings.locations)
    states = _source(params.forecast_states, "/forecast_states", locations)
    arrays = {
        pointer: _opened(given, pointer, locations)
        for pointer, given in (
            (SIMULATED, params.simulated_measurements),
            (OBSERVATION, params.observation),
            (STATES_AT, params.localization.state_coordinates),
            (MEASURED_AT, params.localization.measurement_coordinates),
        )
    }
    check_shapes(states, arrays, settings)
    options = params.options.chosen() if params.options else {}
    check_options_limits(options, settings)
    if "localization" in options:
        raise _wrong(
            "/options/localization", "got one here, wanted it beside the options"
        )
    result = _result(params, locations)
    # Nothing is read before all is known to fit.
    read = {pointer: _read(array) for pointer, array in arrays.items()}
    given = params.localization
    return StoredJob(
        states=states,
        simulated=read[SIMULATED],
        observation=read[OBSERVATION].reshape(-1),
        localization={
            "state_coordinates": read[STATES_AT],
            "measurement_coordinates": read[MEASURED_AT],
            "radius": given.radius,
            "period": given.period,
        },
        options=options,
        seed=params.seed,
        result=result,
        side=beside(result),
        variable=params.result.variable,
        overwrite=params.overwrite,
    )


def _result(params: StoredAnalysisRequest, locations: Locations) -> Path:
    """Where the result goes, before any time is spent on it."""
    given = params.result
    file = file_in(locations, given.location, given.path, "/result", write=True)
    if file.exists() and not params.overwrite:
        raise already_there()
    if file.suffix != ".npy":
        with writing():
            h5py_module()
        check_variable(given.variable)
    return file


def _source(given: Reference, pointer: str, locations: Locations) -> Source:
    file = file_in(locations, given.location, given.path, pointer)
    return open_source(file, given.variable, pointer)


def _opened(given: Any, pointer: str, locations: Locations) -> Source | Array:
    if isinstance(given, Reference):
        return _source(given, pointer, locations)
    return array_from_json(given, pointer)


def _read(array: Source | Array) -> Array:
    return array if isinstance(array, np.ndarray) else array.whole()


def _wrong(pointer: str, message: str) -> InvalidParametersError:
    return InvalidParametersError(
        f"{pointer}: {message}.", FieldError(pointer, "shape", message)
    )
