"""No barriers in any state: contrast, names, roles, and nothing that overflows."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from service.client import Client
from tests.dashboard.browser import FAILED, watched
from tests.dashboard.conftest import Watch
from tests.dashboard.states import KEYED_STATES, STATES
from tests.support.live_session import LiveSession
from tests.support.servers import Server

pytestmark = pytest.mark.slow

SIZES = [(1280, "light"), (1280, "dark"), (400, "dark"), (400, "light")]

# Of words in pictures against their card: axe does not always tell what is behind them.
LEAST_CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  return Math.min(21, ...[...document.querySelectorAll("svg text")].map((text) => {
    const one = light(getComputedStyle(text).fill);
    const other = light(getComputedStyle(text.closest(".card")).backgroundColor);
    return Math.max(one, other) / Math.min(one, other);
  }));
}"""


@pytest.mark.parametrize("state", STATES)
def test_a_state_has_no_barriers(
    watch: Watch, client: Client, cycled: LiveSession, state: str
) -> None:
    with watch() as found:
        found.allowed = (FAILED,)
        judge(STATES[state](found, cycled, client))


@pytest.mark.parametrize("state", KEYED_STATES)
def test_a_state_with_keys_has_no_barriers(
    browser: Browser, keyed: Server, state: str
) -> None:
    with watched(browser, keyed.url) as found:
        found.allowed = (FAILED,)
        judge(KEYED_STATES[state](found))


@pytest.mark.parametrize("path", ["/problems", "/problems/members-missing"])
def test_a_page_on_problems_has_no_barriers_and_leads_back(
    watch: Watch, path: str
) -> None:
    with watch() as found:
        found.page.goto(found.origin + path)
        judge(found.page)
        found.page.get_by_role("link", name="Dashboard").click()
        expect(found.page).to_have_title("Sessions · CCDM")


def judge(page: Page) -> None:
    """Large and small, light and dark, by axe's rules; what it cannot tell counts."""
    for folded in page.locator("details:not([open]) > summary").all():
        if folded.is_visible():
            folded.click()
    for width, scheme in SIZES:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(200)
        found = Axe().run(page).response
        told = [*found["violations"], *filter(in_doubt, found["incomplete"])]
        assert not told, f"{width} px, {scheme}:\n" + "\n".join(map(described, told))
        assert len(found["passes"]) > 15
        assert page.evaluate(LEAST_CONTRAST) >= 4.5
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0, f"{width} px"


def in_doubt(rule: dict[str, Any]) -> bool:
    """Whether more is left open than what lies behind words in a picture."""
    words = [node["html"].startswith("<text ") for node in rule["nodes"]]
    return rule["id"] != "color-contrast" or not all(words)


def described(rule: dict[str, Any]) -> str:
    """A finding and where it is."""
    places = [
        f"  {node['target']}: {node.get('failureSummary') or node['any']}"
        for node in rule["nodes"]
    ]
    return "\n".join([f"{rule['id']}: {rule['help']}", *places])
