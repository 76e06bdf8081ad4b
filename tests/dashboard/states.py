"""Every state that a page can be in: all are judged, and pictured in the docs."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from service.client import Client
from tests.dashboard.browser import Watched
from tests.support.live_session import LiveSession

# Of the service that asks for keys; the last one's owner has no sessions.
KEY = "odd;key=with=signs"
NOTHING_YET = "nothing-yet"
KEYS = f"alice:{KEY},eve+read:only-reads,nobody:{NOTHING_YET}"
MEMBER = {"forecast_state": [1, 2, 3], "simulated_measurement": [1, 2]}

State = Callable[[Watched, LiveSession, Client], Page]


def enter_key(page: Page, key: str) -> None:
    """Fill in the form that asks for a key."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Continue").click()


def key_form(found: Watched) -> Page:
    """A key is asked for, and one was wrong."""
    page = found.open()
    enter_key(page, "wrong")
    expect(page.get_by_role("alert")).not_to_be_empty()
    return page


def empty(found: Watched) -> Page:
    """No sessions; with the key of somebody who has none."""
    page = found.open()
    enter_key(page, NOTHING_YET)
    expect(page.get_by_role("heading", name="No sessions yet")).to_be_visible()
    return page


def listed(found: Watched, live: LiveSession, client: Client) -> Page:
    """The list of sessions."""
    page = found.open()
    expect(page.locator(f'a[href$="{live.session.id}"]')).to_be_visible()
    return page


def list_away(found: Watched, live: LiveSession, client: Client) -> Page:
    """The list, and then no service any more."""
    page = listed(found, live, client)
    page.route("**/v1/**", lambda route: route.abort())
    expect(page.get_by_role("status")).to_contain_text("Trying again.")
    return page


def session(found: Watched, live: LiveSession, client: Client) -> Page:
    """A session with a history."""
    page = found.open(f"#/sessions/{live.session.id}")
    expect(page.get_by_role("application")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    return page


def chosen(found: Watched, live: LiveSession, client: Client) -> Page:
    """A cycle that was chosen from a warning."""
    page = session(found, live, client)
    page.get_by_role("button", name="Show cycle 41").first.click()
    expect(page.get_by_role("button", name="Follow latest")).to_be_visible()
    return page


def waiting(found: Watched, live: LiveSession, client: Client) -> Page:
    """A session whose first cycle lacks members."""
    other = LiveSession(client, title="A cluster, member by member")
    path = f"{found.origin}/v1/sessions/{other.session.id}/cycles/1/members"
    page = found.open(f"#/sessions/{other.session.id}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    for i in range(3):
        httpx.put(f"{path}/{i}", json=MEMBER, timeout=60).raise_for_status()
    expect(page.locator(".about-session")).to_contain_text("3 of 60 members")
    return page


def away(found: Watched, live: LiveSession, client: Client) -> Page:
    """A session, and then no service any more."""
    found.page.route("**/events", lambda route: route.abort())
    page = found.open(f"#/sessions/{live.session.id}")
    expect(page.get_by_role("application")).to_be_visible()
    page.route("**/v1/**", lambda route: route.abort())
    expect(page.get_by_text("Service away, trying again")).to_be_visible()
    expect(page.get_by_text("What is shown is what was known last.")).to_be_visible()
    return page


def ended(found: Watched, live: LiveSession, client: Client) -> Page:
    """A session that is deleted while it is looked at."""
    other = LiveSession(client, title="Yesterday's experiment")
    other.history(5)
    page = session(found, other, client)
    other.session.delete()
    expect(page.get_by_text("Ended", exact=True)).to_be_visible()
    expect(page.locator(".about-session")).not_to_contain_text("Expires")
    return page


def problem(found: Watched, live: LiveSession, client: Client) -> Page:
    """A session that there is not."""
    page = found.open("#/sessions/unknown")
    expect(page.get_by_role("alert")).to_be_visible()
    return page


def not_found(found: Watched, live: LiveSession, client: Client) -> Page:
    """A page that there is not."""
    page = found.open("#/nowhere")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    return page


def tried_not_yet(found: Watched, live: LiveSession, client: Client) -> Page:
    """The try-it page as it opens."""
    page = found.open("#/try")
    expect(page.get_by_role("button", name="Use sample data")).to_be_visible()
    return page


def tried(found: Watched, live: LiveSession, client: Client) -> Page:
    """The try-it page with a result."""
    page = tried_not_yet(found, live, client)
    page.get_by_role("button", name="Use sample data").click()
    page.get_by_label("Seed").fill("1")
    page.get_by_role("button", name="Run analysis").click()
    expect(page.get_by_role("button", name="Download CSV")).to_be_visible()
    return page


def refused(found: Watched, live: LiveSession, client: Client) -> Page:
    """The try-it page with what the service refused."""
    page = tried_not_yet(found, live, client)
    page.get_by_role("button", name="Use sample data").click()
    page.get_by_text("More options").click()
    page.get_by_label("As JSON").fill('{"inflaton": 1.05}')
    page.get_by_role("button", name="Run analysis").click()
    expect(page.get_by_role("alert")).to_be_visible()
    return page


def unreadable(found: Watched, live: LiveSession, client: Client) -> Page:
    """The try-it page with a file that cannot be read."""
    page = tried_not_yet(found, live, client)
    file = {"name": "states.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n3,x\n"}
    page.get_by_label("Forecast states").set_input_files(file)  # type: ignore[arg-type]
    expect(page.get_by_text("is not a number")).to_be_visible()
    return page


STATES: dict[str, State] = {
    made.__name__: made
    for made in (
        *(listed, list_away, session, chosen, waiting, away, ended),
        *(problem, not_found, tried_not_yet, tried, refused, unreadable),
    )
}
KEYED_STATES: dict[str, Callable[[Watched], Page]] = {
    "key_form": key_form,
    "empty": empty,
}
