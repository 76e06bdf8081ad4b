"""Pictures of every state for the documentation, taken from a running service::

    python -m tests.dashboard.screenshots docs/images [name ...]

All of them, or those that are named. Needs Chromium, as the tests do.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Browser, Page

from service.client import Client
from tests.dashboard.browser import chromium, watched
from tests.dashboard.states import KEYED_STATES, KEYS, STATES
from tests.support.live_session import LiveSession
from tests.support.servers import serving

# Few colours make small files. Half of them are the most frequent as they are, so that
# paper and ink stay what they were; the others cover the rest.
COLOURS = 128
WIDE, PHONE = 1280, 400
# Where what the page holds ends.
BOTTOM = """Math.ceil(scrollY + Math.max(...[...document.querySelector('main').children]
  .map((child) => child.getBoundingClientRect().bottom)))"""
MARGIN = 24


class Picture(NamedTuple):
    """A state on a screen, and how much of its height is shown at most."""

    state: str
    width: int = WIDE
    scheme: str = "light"
    height: int = 10_000


PICTURES = {
    "list": Picture("listed"),
    "list-phone": Picture("listed", PHONE, "dark"),
    "list-away": Picture("list_away"),
    "empty": Picture("empty"),
    "waiting": Picture("waiting"),
    "session-light": Picture("session"),
    "session-dark": Picture("session", WIDE, "dark", 1400),
    "session-phone": Picture("session", PHONE, "dark", 2000),
    "warning": Picture("chosen", height=1000),
    "away": Picture("away", height=560),
    "ended": Picture("ended", height=560),
    "problem": Picture("problem"),
    "not-found": Picture("not_found"),
    "key": Picture("key_form"),
    "try": Picture("tried_not_yet"),
    "try-result": Picture("tried"),
    "try-error": Picture("refused"),
    "try-file": Picture("unreadable"),
}


def main() -> None:
    """Take all of them, or those that are named."""
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(PICTURES)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (store / "keyed").mkdir()
        plain = stack.enter_context(serving(store))
        keyed = stack.enter_context(serving(store / "keyed", API_KEYS=KEYS))
        browser = stack.enter_context(chromium())
        client = stack.enter_context(Client(plain.url))
        live = filled(client)
        for name in names:
            take(browser, plain.url, keyed.url, folder, name, live, client)


def filled(client: Client) -> LiveSession:
    """Sessions as somebody has them; returns the one to look at."""
    for title in ("Reservoir, winter", "Reactor, feed varied", "Lorenz-63, 20 members"):
        LiveSession(client, members=20, title=title).history(3)
    live = LiveSession(client, members=100)
    live.history(160)
    return live


def take(
    browser: Browser,
    plain: str,
    keyed: str,
    folder: Path,
    name: str,
    live: LiveSession,
    client: Client,
) -> None:
    """One picture."""
    picture = PICTURES[name]
    with_key = picture.state in KEYED_STATES
    with watched(
        browser,
        keyed if with_key else plain,
        width=picture.width,
        scheme=picture.scheme,
    ) as found:
        # What is said of failed requests is part of some states.
        found.allowed = ("",)
        page = (
            KEYED_STATES[picture.state](found)
            if with_key
            else STATES[picture.state](found, live, client)
        )
        keep(page, folder / f"dashboard-{name}.png", picture.height)


def keep(page: Page, path: Path, height: int) -> None:
    """A page as a small file, without the empty space below what it holds."""
    page.wait_for_timeout(500)
    bottom = min(height, page.evaluate(BOTTOM) + MARGIN)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as whole:
        part = whole.convert("RGB").crop((0, 0, whole.width, bottom))
        with_few_colours(np.asarray(part)).save(path, optimize=True)


def with_few_colours(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """The picture ``(height, width, 3)`` with a palette."""
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    often = np.argsort(-counts, kind="stable")[: COLOURS // 2]
    others = Image.fromarray(colours[None].astype(np.uint8)).quantize(
        COLOURS - often.size, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    rest = np.array(others.getpalette(), float).reshape(-1, 3)
    palette = np.concatenate([colours[often], rest])
    nearest = [np.square(palette - colour).sum(axis=1).argmin() for colour in colours]
    places = np.array(nearest, np.uint8)[where].reshape(codes.shape)
    image = Image.fromarray(places)
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


if __name__ == "__main__":
    main()
