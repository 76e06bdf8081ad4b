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
from service.media.errors import FieldError, TooLargeError
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
from service.schemas.stored import (
    Reference,
    StoredAnalysisRequest,
    StoredLocalization,
)
from service.settings import Settings
from service.stored.locations import Location, file_in, parse
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
    measurements within two radii. The file is there when it is whole.
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
    simulated = _numbers(
        params.simulated_measurements, "/simulated_measurements", locations
    )
    observation = _numbers(params.observation, "/observation", locations)
    _check_sizes(states, simulated, settings)
    options = params.options.chosen() if params.options else {}
    check_options_limits(options, settings)
    if "localization" in options:
        raise _wrong(
            "/options/localization", "got one here, wanted it beside the options"
        )
    result = _result(params, locations)
    return StoredJob(
        states=states,
        simulated=simulated,
        observation=observation.reshape(-1),
        localization=_localization(params.localization, locations),
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


def _localization(given: StoredLocalization, locations: Locations) -> dict[str, Any]:
    places = {
        name: _numbers(getattr(given, name), f"/localization/{name}", locations)
        for name in ("state_coordinates", "measurement_coordinates")
    }
    return {**places, "radius": given.radius, "period": given.period}


def _source(given: Reference, pointer: str, locations: Locations) -> Source:
    file = file_in(locations, given.location, given.path, pointer)
    return open_source(file, given.variable, pointer)


def _numbers(given: Any, pointer: str, locations: Locations) -> Array:
    if isinstance(given, Reference):
        return _source(given, pointer, locations).whole()
    return array_from_json(given, pointer)


def _check_sizes(states: Source, simulated: Array, settings: Settings) -> None:
    if len(states.shape) != 2 or simulated.ndim != 2:
        raise _wrong(
            "/forecast_states" if len(states.shape) != 2 else "/simulated_measurements",
            "got other axes, wanted two: members by variables",
        )
    members, measurements = simulated.shape
    for what, size, name in (
        ("members", max(members, states.shape[0]), "max_members"),
        ("measurements", measurements, "max_measurement_dim"),
    ):
        limit = getattr(settings, name)
        if size > limit:
            raise TooLargeError(f"{size} {what}; at most {limit} here.", name, limit)


def _wrong(pointer: str, message: str) -> InvalidParametersError:
    return InvalidParametersError(
        f"{pointer}: {message}.", FieldError(pointer, "shape", message)
    )
