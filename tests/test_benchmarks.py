"""The measurements run, and write what they promise to write."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cores, floor, measure, paper, report, targets
from benchmarks.__main__ import main
from benchmarks.engine import of_problem
from benchmarks.law import Yardstick
from benchmarks.problems import problem
from ccdm_engine import assimilate
from ccdm_engine.mixture import WIDE_EXP2

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_short_run_writes_table_figures_and_pictures(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "engine", "--short", "--docs", tmp_path],
        cwd=ROOT,
        check=True,
        timeout=150,
    )
    page = (tmp_path / "performance.md").read_text()
    assert "<!-- engine: begin -->" in page and "floor (c)" in page
    with (tmp_path / "performance-engine.csv").open() as file:
        found = {
            row["method"]: float(row["best_seconds"]) for row in csv.DictReader(file)
        }
    assert {"paper (a)", "ode", "sde", "rk45", "exact", "floor (c)"} <= set(found)
    assert all(seconds > 0 for seconds in found.values())
    assert len(list((tmp_path / "images").glob("*.svg"))) == 3
    assert "<!-- engine-targets: begin -->\nTimes faster than (a)" in page
    assert "as much done together as one" in page


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, bool]]:
    """What would be measured, where it would be written, and whether in short."""
    found: list[tuple[str, Path, bool]] = []

    def noting(name: str, docs: Path, *, short: bool) -> None:
        found.append((name, docs, short))

    for name in ("engine", "service", "replicas"):
        monkeypatch.setattr(report, name, partial(noting, name))
    return found


def test_a_quick_look_leaves_what_is_published_alone(
    written: list[tuple[str, Path, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--short"])
    everything, aside = ("engine", "service", "replicas"), Path("out/benchmarks")
    assert written == [(name, aside, True) for name in everything]
    assert capsys.readouterr().out == "Written into out/benchmarks\n"
    written.clear()
    main(["engine", "--short", "--docs", "docs"])
    main([])
    whole = [(name, Path("docs"), False) for name in everything]
    assert written == [("engine", Path("docs"), True), *whole]


def test_the_second_half_of_scale_wants_the_first(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run scale-curves first"):
        main(["scale-dask", "--short", "--docs", str(tmp_path)])


def test_the_yardstick_tells_exact_samples_from_others() -> None:
    of = problem(300, 3)
    yardstick = Yardstick(of, 300)
    samples = assimilate(
        of.states, of.simulated, of.observation, options=of.options("exact"), seed=1
    ).samples
    assert yardstick.distance(samples) < 3
    assert yardstick.distance(samples + 0.5) > 10
    assert yardstick.distance(of.states) > 10, "the forecast is not the analysis"


@pytest.mark.parametrize(("members", "dimension"), [(250, 40), (100, 1000)])
def test_the_second_yardstick_sees_the_width_of_kernels(
    members: int, dimension: int
) -> None:
    """In many variables a tenth more or less of it, of which the first sees nothing."""
    of = problem(members, dimension, weak=dimension == 40)
    yardstick = Yardstick(of, members)

    def drawn(times: float) -> np.ndarray:
        options = replace(
            of.options("exact"), state_bandwidth=times * of.state_bandwidth
        )
        return assimilate(
            of.states, of.simulated, of.observation, options=options, seed=1
        ).samples

    # Four standard errors: one false alarm in 16 000.
    assert abs(yardstick.density(drawn(1.0))) < 4
    assert yardstick.density(drawn(1.1)) < -8
    assert yardstick.density(drawn(0.9)) > 8
    assert yardstick.distance(drawn(1.1)) < 3


def test_the_independent_implementation_has_the_same_law() -> None:
    of = problem(150, 3)
    samples, evaluations = paper.sample(of, 2)
    assert 50 < evaluations < 300
    assert Yardstick(of, 150).distance(samples) < 5


def test_the_benchmark_samples_the_mixture_that_the_options_stand_for() -> None:
    of = problem(200, 40, weak=True)
    analysis = assimilate(
        of.states, of.simulated, of.observation, options=of.options("ode"), seed=1
    )
    mixture = of_problem(of)
    found = analysis.diagnostics
    assert found.model is not None
    assert found.model.state_bandwidth == mixture.bandwidth
    assert found.effective_sample_size == pytest.approx(1 / (of.weights**2).sum())


@pytest.mark.parametrize(
    ("samples", "members", "evaluations"), [(10, 2, 2), (100, 17, 6), (2500, 5000, 3)]
)
def test_the_floor_counts_each_row_once(
    samples: int, members: int, evaluations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of samples, each with all members, for every evaluation; in even tiles."""
    asked: list[tuple[int, ...]] = []
    exponential = floor.EXPONENTIAL

    def counting(logits: np.ndarray, out: np.ndarray) -> None:
        asked.append(logits.shape)
        exponential(logits, out=out)

    monkeypatch.setattr(floor, "EXPONENTIAL", counting)
    run = floor.products(samples, members, 3, evaluations)
    for _ in range(2):
        asked.clear()
        run()
        assert sum(rows * kept for rows, kept in asked) == (
            samples * members * evaluations
        )
        rows = [rows for rows, _ in asked]
        assert max(rows) - min(rows) <= 1


