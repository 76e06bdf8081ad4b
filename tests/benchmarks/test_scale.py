"""The cost model finds what made the costs, and says so where it does not.

What is published is held to the same: sizes that were held out, and whole analyses
through Dask, have to be told within the tolerance by the model as it is now.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import nodes, one, report
from benchmarks.scale.model import (
    TERMS,
    error,
    features,
    fit_rows,
    line,
    predicted,
    ratio,
    sound,
)
from benchmarks.scale.nodes import Costs

DOCS = Path(__file__).parents[2] / "docs"
TRUE = {
    "sampling": [1e-9, 4e-11, 2e-11],
    "sampling: rest": [5e-3, 1e-8],
    "choosing": [1e-2, 1e-7],
    "blocks": [1e-5, 4e-7, 4e-9],
    "blocks: rest": [5e-3, 5e-10],
    "blocks: memory": [2.0, 0.4, 2e-5],
}
FITTED = [(20, 100_000), (100, 3_000_000), (4000, 40), (50_000, 40), (2000, 10)]
HELD = (200_000, 40)


def rows(cost: str, power: float = 1.0) -> list[dict[str, Any]]:
    """Sizes that cost what is true, to some power; the largest is held out."""
    found = []
    for size in (*FITTED, HELD):
        terms = features(cost, *size, 9)
        value = sum(a * b for a, b in zip(TRUE[cost], terms, strict=True)) ** power
        found.append(
            {
                "cost": cost,
                "members": size[0],
                "dimension": size[1],
                "evaluations": 9,
                "measured": value,
                "held out": size == HELD,
            }
        )
    return found


def told(cost: str, power: float = 1.0) -> list[dict[str, Any]]:
    found = rows(cost, power)
    fitted = fit_rows(found)
    return [{**row, "predicted": predicted(fitted, row)} for row in found]


@pytest.mark.parametrize("cost", TERMS)
def test_the_fit_finds_the_costs_and_extrapolates(cost: str) -> None:
    found = told(cost)
    assert ratio(found[-1]) == pytest.approx(1.0, rel=1e-6)
    assert sound(found)


@pytest.mark.parametrize("power", [0.7, 1.5])
def test_a_law_of_another_power_is_not_called_sound(power: float) -> None:
    found = told("sampling", power)
    assert not sound(found)
    assert error(found) > 1.3


def test_a_part_costs_its_own_and_its_bytes() -> None:
    values = [
        {"bytes": size, "measured": 2e-3 + 1e-9 * size, "held out": False}
        for size in (8, 2**20, 2**23)
    ]
    assert line(values) == pytest.approx([2e-3, 1e-9], rel=1e-6)


def test_a_few_parts_stand_for_all_of_them() -> None:
    crew, done = one.Some(), []

    def work(common: None, part: int) -> int:
        done.append(part)
        end = one.time.process_time() + 5e-3
        while one.time.process_time() < end:
            pass
        return part

    found = list(crew("", work, None, iter(range(100)), 100))
    assert len(found) == 100
    assert found[-1] == 99  # the last, which may be shorter than the others
    assert [part for part in done if part not in (0, 99)] == [12, 37, 62, 87]
    assert 0.5 <= crew.parts < 5.0
    assert crew.done < crew.parts / 10


def costs(**changes: Any) -> Costs:
    own = {
        "scheduler": [2e-3, 1e-9],
        "asking": [1e-3, 1e-9],
        "cycle": [1e-2, 1e-8],
        "store": [5e-4, 3e-9],
        "line": [7e3, 2.2],
        "held": [1e4, 3.5],
    }
    given = {
        "fitted": TRUE,
        "lines": own,
        "here": 1.5,
        "dask": 3.0,
        "write": 1e-9,
        "idle": 1e-4,
        "errors": {"sampled": 1.2, "blocks": 1.2, "cycles": 1.2},
    }
    return Costs(**{**given, **changes})


def test_the_largest_size_takes_the_time_there_is() -> None:
    size, _ = nodes.largest(lambda n: nodes.sampled(costs(), n, 40.0, 10))
    spent = nodes.sampled(costs(), size, 40.0, 10)
    assert sum(spent.values()) == pytest.approx(nodes.PATIENCE, rel=1e-6)


def test_more_nodes_help_until_somebody_else_is_full() -> None:
    found = [
        nodes.largest(lambda dx, count=count: nodes.blocks(costs(), 100.0, dx, count))
        for count in (1, 10, 1000)
    ]
    assert found[0][0] < found[1][0] < found[2][0]
    assert found[0][1] == nodes.WORKERS
    assert found[2][1] != nodes.WORKERS


def test_what_refuses_first_is_named() -> None:
    def refuses(members: float) -> str | None:
        return nodes.refuses_members(members, 40.0, raised=False)

    size, first = nodes.largest(
        lambda n: nodes.sampled(costs(), n, 40.0, 1000), refuses
    )
    assert size == pytest.approx(100_000, rel=1e-3)
    assert first == "limit: CCDM_MAX_MEMBERS"


def test_memory_that_the_service_reckons_with_refuses() -> None:
    few, many = (
        nodes.refuses_variables(costs(), 100.0, dx, raised=False) for dx in (5e6, 19e6)
    )
    assert few is None
    assert many == "limit: CCDM_MAX_MEMORY_BYTES"
    assert nodes.refuses_variables(costs(), 100.0, 19e6, raised=True) is None


def test_cycles_are_bounded_by_redis_when_there_are_services_enough() -> None:
    assert nodes.least(nodes.cycles(costs(), 1200.0, 1))[1] == nodes.SERVICE
    assert nodes.least(nodes.cycles(costs(), 1200.0, 1000))[1] == nodes.REDIS


def test_idle_processes_can_keep_redis_from_working() -> None:
    busy = costs(idle=1e-3)
    assert nodes.least(nodes.cycles(busy, 1200.0, 1000)) == (0.0, nodes.REDIS)


def test_what_is_published_is_within_the_tolerance() -> None:
    kept = json.loads((DOCS / "scaling.json").read_text())
    held = [row for row in (*kept["rows"], *kept["chain"]) if row["held out"]]
    assert {row["cost"] for row in held} >= {*TERMS, *report.LINES, "sampled", "blocks"}
    assert sound(held)
    fitted = Costs(**kept["costs"])
    for row in kept["rows"]:
        if row["cost"] in TERMS:
            again = predicted(fitted.fitted, row)
        else:
            own, byte = fitted.lines[row["cost"]]
            again = own + byte * row["bytes"]
        assert again == pytest.approx(row["predicted"], rel=1e-9)


def test_the_page_is_what_the_model_says(tmp_path: Path) -> None:
    for name in ("scaling.json", "scaling.md"):
        (tmp_path / name).write_bytes((DOCS / name).read_bytes())
    report.again(tmp_path)

    def said(folder: Path) -> str:
        whole = (folder / "scaling.md").read_text()
        begin = whole.index("<!-- model: begin")
        return whole[begin : whole.index("<!-- nodes: end")]

    assert said(tmp_path) == said(DOCS)
