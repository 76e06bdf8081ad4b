"""Sessions: create, list, read, change, delete."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from service.media.lengths import least_length
from service.media.types import JSON, negotiate
from service.observability import timed
from service.openapi import answer, array_request, header, json_request, problems
from service.routers.conditions import (
    IF_NONE_MATCH,
    is_fresh,
    require_match,
    session_tag,
)
from service.routers.creation import check_lists, drawn_bytes, patch_of, spec_of
from service.routers.dependencies import (
    SessionId,
    Tenant,
    TheSessions,
    TheSettings,
    array_body,
    document_answer,
    json_body,
    room,
)
from service.routers.parameters import Whole, read_params
from service.routers.views import session_view
from service.schemas.sessions import SessionParams, SessionPatch
from service.sessions import Session
from service.stores.offloop import INLINE_JSON, JSON_COST, off_loop

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
_log = logging.getLogger(__name__)

ENSEMBLE = "initial_ensemble"
_STORE = ("store-unavailable", "store-corrupt")
_SESSION = ("session-not-found", "session-gone", *_STORE)
_BODY = (
    *("invalid-json", "invalid-options", "invalid-parameters", "not-acceptable"),
    *("too-large", "unsupported-media-type", "body-timeout", "too-busy"),
)
_TAGGED = {"ETag": 'The session\'s version and expiry: `"3-1767225600000000"`.'}
_IF_MATCH = header(
    "If-Match",
    'Change the session only in the version of this ETag; `"3"` is version 3.',
    pattern=r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$',
    examples=['"1"'],
)


@router.post(
    "",
    status_code=201,
    summary="Create a session",
    operation_id="create_session",
    response_class=Response,
    responses={
        201: answer("SessionView", "Created.", {"Location": "Its address.", **_TAGGED}),
        **problems(
            *_BODY,
            "invalid-multipart",
            "invalid-input",
            *_STORE,
            "store-full",
            "quota-exceeded",
            "deadline-exceeded",
            "cluster-unavailable",
        ),
    },
    openapi_extra=array_request(
        "SessionRequest", "SessionParams", (ENSEMBLE,), required=False
    ),
)
async def create_session(
    request: Request, tenant: Tenant, settings: TheSettings, sessions: TheSessions
) -> Response:
    """Begin a session, with an initial ensemble, a mean and deviation to draw one from,
    or neither.
    """
    negotiate(request.headers.get("accept"), (JSON,))
    async with array_body(request, (ENSEMBLE,), kept=True) as body:
        check_lists(body.params, settings)
        params = await read_params(SessionParams, body.params)
        ensemble = body.arrays.get(ENSEMBLE)
        length = least_length(body.params, settings.max_session_document_bytes)
        # Millions of draws take a second, in which others are served.
        spec = await off_loop(
            drawn_bytes(params) + JSON_COST * length,
            lambda: spec_of(params, ensemble, settings),
        )
        # Where there is none for the answer, nothing is kept.
        with room(request, length):
            with timed("store"):
                session = await sessions.create(tenant, spec)
            location = f"/v1/sessions/{session.id}"
            return await _answer(request, session, 201, {"Location": location})


@router.get(
    "",
    summary="List sessions",
    operation_id="list_sessions",
    response_class=Response,
    responses={
        200: answer("SessionList", "A page.", {"Link": "The next page, if any."}),
        **problems("invalid-parameters", "not-acceptable", *_STORE),
    },
)
async def list_sessions(
    request: Request,
    tenant: Tenant,
    sessions: TheSessions,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9_-]{1,64}$", description="`next` of the page before."
        ),
    ] = None,
    limit: Annotated[Whole, Query(ge=1, le=1000, description="Most on one page.")] = 50,
) -> Response:
    """The key's own sessions, in order of creation."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        found, following = await sessions.list(tenant, after=after, limit=limit)
    size = sum(item.size for item in found)
    link = f'</v1/sessions?after={following}&limit={limit}>; rel="next"'
    headers = {"Link": link} if following else {}
    with room(request, size):
        page = {"sessions": _views(found), "next": following}
        try:
            return await document_answer(request, page, size, headers=headers)
        except TypeError:
            page["sessions"] = _views(found, prove=True)
            return await document_answer(request, page, size, headers=headers)


