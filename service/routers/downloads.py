"""Samples of finished cycles: some or all, at once or as soon as they are there."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from service.limits import while_connected
from service.media.types import ARRAY_ANSWERS, CSV, negotiate
from service.observability import timed
from service.openapi import array_answers, problems
from service.routers.conditions import IF_NONE_MATCH, is_fresh
from service.routers.dependencies import SessionId, Tenant, TheSessions, array_answer
from service.routers.members import LAST, SESSION_PROBLEMS, Wait
from service.routers.parameters import (
    Whole,
    bad_parameter,
    member_slice,
    state_slice,
)
from service.routers.views import state_columns
from service.sessions import Sessions

router = APIRouter(prefix="/v1/sessions/{session_id}/cycles", tags=["cycles"])

Finished = Annotated[Whole, Path(ge=0, le=LAST, description="0: the initial ensemble.")]
Members = Annotated[
    str | None,
    Query(
        description="Some of the members, as in `0:10`, `:10`, `90:` or `7`.",
        examples=["0:10"],
    ),
]
States = Annotated[
    str | None,
    Query(
        description="Some of the state variables, likewise; `0:1000:10` is every "
        "tenth of them.",
        examples=["0:1000:10"],
    ),
]


@router.get(
    "/{k}/analysis",
    summary="Download an analysis",
    operation_id="read_analysis",
    response_class=Response,
    responses={
        200: array_answers(
            "AnalysisDownload", "Analysis samples.", {"ETag": "It never changes."}
        ),
        304: {"description": "Not changed since."},
        **problems(
            *SESSION_PROBLEMS,
            *("cycle-not-found", "analysis-not-kept", "invalid-parameters"),
            *("too-many-streams", "too-busy"),
        ),
    },
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def read_analysis(
    request: Request,
    tenant: Tenant,
    sessions: TheSessions,
    session_id: SessionId,
    k: Finished,
    members: Members = None,
    states: States = None,
    wait: Wait = 0.0,
) -> Response:
    """Samples of a finished cycle, all or some members and variables; cycle 0 is the
    initial ensemble. `wait` waits for a cycle that is not finished yet.
    """
    media_type = negotiate(request.headers.get("accept"), ARRAY_ANSWERS)
    rows, variables = member_slice(members), state_slice(states)
    if wait:
        await _reached(request, tenant, session_id, k, wait)
    with timed("store"):
        tag = await _analysis_tag(sessions, tenant, session_id, k)
    part = f"{members or 'all'}-{states or 'all'}"
    tag = f'"{tag}-{part}-{media_type.rpartition("/")[2]}"'
    headers = {"ETag": tag}
    if is_fresh(request, tag):
        return Response(status_code=304, headers={**headers, "Vary": "Accept"})
    with timed("store"):
        session = await sessions.get(tenant, session_id) if media_type == CSV else None
        samples = await sessions.analysis(tenant, session_id, k, rows)
    if rows and not len(samples):
        raise bad_parameter("/query/members", "there are fewer members than that")
    chosen = range(samples.shape[1])[variables or slice(None)]
    if not chosen:
        raise bad_parameter("/query/states", "there are fewer variables than that")
    start = rows.start if rows else 0
    facts: dict[str, Any] = {"cycle": k, "members": [start, start + len(samples)]}
    if variables:
        facts["states"] = [chosen.start, chosen.stop, chosen.step]
    return await array_answer(
        request,
        media_type,
        samples[:, variables or slice(None)],
        facts=facts,
        headers=headers,
        columns=state_columns(session, chosen) if session else None,
    )


async def _reached(
    request: Request, tenant: str, session_id: str, k: int, wait: float
) -> None:
    """Wait for a cycle, not for ever, and only as long as the client does."""
    state = request.app.state
    seconds = min(wait, state.settings.max_wait_seconds)
    with state.streams.one(tenant):
        await while_connected(
            request,
            lambda: state.sessions.watching.reached(tenant, session_id, k, seconds),
        )


async def _analysis_tag(sessions: Sessions, tenant: str, sid: str, k: int) -> str:
    """What tells this analysis from any other at this address."""
    if k == 0:
        return f"initial-{(await sessions.get(tenant, sid)).created_at:.6f}"
    return (await sessions.cycle(tenant, sid, k)).digest[:32]
