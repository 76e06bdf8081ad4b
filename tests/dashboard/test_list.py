"""The list of sessions while it is read, pointed at and typed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from service.client import Client
from tests.dashboard.browser import watched
from tests.dashboard.conftest import Watch
from tests.support.live_session import LiveSession
from tests.support.servers import Server, serving

pytestmark = pytest.mark.slow

LONG = "x" * 300
# As long as names may be.
NAME = "n" * 200
# Longer than the list leaves its order alone after a touch.
LATER_MS = 7_000
TITLES = "[...document.querySelectorAll('tbody a')].map(a => a.textContent)"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose sessions are those of one test."""
    with serving(tmp_path_factory.mktemp("list")) as running:
        yield running


@pytest.fixture
def several(quiet: Server) -> Iterator[list[LiveSession]]:
    """Thirty sessions, the latest first: more than a screen holds."""
    with Client(quiet.url) as client:
        made = [LiveSession(client, members=4, title=f"Run {i:02}") for i in range(30)]
        yield made[::-1]
        for live in made:
            live.session.delete()


def wait(page: Page, milliseconds: int = 3_100) -> None:
    """Let time pass on the page, and the list be asked for again."""
    with page.expect_response("**/v1/sessions?*"):
        page.clock.run_for(milliseconds)


def test_focus_selection_and_scroll_outlive_a_change(
    browser: Browser, quiet: Server, several: list[LiveSession]
) -> None:
    with watched(browser, quiet.url) as found:
        found.page.clock.install()
        page = found.open()
        link = page.get_by_role("link", name="Run 10")
        link.focus()
        page.evaluate("scrollTo(0, 400)")
        element = link.element_handle()
        assert element is not None
        several[-1].cycle()
        row = page.get_by_role("row").filter(has_text="Run 00")
        wait(page)
        expect(row.get_by_role("cell").first).to_have_text("1")
        assert page.evaluate(TITLES)[-1] == "Run 00", "no row moves under a hand"
        wait(page, LATER_MS)
        wait(page)
        expect(page.locator("tbody a").first).to_have_text("Run 00")
        assert sorted(page.evaluate(TITLES)[1:]) == page.evaluate(TITLES)[:0:-1]
        assert element.evaluate("e => e === document.activeElement")
        assert page.evaluate("scrollY") > 0
        # The focused row itself comes up, and the others move around it.
        several[19].cycle()
        wait(page, LATER_MS)
        wait(page)
        expect(page.locator("tbody a").first).to_have_text("Run 10")
        assert element.evaluate("e => e === document.activeElement")
        expect(link).to_be_in_viewport()


def test_rows_come_and_go_and_the_others_stay(
    browser: Browser, quiet: Server, several: list[LiveSession]
) -> None:
    with watched(browser, quiet.url) as found, Client(quiet.url) as client:
        found.page.clock.install()
        page = found.open()
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(30)
        kept = page.get_by_role("link", name="Run 10").element_handle()
        assert kept is not None
        more = LiveSession(client, members=4, title="One more")
        wait(page)
        expect(rows).to_have_count(31)
        expect(rows.first).to_contain_text("One more")
        more.session.delete()
        wait(page)
        expect(rows).to_have_count(30)
        assert kept.evaluate("e => e.isConnected")
        page.get_by_label("Filter").fill("Run 1")
        expect(rows).to_have_count(10)
        assert kept.evaluate("e => e.isConnected")


@pytest.mark.parametrize("width", [1280, 960, 760, 400])
def test_a_long_title_leaves_room_for_the_columns(
    watch: Watch, client: Client, width: int
) -> None:
    title = f"{width}{LONG}"
    live = LiveSession(client, members=4, title=title)
    with watch(width=width) as found:
        page = found.open()
        row = page.locator("tbody tr").filter(has_text=title)
        link = row.get_by_role("link")
        expect(link).to_have_attribute("title", title)
        for cell in [link, *row.locator("td").all()]:
            left, right = sides(cell)
            assert left >= 0
            assert right <= width
        # Two lines, not the five or more of the whole.
        assert link.evaluate("e => e.getBoundingClientRect().height") < 60
    live.session.delete()


def test_a_long_name_does_not_break_its_value(watch: Watch, client: Client) -> None:
    live = LiveSession(client, members=20, measurement=NAME)
    live.history(4)
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        legend = page.get_by_role("figure", name="Innovation").locator(".legend")
        expect(legend.get_by_title(NAME)).to_be_visible()
        value = legend.locator(".value").first
        assert value.evaluate("e => e.getClientRects()[0].height") < 30
        left, right = sides(value)
        assert right - left > 15
        assert legend.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    live.session.delete()


def sides(part: Locator) -> tuple[float, float]:
    """Left and right edge on the screen, in pixels."""
    box = part.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


def test_focus_set_by_the_page_draws_no_frame(watch: Watch) -> None:
    with watch() as found:
        page = found.open()
        link = page.get_by_role("link", name="Try it").first
        link.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
        assert outline(page) == "none"
        page.keyboard.press("Tab")
        assert outline(page) != "none"


def outline(page: Page) -> str:
    """Style of the frame around what has the focus."""
    style: str = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    return style
