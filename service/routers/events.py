"""Events of a session, as they happen."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.media.types import negotiate
from service.observability import timed
from service.openapi import header, problems
from service.routers.dependencies import (
    SessionId,
    Tenant,
    TheSessions,
    TheSettings,
    TheStreams,
)
from service.routers.parameters import bad_parameter
from service.routers.views import brief_cycle_view, member_view, session_view
from service.sessions import events as told
from service.sessions.events import Position
from service.streams import (
    EVENT_STREAM,
    EventStream,
    encode_comment,
    encode_event,
    with_retry,
)

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["cycles"])

_DESCRIPTION = """\
Events until the session is gone or the service ends: `session` (as it is now, on
connecting), `member` (one has arrived), `warning`, `cycle` (one is finished), `gone`.
Comments come between them when nothing happens."""
_LAST = header("Last-Event-ID", "Tell what came after this event. Browsers send it.")


@router.get(
    "/events",
    summary="Follow a session",
    operation_id="session_events",
    response_class=Response,
    responses={
        200: {
            "description": _DESCRIPTION,
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **problems(
            *("session-not-found", "session-gone", "store-unavailable"),
            *("store-corrupt", "not-acceptable", "invalid-parameters"),
            "too-many-streams",
        ),
    },
    openapi_extra={"parameters": [_LAST]},
)
async def session_events(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    sessions: TheSessions,
    streams: TheStreams,
    session_id: SessionId,
    last_event_id: Annotated[
        str | None,
        Query(description="As the header; `0.0` tells all from the beginning."),
    ] = None,
) -> Response:
    """Server-sent events: whoever was away is told what came in between."""
    negotiate(request.headers.get("accept"), (EVENT_STREAM,))
    after = _position(request, last_event_id)
    with timed("store"):
        await sessions.get(tenant, session_id)
    if request.scope.get("ccdm.head"):
        # There is no body to send, and thus nothing to wait for.
        return Response(media_type=EVENT_STREAM)
    streams.enter(tenant)
    events = sessions.telling.events(
        tenant, session_id, after, settings.heartbeat_seconds
    )
    return EventStream(with_retry(_encoded(events)), streams, tenant)


def _position(request: Request, asked: str | None) -> Position | None:
    sent = request.headers.get("last-event-id")
    if sent is not None:
        # Another service's ids may come with a reconnection: they mean nothing here.
        return Position.parse(sent)
    if asked is None:
        return None
    position = Position.parse(asked)
    if position is None:
        raise bad_parameter("/query/last_event_id", "wanted an id such as 3.17")
    return position


async def _encoded(
    events: AsyncGenerator[told.Event],
) -> AsyncGenerator[bytes]:
    async for event in events:
        yield _encode(event)


def _encode(event: told.Event) -> bytes:
    match event:
        case told.Began(at, session, members):
            staged = sorted(member.index for member in members)
            view = {**session_view(session), "members_staged": staged}
            return encode_event("session", view, str(at))
        case told.MemberArrived(at, cycle, member):
            data = {"cycle": cycle, **member_view(member)}
            return encode_event("member", data, str(at))
        case told.Warned(cycle, warning):
            return encode_event("warning", {"cycle": cycle, **warning})
        case told.CycleFinished(at, cycle):
            return encode_event("cycle", brief_cycle_view(cycle), str(at))
        case told.Gone(reason):
            return encode_event("gone", {"reason": reason})
        case told.Quiet():
            return encode_comment("nothing new")
