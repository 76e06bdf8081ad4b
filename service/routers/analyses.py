"""POST /v1/analyses: one analysis, nothing kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from starlette.responses import Response

from service.jobs.models import Submission
from service.limits import while_connected
from service.media.types import ARRAY_ANSWERS, JSON, negotiate
from service.observability import record
from service.openapi import array_answers, array_request, header, problems
from service.routers.dependencies import (
    Tenant,
    TheCompute,
    TheSettings,
    Timeout,
    array_answer,
    array_body,
    diagnostic_headers,
)
from service.routers.parameters import read_params
from service.routers.submitting import (
    PREFERS,
    accepted,
    accepted_answer,
    prefers_job,
)
from service.schemas.analyses import ARRAYS, AnalysisParams
from service.sessions.requests import fresh_seed
from service.settings import Settings
from service.sizes import check_options_limits, check_sizes

router = APIRouter(prefix="/v1", tags=["analyses"])


@router.post(
    "/analyses",
    summary="Run one analysis",
    operation_id="create_analysis",
    response_class=Response,
    responses={
        200: array_answers(
            "AnalysisAnswer",
            "Analysis samples.",
            {
                "Ccdm-Seed": "Seed that gives these samples again.",
                "Ccdm-Warnings": "Number of warnings among the diagnostics.",
            },
        ),
        202: accepted_answer(),
        **problems(
            *("store-unavailable", "store-full", "quota-exceeded", "too-many-jobs"),
            *("invalid-json", "invalid-multipart", "invalid-input", "invalid-options"),
            *("invalid-parameters", "numerical-breakdown", "not-acceptable"),
            *("too-large", "unsupported-media-type", "body-timeout", "too-busy"),
            "deadline-exceeded",
            "cluster-unavailable",
        ),
    },
    openapi_extra={
        **array_request("AnalysisRequest", "AnalysisParams", ARRAYS),
        "parameters": [header("Prefer", PREFERS)],
    },
)
async def create_analysis(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    compute: TheCompute,
    timeout: Timeout = None,
) -> Response:
    """Draw analysis samples from p(x | y*), given an ensemble of pairs (x, y).

    Nothing is kept, unless as a job, with `Prefer: respond-async`. The same arrays,
    options and seed give the same samples, bit for bit, whether they come as JSON or
    as npy.
    """
    media_type = negotiate(request.headers.get("accept"), ARRAY_ANSWERS)
    async with array_body(request, ARRAYS, timeout) as body:
        params = await read_params(AnalysisParams, body.params)
        options = params.options.chosen() if params.options else {}
        states, simulated, observation = body.require(*ARRAYS)
        check_ensemble(settings, states, simulated)
        check_options_limits(options, settings)
        if prefers_job(request):
            compute.check_options(options)
            asked: dict[str, Any] = {"options": options, "seed": params.seed}
            if params.seed is None:
                # Drawn now: if it has to run again, it comes to the same.
                asked["seed"] = fresh_seed()
            arrays = {name: body.arrays[name] for name in ARRAYS}
            wanted = Submission("analysis", asked, arrays)
            return await accepted(request, tenant, wanted)
        result = await while_connected(
            request,
            lambda: compute.analyse(
                *(states, simulated, observation, options, params.seed),
                manifest=media_type == JSON,
            ),
        )
    record("queue", result.queue_seconds)
    record("compute", result.compute_seconds)
    record("engine", result.engine_seconds)
    return await array_answer(
        request,
        media_type,
        result.samples,
        facts={"diagnostics": result.diagnostics},
        headers=diagnostic_headers(result.diagnostics),
    )


def check_ensemble(
    settings: Settings,
    states: npt.NDArray[np.float64],
    simulated: npt.NDArray[np.float64],
) -> None:
    """Hold forecast arrays against the service's limits; their shapes are the engine's.

    Raises:
        TooLargeError: naming the limit.
    """
    members = states.shape[0] if states.ndim else 0
    check_sizes(
        settings,
        members,
        states.shape[-1] if states.ndim == 2 else 0,
        simulated.shape[-1] if simulated.ndim == 2 else 0,
    )
