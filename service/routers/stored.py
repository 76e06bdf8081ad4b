"""POST /v1/stored-analyses: arrays in files of registered folders, block by block."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.jobs.models import Submission
from service.limits import while_connected
from service.media.answers import encode_json
from service.media.types import JSON, negotiate
from service.observability import record
from service.openapi import answer, header, problems, ref
from service.routers.dependencies import (
    Tenant,
    TheCompute,
    TheSettings,
    Timeout,
    json_body,
)
from service.routers.parameters import read_params
from service.routers.submitting import (
    PREFERS,
    accepted,
    accepted_answer,
    prefers_job,
)
from service.schemas.stored import StoredAnalysisRequest
from service.sizes import check_options_limits, check_options_sizes
from service.stored.requests import kept, prepared, told

router = APIRouter(prefix="/v1", tags=["analyses"])


@router.post(
    "/stored-analyses",
    summary="Run a localized analysis of files",
    operation_id="create_stored_analysis",
    response_class=Response,
    responses={
        200: answer("StoredAnalysisAnswer", "Where the samples are, and diagnostics."),
        202: accepted_answer(),
        **problems(
            *(
                "store-unavailable",
                "store-full",
                "files-full",
                "files-unavailable",
                "quota-exceeded",
                "too-many-jobs",
            ),
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
        },
        "parameters": [header("Prefer", PREFERS)],
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
    measurements within two radii. The file is there when it is whole. With
    `Prefer: respond-async` all that is wrong at sight is told at once, and the rest is
    a job: its result is this answer.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    body = await json_body(request)
    params = await read_params(StoredAnalysisRequest, body)
    check_options_limits(params.options.chosen() if params.options else {}, settings)
    with compute.patience(timeout):
        job = await compute.in_thread(prepared, params, settings)
        check_options_sizes(job.options, job.states.shape[1], job.simulated.shape[1])
        if prefers_job(request):
            compute.check_stored(job)
            asked, numbers = kept(params)
            wanted = Submission("stored-analysis", asked, numbers)
            return await accepted(request, tenant, wanted)
        found = await while_connected(request, lambda: compute.analyse_stored(job))
    record("compute", found.seconds)
    return Response(encode_json(told(params, found)), media_type=JSON)
