"""One session in the browser: what the pictures say is what the interface says."""

from __future__ import annotations

import re
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from service.client import Client
from tests.dashboard.browser import FAILED
from tests.dashboard.conftest import HISTORY, Watch
from tests.support.live_session import LiveSession
from tests.support.servers import Server

pytestmark = pytest.mark.slow

FAN = "Observation in the simulated ensemble"


def panel(page: Page, title: str) -> Locator:
    """A picture by its title."""
    return page.get_by_role("figure", name=title, exact=True)


def briefs(server: Server, live: LiveSession) -> list[dict[str, Any]]:
    """Facts about all cycles, from the interface."""
    path = f"{server.url}/v1/sessions/{live.session.id}/cycles"
    found: list[dict[str, Any]] = httpx.get(path).json()["cycles"]
    return found


def test_pictures_hold_every_cycle(
    watch: Watch, server: Server, cycled: LiveSession
) -> None:
    cycles = briefs(server, cycled)
    seen = [
        c
        for c in cycles
        if 0 in ((c["diagnostics"]["predicted"] or {}).get("index") or [])
    ]
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(HISTORY)
        fan = panel(page, FAN)
        expect(fan.locator("svg.chart")).to_be_visible()
        assert fan.locator(".plot .dot").count() == len(seen) < len(cycles)
        expect(fan.locator("svg.chart")).to_contain_text("convection x [dimensionless]")
        timings = panel(page, "Timings").locator(".plot .bar.main")
        assert timings.count() == len(cycles)
        for title in ("Spread", "Innovation", "Rank histogram", "Weights",
                      "Bandwidths", "Model", "Analysis ensemble"):  # fmt: skip
            expect(panel(page, title)).to_be_visible()


def test_legends_tables_and_facts_tell_the_numbers(
    watch: Watch, server: Server, cycled: LiveSession
) -> None:
    cycles = briefs(server, cycled)
    last = cycles[-1]["diagnostics"]
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        spread = panel(page, "Spread")
        expect(spread.locator(".value")).to_have_text(
            [shown(last["prior_spread"]), shown(last["posterior_spread"])]
        )
        fan = panel(page, FAN)
        outside = sum(
            not row[0] <= y <= row[4]
            for c in cycles
            if (p := c["diagnostics"]["predicted"]) and 0 in p["index"]
            for row, y in [(p["quantiles"][0], p["observation"][0])]
        )
        expect(fan.locator(".note")).to_have_text(re.compile(f"^{outside} of "))
        assert fan.locator(".plot .dot.alarm").count() == outside
        spread.get_by_text("Table", exact=True).click()
        rows = spread.get_by_role("table").locator("tbody tr")
        expect(rows).to_have_count(len(cycles))
        expect(rows.nth(-1)).to_contain_text(shown(last["posterior_spread"]))
        facts = page.get_by_role("region", name="Selected cycle")
        expect(facts).to_contain_text(str(last["seed"]))
        if model := last["model"]:
            joint = model["measurement_kernel"] == "joint"
            name = "joint kernels" if joint else model["preconditioner"]
            name = "kernels alone" if name == "none" else name
            expect(facts).to_contain_text(f"Model{name}")


def shown(value: float) -> str:
    """A number between 0.001 and 1000 as the page writes it."""
    return f"{float(f'{value:.4g}'):g}"


def test_ranks_are_those_of_the_diagnostics(
    watch: Watch, server: Server, cycled: LiveSession
) -> None:
    every = [
        dict(zip(p["index"], p["rank"], strict=True))
        for c in briefs(server, cycled)
        if (p := c["diagnostics"]["predicted"])
    ]
    one = [found[0] for found in every if 0 in found]
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        histogram = panel(page, "Rank histogram")
        expect(histogram.locator(".legend")).to_contain_text(f"Ranks ({len(one)})")
        histogram.get_by_text("Table", exact=True).click()
        assert counts(histogram) == list(binned(one, 40, len(counts(histogram))))
        page.get_by_label("Ranks of all measurements").check()
        total = sum(map(len, every))
        expect(histogram.locator(".legend")).to_contain_text(f"Ranks ({total})")
        assert sum(counts(histogram)) == total


def counts(histogram: Locator) -> list[int]:
    """The second column of its table."""
    return [int(t) for t in histogram.locator("td:nth-child(2)").all_text_contents()]


