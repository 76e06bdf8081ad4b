"""Pictures for the documentation, taken from a running service::

    python -m tests.dashboard.screenshots docs/images

Needs Chromium, as the tests do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from service.client import Client
from tests.dashboard.browser import chromium, watched
from tests.support.live_session import LiveSession
from tests.support.servers import serving

# Few colours make small files, and charts have few; the rare ones matter most.
COLOURS = 256


def main() -> None:
    """Take all of them."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as store,
        serving(Path(store)) as server,
        chromium() as browser,
        Client(server.url) as client,
    ):
        live = LiveSession(client)
        live.history(160)
        session = f"#/sessions/{live.session.id}"
        session_pictures(browser, server.url, session, folder)
        with watched(browser, server.url) as found:
            page = found.open("#/try")
            page.get_by_role("button", name="Use sample data").click()
            page.get_by_role("button", name="Run analysis").click()
            expect(page.get_by_role("figure", name="One state")).to_be_visible()
            keep(page, folder / "dashboard-try.png", 0)


def session_pictures(browser: Browser, url: str, session: str, folder: Path) -> None:
    """One session on a large light screen, and on a small dark one."""
    for width, scheme, top in ((1280, "light", 0), (400, "dark", 0)):
        with watched(browser, url, width=width, scheme=scheme) as found:
            page = found.open(session)
            expect(page.get_by_role("application")).to_be_visible()
            keep(page, folder / f"dashboard-session-{scheme}.png", top)


def keep(page: Page, path: Path, top: int) -> None:
    """A page as a small file; of a narrow one, what two screens show."""
    page.wait_for_timeout(500)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as whole:
        bottom = whole.height if whole.width > 500 else 2200
        part = whole.convert("RGB").crop((0, top, whole.width, bottom))
        few = part.quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        few.save(path, optimize=True)


if __name__ == "__main__":
    main()
