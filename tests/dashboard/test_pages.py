"""Lists, keys, errors, colours, keyboard and small screens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from service.client import Client
from tests.dashboard.browser import FAILED, watched
from tests.dashboard.conftest import HISTORY, Watch
from tests.dashboard.states import KEY, enter_key
from tests.support.live_session import LiveSession
from tests.support.servers import Server

pytestmark = pytest.mark.slow


def test_an_empty_service_says_how_to_begin(browser: Browser, keyed: Server) -> None:
    with watched(browser, keyed.url) as found:
        found.allowed = (FAILED,)
        enter_key(found.open(), KEY)
        expect(
            found.page.get_by_role("heading", name="No sessions yet")
        ).to_be_visible()
        found.page.get_by_role("link", name="Try an analysis").click()
        expect(found.page.get_by_role("heading", level=1)).to_have_text(
            "Try an analysis"
        )


def test_a_key_is_asked_for_kept_and_forgotten(browser: Browser, keyed: Server) -> None:
    with watched(browser, keyed.url) as found:
        found.allowed = (FAILED,)
        page = found.open()
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        enter_key(page, "wrong")
        expect(page.get_by_role("alert")).to_have_text("This key is not known.")
        enter_key(page, KEY)
        expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        kept = {item["name"]: item for item in page.context.cookies()}
        (cookie,) = kept.values()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert cookie["expires"] == -1
        page.reload()
        expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()
        page.get_by_role("button", name="Forget key").click()
        expect(page.get_by_label("Key", exact=True)).to_be_visible()
        assert not page.context.cookies()


def test_with_a_key_events_come_too(browser: Browser, keyed: Server) -> None:
    with Client(keyed.url, api_key=KEY) as client:
        live = LiveSession(client)
        live.history(1)
        with watched(browser, keyed.url) as found:
            found.allowed = (FAILED,)
            page = found.open(f"#/sessions/{live.session.id}")
            enter_key(page, KEY)
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            live.cycle()
            expect(page.locator("output.place")).to_have_text("2 of 2")
        live.session.delete()


def test_the_list_leads_to_a_session(watch: Watch, cycled: LiveSession) -> None:
    with watch() as found:
        page = found.open()
        row = page.get_by_role("row").filter(has_text=HISTORY)
        for text in ("45", "40", "3", "2"):
            expect(row.get_by_role("cell", name=text, exact=True)).to_be_visible()
        row.get_by_role("link").click()
        expect(page).to_have_url(re.compile(f"#/sessions/{cycled.session.id}$"))
        expect(page).to_have_title(f"{HISTORY} · CCDM")
        page.get_by_role("main").get_by_role("link", name="Sessions").click()
        expect(row).to_be_visible()


def test_the_filter_finds_by_title_and_id(
    watch: Watch, client: Client, cycled: LiveSession
) -> None:
    other = LiveSession(client, title="Something else")
    with watch() as found:
        page = found.open()
        rows = page.locator("tbody tr")
        for wanted, title in (
            ("something", "Something else"),
            (cycled.session.id[-8:], HISTORY),
        ):
            page.get_by_label("Filter").fill(wanted)
            expect(rows).to_have_count(1)
            expect(rows).to_contain_text(title)
        page.get_by_label("Filter").fill("neither")
        expect(page.get_by_text("No session matches the filter.")).to_be_visible()
    other.session.delete()


def test_a_service_that_does_not_answer_is_said_so(watch: Watch) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        found.page.route("**/v1/sessions*", lambda route: route.abort(), times=1)
        page = found.open()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The service does not answer.")
        alert.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()


def test_an_unknown_session_is_explained(watch: Watch) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        page = found.open("#/sessions/unknown")
        alert = page.get_by_role("alert")
        expect(alert.get_by_role("heading")).to_be_visible()
        expect(alert).to_contain_text("What to do:")
        link = alert.get_by_role("link", name="About this problem")
        expect(link).to_have_attribute("href", "problems/session-not-found")
        # Asking again would not help.
        expect(alert.get_by_role("button")).to_have_count(0)
        alert.get_by_role("link", name="All sessions").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")


def test_an_unknown_page_leads_back(watch: Watch) -> None:
    with watch() as found:
        page = found.open("#/nowhere")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
        page.get_by_role("link", name="All sessions").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")


def test_the_theme_follows_the_system_until_it_is_chosen(
    browser: Browser, server: Server
) -> None:
    with watched(browser, server.url, scheme="dark") as found:
        page = found.open()
        assert lightness(page) < 40
        page.get_by_label("Theme").select_option("Light")
        assert lightness(page) > 220
        page.reload()
        assert lightness(page) > 220
        page.get_by_label("Theme").select_option("Dark")
        assert lightness(page) < 40


def lightness(page: Page) -> float:
    """Of the background, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_everything_is_reached_by_keyboard(watch: Watch, client: Client) -> None:
    # Last changed, and thus the first of the list.
    live = LiveSession(client, title="Keys alone")
    live.history(4)
    with watch() as found:
        page = found.open()
        link = page.get_by_role("link", name="Keys alone")
        expect(link).to_be_visible()
        passed = []
        for _ in range(12):
            page.keyboard.press("Tab")
            passed.append(page.evaluate("document.activeElement.textContent.trim()"))
            if link.evaluate("element => element === document.activeElement"):
                break
            assert page.evaluate(OUTLINED), passed
        expect(link).to_be_focused()
        assert passed[:5] == [
            "Skip to content",
            "CCDM",
            "Sessions",
            "Try it",
            "Interface",
        ]
        page.keyboard.press("Enter")
        slider = page.get_by_label("Cycle", exact=True)
        expect(slider).to_be_visible()
        expect(page.get_by_role("main")).to_be_focused()
        slider.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("output.place")).to_have_text("2 of 4")
        expect(slider).to_have_attribute("aria-valuetext", "Cycle 2")
        summary = page.get_by_role("figure", name="Spread").locator("summary")
        summary.focus()
        page.keyboard.press("Enter")
        expect(
            page.get_by_role("figure", name="Spread").get_by_role("table")
        ).to_be_visible()


OUTLINED = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
}"""


def test_the_first_stop_skips_to_the_content(watch: Watch) -> None:
    with watch() as found:
        page = found.open()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()


def test_a_key_that_only_reads_is_told_so_when_it_tries(
    browser: Browser, keyed: Server
) -> None:
    with watched(browser, keyed.url) as found:
        found.allowed = (FAILED,)
        page = found.open()
        enter_key(page, "only-reads")
        expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()
        page.get_by_role("link", name="Try it").first.click()
        page.get_by_role("button", name="Use sample data").click()
        page.get_by_role("button", name="Run analysis").click()
        expect(page.get_by_role("alert")).to_contain_text("scope")
