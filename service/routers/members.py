"""Members of a cycle, one by one, from any worker; and the cycle made of them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.limits import while_connected
from service.media.types import JSON, negotiate
from service.observability import timed
from service.openapi import answer, array_request, problems
from service.routers.dependencies import (
    SessionId,
    Tenant,
    TheSessions,
    TheSettings,
    array_body,
)
from service.routers.parameters import Whole, bad_parameter, validated
from service.routers.views import member_view
from service.schemas.coupling import MEMBER_ARRAYS, MemberParams
from service.sessions import CycleConflict, CycleResult
from service.sessions.gathering import Observed
from service.settings import Settings

router = APIRouter(prefix="/v1/sessions/{session_id}/cycles/{k}", tags=["cycles"])

LAST = 10**9
Numbered = Annotated[Whole, Path(ge=1, le=LAST, description="Number of the cycle.")]
Index = Annotated[
    Whole, Path(ge=0, le=LAST, description="Row of the member in the ensemble, from 0.")
]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=LAST,
        allow_inf_nan=False,
        description="Seconds to wait at most; more than the service allows is cut.",
        examples=[30],
    ),
]
SESSION_PROBLEMS = (
    *("session-not-found", "session-gone", "store-unavailable", "store-corrupt"),
    "not-acceptable",
)
_SESSION = (*SESSION_PROBLEMS, "invalid-parameters", "cycle-conflict")


@router.put(
    "/members/{i}",
    status_code=201,
    summary="Send one member",
    operation_id="put_member",
    response_class=Response,
    responses={
        200: answer(
            "MemberAnswer",
            "It had arrived before, or is in the finished cycle.",
            {"Ccdm-Replayed": "`true`."},
        ),
        201: answer("MemberAnswer", "It is kept until its cycle is put."),
        **problems(
            *_SESSION,
            *(
                "member-conflict",
                "member-late",
                "store-full",
                "quota-exceeded",
                "too-large",
            ),
            *("invalid-json", "invalid-multipart", "invalid-input"),
            *("unsupported-media-type", "body-timeout", "too-busy"),
            "deadline-exceeded",
            "cluster-unavailable",
        ),
    },
    openapi_extra=array_request("MemberRequest", "MemberParams", MEMBER_ARRAYS),
)
async def put_member(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    sessions: TheSessions,
    session_id: SessionId,
    k: Numbered,
    i: Index,
) -> Response:
    """Send the forecast and the simulated measurements of one member of the session's
    next cycle, from any worker and in any order.

    The same body again is answered as the first time, also when its cycle is finished
    by then and this member is in it. Then PUT the cycle with only the observation.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        session = await sessions.get(tenant, session_id)
    if k > session.cycle + 1:
        raise CycleConflict(k, session.cycle)
    if i >= settings.max_members:
        raise bad_parameter("/path/i", f"wanted less than {settings.max_members}")
    async with array_body(request, MEMBER_ARRAYS) as body:
        validated(MemberParams, body.params)
        state, simulated = body.require(*MEMBER_ARRAYS)
        with timed("store"):
            arrived = await sessions.members.put(
                tenant, session_id, k, i, state, simulated
            )
    content = {"cycle": k, "member": i, "failed": arrived.member.failed}
    if arrived.replayed:
        headers = {"Ccdm-Replayed": "true"}
        return Response(orjson.dumps(content), 200, headers, JSON)
    return Response(orjson.dumps(content), 201, media_type=JSON)


@router.get(
    "/members",
    summary="See who has arrived",
    operation_id="list_members",
    response_class=Response,
    responses={
        200: answer("MemberList", "Who has arrived, or is in the finished cycle."),
        **problems(*_SESSION),
    },
)
async def list_members(
    request: Request,
    tenant: Tenant,
    sessions: TheSessions,
    session_id: SessionId,
    k: Numbered,
) -> Response:
    """Members that have arrived for the next cycle, or are in a finished one.

    A cycle that came with all its members at once lists none.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        listing = await sessions.members.listing(tenant, session_id, k)
    there = {member.index for member in listing.members}
    content = {
        "cycle": listing.cycle,
        "finished": listing.finished,
        "expected": listing.expected,
        "arrived": len(there),
        "members": [member_view(member) for member in listing.members],
        "missing": [i for i in range(listing.expected or 0) if i not in there],
    }
    return Response(orjson.dumps(content), media_type=JSON)


@router.delete(
    "/members/{i}",
    status_code=204,
    summary="Take one member back",
    operation_id="delete_member",
    response_class=Response,
    responses={
        204: {"description": "It may be sent anew."},
        **problems(*_SESSION, "member-not-found", "member-late"),
    },
)
async def delete_member(
    tenant: Tenant,
    sessions: TheSessions,
    session_id: SessionId,
    k: Numbered,
    i: Index,
) -> Response:
    """Take a member back that was sent by mistake, before its cycle is finished."""
    with timed("store"):
        await sessions.members.drop(tenant, session_id, k, i)
    return Response(status_code=204)


async def put_gathered(
    request: Request,
    tenant: str,
    session_id: str,
    k: int,
    observation: npt.NDArray[np.float64],
    options: dict[str, Any],
    coupling: dict[str, Any],
    wait: float,
) -> CycleResult:
    """Assimilate a cycle whose members have come one by one."""
    state = request.app.state
    settings: Settings = state.settings
    observed = Observed(
        tenant=tenant,
        sid=session_id,
        cycle=k,
        observation=observation,
        options=options,
        coupling=coupling,
        wait=min(wait, settings.max_wait_seconds),
    )
    with state.streams.one(tenant):
        return await while_connected(
            request, lambda: state.sessions.gathering.put(observed)
        )
