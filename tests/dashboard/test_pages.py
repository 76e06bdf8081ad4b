"""Lists, keys, errors, colours, keyboard and small screens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from service.client import Client
from tests.dashboard.browser import FAILED, watched
from tests.dashboard.conftest import HISTORY, Watch
from tests.support.live_session import LiveSession
from tests.support.servers import Server, serving

pytestmark = pytest.mark.slow

KEY = "odd;key=with=signs"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that asks for a key."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = f"alice:{KEY},eve+read:only-reads"
    with serving(folder, API_KEYS=keys) as running:
        yield running


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


def enter_key(page: Page, key: str) -> None:
    """Fill in the form that asks for a key."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Continue").click()


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


def prepare(page: Page, view: str, session: str) -> None:
    """Bring a page into the state that a view is judged in."""
    if view == "session":
        page.goto(page.url.partition("#")[0] + f"#/sessions/{session}")
        expect(page.get_by_role("application")).to_be_visible()
        page.get_by_role("figure", name="Spread").locator("summary").click()
    elif view == "try":
        page.goto(page.url.partition("#")[0] + "#/try")
        page.get_by_role("button", name="Use sample data").click()
        page.get_by_role("button", name="Run analysis").click()
        expect(page.get_by_role("button", name="Download CSV")).to_be_visible()
    elif view == "problem":
        page.goto(page.url.partition("#")[0] + "#/sessions/unknown")
        expect(page.get_by_role("alert")).to_be_visible()
    else:
        expect(page.get_by_role("link", name=HISTORY)).to_be_visible()


@pytest.mark.parametrize("view", ["list", "session", "try", "problem"])
def test_no_barriers_are_found_and_nothing_overflows(
    watch: Watch, cycled: LiveSession, view: str
) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        page = found.open()
        prepare(page, view, cycled.session.id)
        judge(page)


def test_the_key_form_has_no_barriers(browser: Browser, keyed: Server) -> None:
    with watched(browser, keyed.url) as found:
        found.allowed = (FAILED,)
        page = found.open()
        enter_key(page, "wrong")
        expect(page.get_by_role("alert")).not_to_be_empty()
        judge(page)


def judge(page: Page) -> None:
    """A large light screen and a small dark one: axe's rules, contrast among them."""
    for width, scheme in ((1280, "light"), (400, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(200)
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert len(result.response["passes"]) > 15
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, f"{width} px"


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
