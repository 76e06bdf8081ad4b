"""Cycles of a session: forecast in, analysis out."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.errors import TooBusyError
from service.limits import while_connected
from service.media.answers import encode_json
from service.media.bodies import ArrayBody
from service.media.types import ARRAY_ANSWERS, JSON, negotiate
from service.observability import record, timed
from service.openapi import answer, array_answers, array_request, header, problems
from service.routers.analyses import check_ensemble
from service.routers.conditions import IF_NONE_MATCH, is_fresh
from service.routers.dependencies import (
    SessionId,
    Tenant,
    TheCompute,
    TheSessions,
    Timeout,
    array_answer,
    array_body,
    diagnostic_headers,
    document_answer,
    room,
)
from service.routers.driven import put_driven, read_driven
from service.routers.members import (
    LAST,
    SESSION_PROBLEMS,
    Numbered,
    Wait,
    put_gathered,
)
from service.routers.parameters import Whole, bad_parameter, read_params
from service.routers.submitting import (
    PREFERS,
    accepted,
    accepted_answer,
    cycle_job,
    driven_job,
    preferences,
    prefers_job,
)
from service.routers.views import brief_cycle_view, cycle_view, state_columns
from service.schemas.analyses import ARRAYS
from service.schemas.cycles import CycleParams
from service.sessions import CycleConflict, CycleResult, Known, Session
from service.sizes import check_coupling_sizes, check_options_limits

router = APIRouter(prefix="/v1/sessions/{session_id}/cycles", tags=["cycles"])

OBSERVATION = ARRAYS[2]
Options = dict[str, Any]
_BRIEF = (
    "Leave out lists as long as the ensemble or the observation: `members_used`, "
    "`members_failed`, `innovation`, `observation_status`; and of `missing` and "
    "`failed` in `coupling` all but the first hundred."
)
_PREFER = header(
    "Prefer", f"`return=minimal` leaves the samples out of JSON. {PREFERS}"
)
_REPLAYED = {
    "Ccdm-Replayed": "`true` when the cycle was finished before.",
    "Ccdm-Seed": "Seed of the analysis.",
    "Ccdm-Warnings": "Number of warnings among the diagnostics.",
}


@router.put(
    "/{k}",
    status_code=201,
    summary="Assimilate a cycle",
    operation_id="put_cycle",
    response_class=Response,
    responses={
        200: array_answers("CycleAnswer", "Finished before; the same.", _REPLAYED),
        201: array_answers(
            "CycleAnswer", "Assimilated.", {"Location": "Its address.", **_REPLAYED}
        ),
        202: accepted_answer(),
        **problems(
            *SESSION_PROBLEMS,
            *("cycle-conflict", "cycle-not-found", "analysis-not-kept"),
            *("store-full", "quota-exceeded"),
            *("too-many-jobs", "members-missing", "models-failed", "too-many-streams"),
            *("invalid-json", "invalid-multipart", "invalid-input", "invalid-options"),
            *("invalid-parameters", "numerical-breakdown", "too-large"),
            *("unsupported-media-type", "body-timeout", "too-busy"),
            "deadline-exceeded",
            "cluster-unavailable",
        ),
    },
    openapi_extra={
        **array_request("CycleRequest", "CycleParams", ARRAYS, required=ARRAYS[2:]),
        "parameters": [_PREFER],
    },
)
async def put_cycle(
    request: Request,
    tenant: Tenant,
    compute: TheCompute,
    sessions: TheSessions,
    session_id: SessionId,
    k: Numbered,
    wait: Wait = 0.0,
    timeout: Timeout = None,
) -> Response:
    """Assimilate cycle k of a session that stands at k - 1.

    The number is the lock and the idempotency key. The same body again is answered as
    the first time; another body, or another number, is a conflict.

    With only the observation, the members are those that have come one by one to
    `members/{i}`; `wait` waits for those that are still to come.

    With the name of a `measurement_model`, and of a `forecast_model` unless
    `forecast_states` come along, models that the operator has registered compute the
    members.

    With `Prefer: respond-async` a cycle that is next is put by a job; the same body
    again is the same job as long as that is open.
    """
    media_type = negotiate(request.headers.get("accept"), ARRAY_ANSWERS)
    # Before the body: whom no session waits for need not send 64 MiB to hear it.
    # Not a use by itself: what the cycle does to the lifetime is enough.
    since = time.perf_counter()
    with timed("store"):
        session = await sessions.peek(tenant, session_id)
    if k > session.cycle + 1:
        raise CycleConflict(k, session.cycle)
    async with array_body(request, ARRAYS, timeout, kept=True) as body:
        params = await read_params(CycleParams, body.params)
        by_job = k == session.cycle + 1 and prefers_job(request)
        if by_job and params.driven:
            driven = read_driven(request, tenant, session.id, k, body, params)
            wanted = driven_job(request, session, driven)
            return await accepted(request, tenant, wanted)
        if by_job:
            asked = {"session": session.id, "cycle": k, "wait": wait}
            asked["options"], asked["coupling"] = _checked(request, body, params)
            wanted = await cycle_job(request, session, asked, body.arrays)
            return await accepted(request, tenant, wanted)
        # Where there is no room for the answer, no work is begun, and nothing is read.
        if not _is_minimal(request, media_type):
            with room(request, _answer_bytes(session, k, body, params)):
                pass
        with compute.in_time():
            known = Known(session, since)
            result = await _put(request, tenant, known, k, body, params, wait)
    for stage, seconds in result.timings.items():
        record(stage, seconds)
    return await _put_answer(request, media_type, session, result)


def _checked(
    request: Request, body: ArrayBody, params: CycleParams
) -> tuple[Options, Options]:
    """Options and coupling that were asked for, within the service's limits."""
    options = params.options.chosen() if params.options else {}
    check_options_limits(options, request.app.state.settings)
    if list(body.arrays) == [OBSERVATION]:
        coupling = params.coupling.chosen() if params.coupling else {}
        check_coupling_sizes(coupling, request.app.state.settings)
        return options, coupling
    states, simulated, _ = body.require(*ARRAYS)
    check_ensemble(request.app.state.settings, states, simulated)
    if params.coupling:
        raise bad_parameter("/coupling", "wanted only without forecast_states")
    return options, {}


