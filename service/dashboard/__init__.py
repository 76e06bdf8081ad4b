"""Pages that show what the filter does, and one to try an analysis.

Nothing but files: HTML, styles and modules, written by hand and sent as they are. What
they show, they read through the public API from the browser, as any client does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
# Nothing inline, nothing from elsewhere, no strings that become markup.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked again each time, by ETag: pages and service always fit each other.
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/dashboard")
async def dashboard() -> Response:
    """The one page; what it shows is in its fragment, which stays in the browser."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


class Assets(StaticFiles):
    """What the page is made of."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file with the headers of the page, or 304."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response
