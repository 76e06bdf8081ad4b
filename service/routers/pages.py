"""Pages for people: the interface's documentation, and one page per problem."""

from __future__ import annotations

import re
from html import escape
from http import HTTPStatus
from pathlib import Path

import orjson
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from service.media.types import JSON
from service.problem_types import TYPES, ProblemType

STATIC = Path(__file__).parent.parent / "static"
# Everything comes from this service; Swagger UI styles its elements inline.
_POLICY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
}

_PLACES = {
    "analyses": "/v1/analyses",
    "sessions": "/v1/sessions",
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "dashboard": "/dashboard",
    "problems": "/problems",
    "health": "/readyz",
}
_NAVIGATION = (
    '<nav aria-label="Pages"><a href="/dashboard">Dashboard</a> '
    '<a href="/problems">Problems</a> <a href="/docs">Interface</a></nav>'
)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def root(request: Request) -> Response:
    """Show people the documentation, and programs where everything is."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("docs", headers=_POLICY)
    facts = {"service": "ccdm", "version": request.app.version, **_PLACES}
    return Response(orjson.dumps(facts), headers={"Vary": "Accept"}, media_type=JSON)


@router.get("/docs")
async def docs() -> Response:
    """The interface, ready to be tried; all of it comes from here."""
    return FileResponse(STATIC / "docs.html", headers=_POLICY)


@router.get("/problems")
async def problem_list() -> Response:
    """All kinds of problems."""
    entries = "".join(
        f'<dt><a href="/problems/{kind.slug}">{kind.slug}</a> '
        f'<span class="status">{kind.status}</span></dt><dd>{escape(kind.title)}</dd>'
        for kind in TYPES.values()
    )
    return _page("Problems", f"<h1>Problems</h1><dl>{entries}</dl>")


@router.get("/problems/{slug}")
async def problem_page(slug: str) -> Response:
    """What one kind of problem means, and what to do."""
    kind = TYPES.get(slug)
    if kind is None:
        raise HTTPException(404)
    return _page(kind.title, _explained(kind))


def _explained(kind: ProblemType) -> str:
    status = f"{kind.status} {HTTPStatus(kind.status).phrase}"
    return (
        f"<h1>{escape(kind.title)}</h1>"
        f'<p class="status"><code>{kind.slug}</code> · {status}</p>'
        f"<p>{_prose(kind.meaning)}</p>"
        f"<h2>What to do</h2><p>{_prose(kind.remedy)}</p>"
    )


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _page(title: str, content: str) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>CCDM: {escape(title)}</title>"
        '<link rel="icon" href="/dashboard/static/favicon.svg" type="image/svg+xml">'
        f'<link rel="stylesheet" href="/static/pages.css"></head>'
        f"<body>{_NAVIGATION}<main>{content}</main></body></html>",
        headers=_POLICY,
    )
