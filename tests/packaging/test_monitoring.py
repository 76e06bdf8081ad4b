"""Dashboard and alerts ask for metrics that exist, with labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.compute import Load
from service.metrics import Metrics
from service.problem_types import TYPES
from tests.support.servers import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "ccdm-dashboard.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPE = ROOT / "deploy" / "prometheus" / "scrape.yml"
# Added by Prometheus itself.
GIVEN_LABELS = {"job", "instance"}
GIVEN_METRICS = {"up": set[str]()}
SELECTION = re.compile(r"\b(up|ccdm_\w+|process_\w+)(?:\{([^}]*)\})?")


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Labels of every metric, by its name."""
    every = Metrics()
    with every.request(), every.store_call("load"):
        pass
    with pytest.raises(ValueError), every.store_call("load"):
        raise ValueError
    facts = {"method": "GET", "route": "/livez", "status": 200, "problem": "internal"}
    sizes = {"bytes_in": 1, "bytes_out": 1, "ms": 1.0, "stages_ms": {"queue": 1.0}}
    every.answered({**facts, **sizes, "streamed": False})
    every.connection_refused("head-timeout")
    warnings = [{"code": "weights-collapsed"}]
    used = {"members_used": [0, 1], "effective_sample_size": 1.5}
    every.analysed({"sampler": "ode", "warnings": warnings, **used})
    every.observe(Load(1, 2, 3, 4), 5, 6, True)
    every.job_finished("successful")
    found: dict[str, set[str]] = {**GIVEN_METRICS}
    for family in text_string_to_metric_families(every.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every query, with the name of what asks it."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


def rules() -> list[dict[str, Any]]:
    """All alerts."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(("name", "query"), list(expressions()))
def test_every_query_asks_for_what_exists(
    metrics: dict[str, set[str]], name: str, query: str
) -> None:
    selections = SELECTION.findall(query)
    assert selections, query
    labels = set(GIVEN_LABELS)
    for metric, matchers in selections:
        assert metric in metrics, f"{name}: there is no {metric}"
        labels |= metrics[metric]
        asked = set(re.findall(r"(\w+)\s*=", matchers))
        assert asked <= metrics[metric] | GIVEN_LABELS, (name, metric)
    for group in re.findall(r"(?:by|ignoring)\s*\(([^)]*)\)", query):
        assert set(re.split(r",\s*", group)) <= labels, (name, group)


def test_every_metric_of_ours_is_shown(metrics: dict[str, set[str]]) -> None:
    text = " ".join(query for _, query in expressions())
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in metrics}
    for family in families:
        assert family in text or family.startswith("process_"), family


def test_the_table_of_metrics_is_the_code(metrics: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "howto" / "observability.md").read_text()
    rows = "".join(
        line for line in page.splitlines(True) if line.startswith("| `ccdm_")
    )
    told = set(re.findall(r"`(ccdm_\w+)`", rows))
    ends = r"_(bucket|sum|count)$"
    names = (name for name in metrics if not name.endswith("_created"))
    ours = {re.sub(ends, "", name) for name in names if name.startswith("ccdm_")}
    # "and `..._limit` of each"
    ours -= {name for name in ours if name.removesuffix("_limit") in ours - {name}}
    assert told == ours


def test_every_problem_that_is_watched_exists() -> None:
    watched = re.findall(r'problem=~?"([^"]+)"', ALERTS.read_text())
    assert watched
    for slugs in watched:
        assert set(slugs.split("|")) <= set(TYPES)


def test_every_alert_says_how_bad_and_what_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 8
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_panels_have_a_place_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len(places)


def test_the_scrape_example_reads_the_right_address() -> None:
    config = yaml.safe_load(SCRAPE.read_text())
    (job,) = config["scrape_configs"]
    assert (job["metrics_path"], job["job_name"]) == ("/metrics", "ccdm")
