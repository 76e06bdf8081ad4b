"""The cost model finds what made the costs, and names who is full first."""

from __future__ import annotations

import pytest

from benchmarks.scale import nodes
from benchmarks.scale.model import TERMS, features, fit, predicted
from benchmarks.scale.nodes import Costs

TRUE = {
    "sampled": [1e-3, 1e-9, 2e-11],
    "chosen": [2e-2, 3e-7, 1e-9],
    "blocks": [5e-2, 2e-7, 1e-6],
}


def rows(kind: str, sizes: list[tuple[int, int]]) -> list[dict[str, float]]:
    return [
        {
            "members": n,
            "dimension": dx,
            "evaluations": 9,
            "seconds": sum(
                cost * term
                for cost, term in zip(TRUE[kind], features(kind, n, dx, 9), strict=True)
            ),
        }
        for n, dx in sizes
    ]


@pytest.mark.parametrize("kind", TERMS)
def test_the_fit_finds_the_costs_and_extrapolates(kind: str) -> None:
    found = fit(kind, rows(kind, [(20, 3), (200, 40), (100, 1000), (2000, 10)]))
    (larger,) = rows(kind, [(20_000, 40)])
    assert predicted(kind, found, larger) == pytest.approx(larger["seconds"], rel=1e-6)


def costs(**changes: float) -> Costs:
    given = {
        "part": 1e-3,
        "gather": 1e-9,
        "cycle": 1e-2,
        "cycle_byte": 1e-9,
        "store": 1e-3,
        "store_byte": 1e-10,
    }
    return Costs(TRUE, **{**given, **changes})


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
    assert found[0][1] == "workers' cores"
    assert found[2][1] != "workers' cores"


def test_cycles_are_bounded_by_redis_when_there_are_services_enough() -> None:
    rates = nodes.sessions(costs(), 1200.0, 1000)
    assert min(rates, key=lambda name: rates[name]) == "one Redis"
    alone = nodes.sessions(costs(), 1200.0, 1)
    assert min(alone, key=lambda name: alone[name]) == "service processes"
