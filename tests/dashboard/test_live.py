"""News as it happens: events, a service that comes back, polling, an ended session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from service.cli.demo.processes import Service
from service.client import Client, RetryPolicy
from tests.dashboard.browser import FAILED, watched
from tests.dashboard.conftest import Watch
from tests.support.live_session import LiveSession
from tests.support.servers import Server

pytestmark = pytest.mark.slow

RESTARTS = (FAILED,)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Service]:
    """A service of one test's own, which comes back at the same address."""
    with Service(f"sqlite:///{tmp_path}/sessions.sqlite", tmp_path / "log") as running:
        yield running


def expect_cycle(page: Page, k: int) -> None:
    """The latest cycle is there, in numbers and in pictures."""
    expect(page.locator("output.place")).to_have_text(f"{k} of {k}")
    timings = page.get_by_role("figure", name="Timings").locator(".plot .bar.main")
    expect(timings).to_have_count(k)


def expect_status(page: Page, text: str) -> None:
    """What the page says about its connection."""
    expect(page.get_by_role("status").filter(has_text=text)).to_be_visible()


def test_each_cycle_is_drawn_as_it_comes_in(watch: Watch, client: Client) -> None:
    live = LiveSession(client)
    live.history(3)
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Live")
        expect_cycle(page, 3)
        for k in (4, 5, 6):
            assert live.cycle() == k
            expect_cycle(page, k)
        streams = [url for url in found.requests if url.endswith("/events")]
        assert len(streams) == 1


def test_a_chosen_cycle_stays_while_others_come_in(
    watch: Watch, client: Client
) -> None:
    live = LiveSession(client)
    live.history(4)
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        expect_cycle(page, 4)
        page.get_by_label("Cycle", exact=True).fill("2")
        live.cycle()
        expect(page.locator("output.place")).to_have_text("2 of 5")


def test_a_service_that_comes_back_is_followed_again(
    browser: Browser, mortal: Service
) -> None:
    with Client(mortal.url, retry=RetryPolicy(give_up_after=30)) as client:
        live = LiveSession(client, seed=2)
        live.history(3)
        with watched(browser, mortal.url) as found:
            found.allowed = RESTARTS
            page = found.open(f"#/sessions/{live.session.id}")
            expect_status(page, "Live")
            mortal.kill()
            expect_status(page, "Service away, trying again")
            # What was known stays on the screen.
            expect_cycle(page, 3)
            mortal.start()
            expect_status(page, "Live")
            live.cycle()
            expect_cycle(page, 4)


def test_without_events_the_page_asks(watch: Watch, client: Client) -> None:
    live = LiveSession(client)
    live.history(2)
    with watch() as found:
        found.allowed = RESTARTS
        found.page.route("**/events", lambda route: route.abort())
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Asking every few seconds")
        live.cycle()
        expect_cycle(page, 3)


def test_events_that_were_refused_are_asked_for_again(
    watch: Watch, client: Client
) -> None:
    live = LiveSession(client)
    live.history(2)
    with watch() as found:
        found.allowed = RESTARTS
        found.page.route("**/events", lambda route: route.fulfill(status=503), times=1)
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Live")
        live.cycle()
        expect_cycle(page, 3)


def test_a_deleted_session_is_said_to_have_ended(watch: Watch, client: Client) -> None:
    live = LiveSession(client)
    live.history(2)
    with watch() as found:
        found.allowed = RESTARTS
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Live")
        live.session.delete()
        expect_status(page, "Ended")
        expect_cycle(page, 2)


def test_members_that_come_one_by_one_are_counted(
    watch: Watch, server: Server, client: Client
) -> None:
    live = LiveSession(client)
    live.history(1)
    path = f"{server.url}/v1/sessions/{live.session.id}/cycles/2/members"
    member = {"forecast_state": [1, 2, 3], "simulated_measurement": [1, 2]}
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Live")
        for i in (0, 1):
            httpx.put(f"{path}/{i}", json=member).raise_for_status()
        expect(page.locator(".about-session")).to_contain_text(
            "Waiting for the next cycle2 of 60 members"
        )


def test_leaving_a_session_ends_its_stream(watch: Watch, client: Client) -> None:
    live = LiveSession(client)
    live.history(2)
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        expect_status(page, "Live")
        with page.expect_event(
            "requestfailed", lambda request: request.url.endswith("/events")
        ):
            page.get_by_role("link", name="Try it").click()
        asked = len(found.requests)
        live.cycle()
        page.wait_for_timeout(500)
        assert not [url for url in found.requests[asked:] if "/v1/" in url]


def test_new_sessions_appear_in_the_list(watch: Watch, client: Client) -> None:
    with watch() as found:
        page = found.open()
        heading = page.get_by_role("heading", name="Sessions", level=1)
        expect(heading).to_be_visible()
        LiveSession(client, title="A new one")
        expect(page.get_by_role("link", name="A new one")).to_be_visible()
