"""The measurements run, and write what they promise to write."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import floor, paper
from benchmarks.engine import of_problem
from benchmarks.law import Yardstick
from benchmarks.problems import problem
from ccdm_engine import assimilate

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
        found = {row["method"]: float(row["seconds"]) for row in csv.DictReader(file)}
    assert {"paper (a)", "ode", "sde", "rk45", "exact", "floor (c)"} <= set(found)
    assert all(seconds > 0 for seconds in found.values())
    assert len(list((tmp_path / "images").glob("*.svg"))) == 3


def test_the_yardstick_tells_exact_samples_from_others() -> None:
    of = problem(300, 3)
    yardstick = Yardstick(of, 300)
    samples = assimilate(
        of.states, of.simulated, of.observation, options=of.options("exact"), seed=1
    ).samples
    assert yardstick.distance(samples) < 3
    assert yardstick.distance(samples + 0.5) > 10
    assert yardstick.distance(of.states) > 10, "the forecast is not the analysis"


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


def test_the_floor_runs_on_any_size() -> None:
    for members, dimension in ((2, 1), (5000, 3)):
        floor.products(10, members, dimension, 2)()