@router.get(
    "/{session_id}",
    summary="Read a session",
    operation_id="read_session",
    response_class=Response,
    responses={
        200: answer("SessionView", "The session.", _TAGGED),
        304: {"description": "Not changed since."},
        **problems(*_SESSION, "not-acceptable"),
    },
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
async def read_session(
    request: Request, tenant: Tenant, sessions: TheSessions, session_id: SessionId
) -> Response:
    """The session as it is now; its lifetime starts anew."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        session = await sessions.get(tenant, session_id)
    if is_fresh(request, session_tag(session)):
        return Response(status_code=304, headers={"ETag": session_tag(session)})
    with room(request, session.size):
        return await _answer(request, session)


@router.patch(
    "/{session_id}",
    summary="Change a session",
    operation_id="update_session",
    response_class=Response,
    responses={
        200: answer("SessionView", "Changed.", _TAGGED),
        **problems(
            *_SESSION, *_BODY, "precondition-failed", "store-full", "quota-exceeded"
        ),
    },
    openapi_extra={**json_request("SessionPatch"), "parameters": [_IF_MATCH]},
)
async def update_session(
    request: Request,
    tenant: Tenant,
    settings: TheSettings,
    sessions: TheSessions,
    session_id: SessionId,
) -> Response:
    """Change lifetime, metadata or options; what is not named stays."""
    negotiate(request.headers.get("accept"), (JSON,))
    with timed("store"):
        session = await sessions.get(tenant, session_id)
    body = await json_body(request)
    patch = await read_params(SessionPatch, body)
    cost = JSON_COST * least_length(body, INLINE_JSON)
    changes = await off_loop(cost, lambda: patch_of(patch, session, settings))
    # Last: what would fail anyhow does not fail for its condition (RFC 9110, 13.2.1).
    expected = require_match(request, session)
    with room(request, session.size):
        with timed("store"):
            session = await sessions.update(
                tenant, session_id, expected_version=expected, **changes
            )
        return await _answer(request, session)


@router.delete(
    "/{session_id}",
    status_code=204,
    summary="Delete a session",
    operation_id="delete_session",
    response_class=Response,
    responses={
        204: {"description": "Deleted; asking for it is answered 410 for a day."},
        **problems(*_SESSION, "precondition-failed", "invalid-parameters"),
    },
    openapi_extra={"parameters": [_IF_MATCH]},
)
async def delete_session(
    request: Request, tenant: Tenant, sessions: TheSessions, session_id: SessionId
) -> Response:
    """Delete a session and all of its analyses."""
    expected = None
    with timed("store"):
        if "if-match" in request.headers:
            session = await sessions.get(tenant, session_id)
            expected = require_match(request, session)
        await sessions.delete(tenant, session_id, expected_version=expected)
    return Response(status_code=204)


async def _answer(
    request: Request,
    session: Session,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    every = {"ETag": session_tag(session), **(headers or {})}
    view = session_view(session)
    return await document_answer(request, view, session.size, status, every)


def _views(found: Sequence[Session], *, prove: bool = False) -> list[dict[str, Any]]:
    """Sessions as a list shows them, without one that cannot be shown.

    Args:
        found: all of them.
        prove: whether to write each alone, to find the one that is no JSON.
    """
    views = []
    for session in found:
        try:
            view = session_view(session)
            if prove:
                orjson.dumps([[view]])
        except (TypeError, ValueError, OverflowError):
            # The others are well; it says so itself when it is asked for.
            _log.exception("session %s cannot be shown", session.id)
        else:
            views.append(view)
    return views
