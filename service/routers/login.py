"""A key into a cookie, for the pages of this service; other clients send headers."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.auth import Gate, cookie_name
from service.routers.dependencies import json_body
from service.routers.parameters import bad_parameter

router = APIRouter(include_in_schema=False)
# Of a body, in bytes: a key and its name.
LONGEST = 4096


@router.post("/login", status_code=204)
async def login(request: Request) -> Response:
    """Check a key and remember it in the browser until that is closed."""
    gate: Gate = request.app.state.gate
    # Nobody has been asked for a key yet: what is cheap to refuse comes first.
    gate.check_host(request.headers)
    gate.check_origin(request)
    # Only JSON is read: no form of another site can send that.
    key = (await json_body(request, LONGEST)).get("key")
    if not isinstance(key, str):
        raise bad_parameter("/key", "wanted a string")
    answer = Response(status_code=204)
    cookie = gate.cookie(request, key.strip())
    if cookie is not None:
        answer.set_cookie(
            *cookie,
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return answer


@router.delete("/login", status_code=204)
async def logout(request: Request) -> Response:
    """Forget it."""
    request.app.state.gate.check_origin(request)
    answer = Response(status_code=204)
    answer.delete_cookie(
        cookie_name(request), path="/", httponly=True, samesite="strict"
    )
    return answer