def test_the_floor_has_the_exponential_of_the_engine() -> None:
    assert floor.EXPONENTIAL is (np.exp2 if WIDE_EXP2 else np.exp)


def test_every_side_is_timed_equally_often() -> None:
    """The best of more runs would be better."""
    ran = {"short": 0, "long": 0}

    def call(name: str) -> None:
        ran[name] += 1

    seconds = {"short": 0.001, "long": 4.0}

    def clock(timed: measure.Call) -> float:
        before = dict(ran)
        timed()
        return next(seconds[name] for name in ran if ran[name] > before[name])

    calls = {name: partial(call, name) for name in ran}
    found = measure.timed(calls, rounds=20, budget=30.0, clock=clock)
    assert [len(timing.seconds) for timing in found.values()] == [7, 7]
    few = measure.timed(calls, rounds=20, budget=1.0, clock=clock)
    assert [len(timing.seconds) for timing in few.values()] == [3, 3]
    seconds["long"] = 0.006
    many = measure.timed(calls, rounds=20, budget=30.0, clock=clock)
    assert [len(timing.seconds) for timing in many.values()] == [200, 200]


@pytest.mark.parametrize("dimension", [3, 40])
def test_both_ways_to_write_the_slope_agree(dimension: int) -> None:
    of = problem(60, dimension)
    at = np.random.default_rng(3).standard_normal(of.states.size)
    for t in (0.0, 0.1, 1.0):
        written, frugal = paper.slope_of(of)(t, at), paper.frugal_slope_of(of)(t, at)
        np.testing.assert_allclose(frugal, written, rtol=1e-9, atol=1e-9)


def test_growth_is_the_slope_in_logarithms() -> None:
    assert targets.exponent({10: 3.0, 100: 300.0, 1000: 30000.0}) == pytest.approx(2)
    methods = (targets.BARE, targets.WHOLE, "floor (c)")
    found = [
        {
            "members": members,
            "dimension": dx,
            "observation": "sharp",
            "method": method,
            "best_seconds": float(members**2 * dx),
        }
        for members, dx in ((100, 3), (100, 40), (100, 1000), (1000, 3), (10_000, 3))
        for method in methods
    ]
    lines = targets.growth(found).splitlines()[4:]
    assert lines == [
        "| N | dx = 3, sharp | 1000 | 10000 | 2 | 2 | 2 |",
        "| dx | N = 100, sharp | 3 | 1000 | 1 | 1 | 1 |",
        "| dx | N = 100, sharp | 40 | 1000 | 1 | 1 | 1 |",
    ]


@pytest.mark.slow
def test_two_processes_are_compared_with_one() -> None:
    told = cores.said(0.1, rounds=1)
    assert 0.3 < float(told.partition("**")[2].partition(" times")[0]) < 6