def binned(ranks: list[int], members: int, bins: int) -> Any:
    """Ranks 0 to ``members`` in groups as even as they come."""
    return np.bincount(np.array(ranks) * bins // (members + 1), minlength=bins)


def test_warnings_come_with_advice_and_lead_to_their_cycle(
    watch: Watch, cycled: LiveSession
) -> None:
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        warnings = page.get_by_role("region", name="Warnings")
        expect(warnings).to_contain_text("observation-outside-ensemble")
        expect(warnings).to_contain_text("What to do: Check its units and order first")
        # Several warnings may have come up last in the same cycle.
        warnings.get_by_role("button", name="Show cycle 41").first.click()
        place = page.locator("output.place")
        expect(place).to_have_text("41 of 45")
        expect(panel(page, FAN).locator(".value").first).to_have_text("60")
        page.get_by_role("button", name="Follow latest").click()
        expect(place).to_have_text("45 of 45")


def test_the_measurement_is_chosen_and_pointing_reads_values(
    watch: Watch, cycled: LiveSession
) -> None:
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        page.get_by_label("Measurement", exact=True).select_option("temperature z")
        fan = panel(page, FAN)
        expect(fan.locator("svg.chart")).to_contain_text(
            "temperature z [dimensionless]"
        )
        plot = fan.locator(".plot")
        value = fan.locator(".value").first
        latest = value.text_content()
        box = plot.bounding_box()
        assert box
        plot.hover(position={"x": box["width"] / 2, "y": 90})
        expect(value).not_to_have_text(latest or "")
        plot.click(position={"x": box["width"] / 2, "y": 90})
        expect(page.locator("output.place")).to_have_text(re.compile(r"^2\d of 45"))


def test_the_ensemble_is_read_cell_by_cell(
    watch: Watch, client: Client, cycled: LiveSession
) -> None:
    samples = cycled.session.analysis()
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        heat = panel(page, "Analysis ensemble")
        canvas = heat.get_by_role("application")
        expect(canvas).to_be_visible()
        canvas.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
        told = heat.locator("[aria-live]")
        expect(told).to_have_text(re.compile("Member 1, z: "))
        read = (told.text_content() or "").rpartition(" ")[2].replace("−", "-")
        assert float(read) == pytest.approx(samples[1, 2], rel=1e-3)
        heat.get_by_label("Colour by").select_option("Value")
        expect(heat.locator(".heat-legend")).not_to_contain_text("deviations")


def test_samples_that_are_no_longer_kept_are_said_to_be(
    watch: Watch, cycled: LiveSession
) -> None:
    with watch() as found:
        page = found.open(f"#/sessions/{cycled.session.id}")
        expect(page.get_by_role("application")).to_be_visible()
        page.get_by_label("Cycle", exact=True).fill("20")
        expect(panel(page, "Analysis ensemble")).to_contain_text(
            "The samples of cycle 20 are no longer kept; those from cycle 36 on are."
        )


def test_large_sessions_are_not_downloaded(
    watch: Watch, server: Server, client: Client
) -> None:
    rng = np.random.default_rng(3)
    dx, dy, members = 30_000, 300, 8
    session = client.create_session(state_dim=dx, measurement_dim=dy)
    states = rng.standard_normal((members, dx))
    options = {"preconditioner": "none"}
    simulated = states[:, :dy] + rng.standard_normal((members, dy))
    session.cycle(states, simulated, np.zeros(dy), options=options)
    sizes: list[int] = []
    with watch() as found:
        found.page.on(
            "response",
            lambda answer: (
                sizes.append(len(answer.body()))
                if "/v1/" in answer.url and "events" not in answer.url
                else None
            ),
        )
        page = found.open(f"#/sessions/{session.id}")
        heat = panel(page, "Analysis ensemble")
        expect(heat).to_contain_text("8 members, one in 250 of 30,000 states")
        page.wait_for_load_state("load")
        asked = [url for url in found.requests if "/analysis" in url]
        assert all("members=0:8&states=0:30000:250" in url for url in asked) and asked
    assert sum(sizes) < 200_000


def test_without_cycles_the_page_waits_for_the_first(
    watch: Watch, client: Client
) -> None:
    live = LiveSession(client)
    with watch() as found:
        page = found.open(f"#/sessions/{live.session.id}")
        waiting = page.get_by_role("heading", name="Waiting for the first cycle")
        expect(waiting).to_be_visible()
        expect(page.get_by_role("figure")).to_have_count(0)
        live.cycle()
        expect(waiting).to_be_hidden()
        expect(panel(page, "Spread")).to_be_visible()


def test_cycles_further_back_are_loaded_when_asked_for(
    watch: Watch, client: Client
) -> None:
    # So many measurements that 200 cycles make a picture.
    session = client.create_session(state_dim=1, measurement_dim=100)
    states = np.random.default_rng(4).standard_normal((2, 1))
    for _ in range(203):
        session.cycle(states, np.zeros((2, 100)), [None] * 100)
    with watch() as found:
        page = found.open(f"#/sessions/{session.id}")
        slider = page.get_by_label("Cycle", exact=True)
        expect(slider).to_have_attribute("min", "4")
        expect(panel(page, "Innovation")).to_contain_text("No observation was")
        found.allowed = (FAILED,)
        page.route("**/cycles?*", lambda route: route.abort(), times=1)
        page.get_by_role("button", name="Load earlier").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The service does not answer.")
        # What is known stays, and can be looked at.
        expect(panel(page, "Innovation")).to_be_visible()
        expect(slider).to_have_attribute("min", "4")
        alert.get_by_role("button", name="Try again").click()
        expect(slider).to_have_attribute("min", "1")
        expect(alert).to_have_count(0)
        expect(page.get_by_role("button", name="Load earlier")).to_be_hidden()


def test_names_are_text_however_long_and_whatever_they_hold(
    watch: Watch, client: Client
) -> None:
    title = "<img src=x onerror=alert(1)> " + 20 * "a-rather-long-title-"
    names = {"states": ["<b>" + 39 * "state"], "measurements": 20 * ["y" * 200]}
    units = {"measurements": [f"<i>unit {j}</i>" for j in range(20)]}
    session = client.create_session(
        state_dim=1,
        measurement_dim=20,
        names=names,
        metadata={"title": title, "units": units},
    )
    states = np.random.default_rng(5).standard_normal((9, 1))
    session.cycle(
        states, states + np.zeros(20), [0.0] * 20, options={"measurement_error": 1.0}
    )
    with watch() as found:
        page = found.open(f"#/sessions/{session.id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        # The axis has room for the beginning of such a name; its label has all of it.
        chart = panel(page, FAN).locator("svg.chart")
        expect(chart).to_have_attribute("aria-label", re.compile("<i>unit 0</i>"))
        expect(page.get_by_role("application")).to_be_visible()
        assert not page.locator("main img, main b, main i").count()
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(200)
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(overflow) <= 0


def test_each_model_has_a_lane_by_its_name(watch: Watch, client: Client) -> None:
    fixed = {"preconditioner": "linear", "measurement_bandwidth": "inf"}
    random = np.random.default_rng(3)
    session = client.create_session(state_dim=1, measurement_dim=1, seed=1)
    states = random.standard_normal((100, 1))
    simulated = states**3 + random.standard_normal((100, 1))
    for options in ({}, {}, {"preconditioner": "none"}, fixed):
        session.cycle(states, simulated, [0.5], options=options)
    session.cycle(states, simulated, [None])
    with watch() as found:
        page = found.open(f"#/sessions/{session.id}")
        models = panel(page, "Model")
        lanes = models.locator(".axes text[text-anchor=end]")
        expect(lanes).to_have_text(
            ["joint kernels", "kernels alone", "linear", "unchanged"]
        )
        expect(models.locator(".plot .bar")).to_have_count(5)
        models.get_by_text("Table", exact=True).click()
        first = models.locator("tbody tr").first
        expect(first).to_contain_text("1joint kernelslinearjointwhiten")
        page.get_by_label("Cycle", exact=True).fill("2")
        facts = page.get_by_role("region", name="Selected cycle")
        expect(facts).to_contain_text("Modeljoint kernels")
        page.get_by_label("Cycle", exact=True).fill("3")
        expect(facts).to_contain_text("Modelkernels alone")
        expect(models.locator(".value")).to_have_text("kernels alone, standardize")


def test_clouds_that_are_apart_are_told(
    watch: Watch, server: Server, client: Client
) -> None:
    random = np.random.default_rng(3)
    session = client.create_session(state_dim=2, measurement_dim=1, seed=1)
    centres = np.repeat([-2.0, 2.0], [60, 40])[:, None]
    states = centres + 0.4 * random.standard_normal((100, 2))
    simulated = np.abs(states[:, :1]) + 0.2 * random.standard_normal((100, 1))
    shares = session.cycle(states, simulated, [2.0]).diagnostics["lobes"]
    assert len(shares) == 2
    told = " and ".join(f"{100 * share:.3g} %" for share in shares)
    with watch() as found:
        page = found.open(f"#/sessions/{session.id}")
        clouds = page.locator(
            "div", has=page.get_by_text("Separate clouds", exact=True)
        )
        expect(clouds.last).to_contain_text(f"2, with {told} of the samples")


@pytest.mark.parametrize("states", [40, 300])
def test_names_of_rows_can_be_read_whole(
    watch: Watch, client: Client, states: int
) -> None:
    rng = np.random.default_rng(1)
    made = client.create_session(
        state_dim=states,
        measurement_dim=1,
        initial_ensemble=rng.standard_normal((6, states)),
        metadata={"title": "a long title " * 31},
    )
    with watch() as found:
        page = found.open(f"#/sessions/{made.id}")
        x = rng.standard_normal((6, states))
        made.cycle(x, x[:, :1] + rng.standard_normal((6, 1)), [0.0])
        names = page.locator(".heat-labels span:not(:empty)")
        expect(names.first).to_have_text("x[0]")
        cut = "all => all.filter(e => e.clientHeight < 14).length"
        assert names.count() >= 20 and names.evaluate_all(cut) == 0
        canvas, labels = page.locator(".heat canvas"), page.locator(".heat-labels")
        tall = [one.evaluate("e => e.scrollHeight") for one in (canvas, labels)]
        assert 0 <= tall[1] - tall[0] < 40
        title = page.get_by_role("heading", level=1)
        page.mouse.move(600, 600)
        assert title.evaluate("e => e.clientHeight") < 80
        assert title.get_attribute("title") == "a long title " * 31
        title.hover()
        assert title.evaluate("e => e.clientHeight >= e.scrollHeight") is True