async def _put(
    request: Request,
    tenant: str,
    known: Known,
    k: int,
    body: ArrayBody,
    params: CycleParams,
    wait: float,
) -> CycleResult:
    """Assimilate with the members of the body, those that have come, or of models."""
    session = known.session
    if params.driven:
        driven = read_driven(request, tenant, session.id, k, body, params)
        return await put_driven(request, driven)
    options, coupling = _checked(request, body, params)
    if list(body.arrays) == [OBSERVATION]:
        observation = body.arrays[OBSERVATION]
        return await put_gathered(
            *(request, tenant, session.id, k), observation, options, coupling, wait
        )
    states, simulated, observation = body.require(*ARRAYS)
    return await while_connected(
        request,
        lambda: request.app.state.sessions.put_cycle(
            *(tenant, session.id, k),
            *(states, simulated, observation),
            options=options,
            known=known,
        ),
    )


async def _put_answer(
    request: Request, media_type: str, session: Session, result: CycleResult
) -> Response:
    cycle = result.cycle
    facts = {"cycle": cycle.cycle, "diagnostics": cycle.diagnostics}
    headers = diagnostic_headers(cycle.diagnostics)
    headers["Location"] = f"/v1/sessions/{session.id}/cycles/{cycle.cycle}"
    if result.replayed:
        headers["Ccdm-Replayed"] = "true"
    status = 200 if result.replayed else 201
    if _is_minimal(request, media_type):
        headers["Preference-Applied"] = "return=minimal"
        return Response(encode_json(facts), status, headers, JSON)
    try:
        return await array_answer(
            request,
            media_type,
            result.samples,
            facts=facts,
            status=status,
            headers=headers,
            columns=state_columns(session, range(session.state_dim)),
        )
    except TooBusyError as error:
        # The number is the idempotency key: the same request again is answered.
        raise TooBusyError(
            f"Cycle {cycle.cycle} is finished and kept, and its samples have to wait: "
            "too many answers wait for their readers. Put it again.",
            error.retry_after,
        ) from None


def _is_minimal(request: Request, media_type: str) -> bool:
    return media_type == JSON and "return=minimal" in preferences(request)


def _answer_bytes(
    session: Session, k: int, body: ArrayBody, params: CycleParams
) -> int:
    """Bytes of the samples that will be answered, as far as can be known now."""
    rows = session.members or 0
    if k > session.cycle:
        options = params.options.chosen() if params.options else {}
        states = body.arrays.get(ARRAYS[0])
        came = len(states) if states is not None and states.ndim else rows
        rows = {**session.options, **options}.get("n_samples") or came
    return 8 * session.state_dim * rows


@router.get(
    "",
    summary="List cycles",
    operation_id="list_cycles",
    response_class=Response,
    responses={
        200: answer("CycleList", "A page.", {"Link": "The next page, if any."}),
        **problems(*SESSION_PROBLEMS, "invalid-parameters"),
    },
)
async def list_cycles(
    request: Request,
    tenant: Tenant,
    sessions: TheSessions,
    session_id: SessionId,
    after: Annotated[
        Whole, Query(ge=0, le=LAST, description="The last one of the page before.")
    ] = 0,
    limit: Annotated[
        Whole, Query(ge=1, le=1000, description="Most on one page.")
    ] = 100,
    brief: Annotated[bool, Query(description=_BRIEF)] = False,
) -> Response:
    """Diagnostics of finished cycles, in order."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        session = await sessions.get(tenant, session_id)
        found = await sessions.cycles(tenant, session_id, after=after, limit=limit)
    page = {
        "current_cycle": session.cycle,
        "cycles": [(brief_cycle_view if brief else cycle_view)(item) for item in found],
    }
    last = found[-1].cycle if found else session.cycle
    link = f"</v1/sessions/{session_id}/cycles?after={last}&limit={limit}"
    link += "&brief=true>" if brief else ">"
    headers = {"Link": f'{link}; rel="next"'} if last < session.cycle else {}
    size = sum(item.size for item in found)
    with room(request, size):
        return await document_answer(request, page, size, headers=headers)


@router.get(
    "/{k}",
    summary="Read a cycle",
    operation_id="read_cycle",
    response_class=Response,
    responses={
        200: answer("CycleView", "The cycle.", {"ETag": "It never changes."}),
        304: {"description": "Not changed since."},
        **problems(*SESSION_PROBLEMS, "cycle-not-found", "invalid-parameters"),
    },
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def read_cycle(
    request: Request,
    tenant: Tenant,
    sessions: TheSessions,
    session_id: SessionId,
    k: Numbered,
) -> Response:
    """Diagnostics of a finished cycle."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        cycle = await sessions.cycle(tenant, session_id, k)
    headers = {"ETag": f'"{cycle.digest[:32]}"'}
    if is_fresh(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    view = cycle_view(cycle)
    with room(request, cycle.size):
        return await document_answer(request, view, cycle.size, headers=headers)
