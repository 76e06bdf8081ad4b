"""A browser, a service, and sessions to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest
from playwright.sync_api import Browser

from service.client import Client
from tests.dashboard.browser import Watched, chromium, watched
from tests.dashboard.states import KEYS
from tests.support.live_session import LiveSession
from tests.support.servers import Server, serving

HISTORY = "A history of 45 cycles"
Watch = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window.

    Not for the whole run: its event loop would be in the way of other tests'.
    """
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service on loopback, without keys."""
    with serving(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that asks for a key."""
    with serving(tmp_path_factory.mktemp("keyed"), API_KEYS=KEYS) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    """A client of that service."""
    with Client(server.url) as connected:
        yield connected


@pytest.fixture
def watch(browser: Browser, server: Server) -> Watch:
    """Opens pages of that service."""
    return partial(watched, browser, server.url)


@pytest.fixture(scope="session")
def cycled(client: Client) -> LiveSession:
    """A session with a history: gaps, a wild reading, warnings."""
    live = LiveSession(client, members=40, title=HISTORY)
    live.history(45)
    return live
