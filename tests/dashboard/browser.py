"""A page that is watched: what it asks for, and what its console says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.missing import NEEDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 45_000
# How Chromium's console reports requests that failed, whatever the reason.
FAILED = "Failed to load resource"
expect.set_options(timeout=PATIENCE_MS)


def browser_path() -> str | None:
    """The browser to test with: ``$CHROMIUM``, or the first one on the PATH."""
    wanted = os.environ.get("CHROMIUM")
    return wanted or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; the test is skipped, and says so, where there is none."""
    path = browser_path()
    if path is None:
        pytest.skip(
            f"{NEEDS}a browser: apt-get install chromium (Debian), or name one in "
            "$CHROMIUM"
        )
    # The sandbox needs rights that root in a container does not have.
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page with everything it asked for and said."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def open(self, fragment: str = "#/") -> Page:
        """Go to a view."""
        self.page.goto(f"{self.origin}/dashboard{fragment}")
        return self.page

    def check(self) -> None:
        """Nothing was asked of anybody else, and nothing went wrong unseen."""
        foreign = [
            url
            for url in self.requests
            if urlsplit(url).scheme not in ("data", "blob")
            and not url.startswith(self.origin + "/")
        ]
        assert not foreign
        unexpected = [
            text for text in self.messages if not text.startswith(self.allowed or "\0")
        ]
        assert not unexpected


@contextmanager
def watched(
    browser: Browser, origin: str, *, width: int = 1280, scheme: str = "light"
) -> Iterator[Watched]:
    """A page in a profile of its own; checked at the end."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found = Watched(page, origin)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on(
        "console",
        lambda said: (
            found.messages.append(said.text)
            if said.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: found.messages.append(str(error)))
    try:
        yield found
        found.check()
    finally:
        context.close()
