"""The tables of accuracy: what is run, kept, picked, compared and written."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import report
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.floor import floor
from benchmarks.accuracy.plan import Contender, Grid, Row, Table, Target
from benchmarks.accuracy.runs import EngineChanged, Runs, make
from benchmarks.accuracy.summary import Sheet, betrayed, cell, kept_samples, paired
from benchmarks.accuracy.tables import (
    KNOWN,
    KNOWS,
    MORE,
    PAIRS,
    PARTICLES,
    SHORT,
    TABLES,
    TARGETS,
    TRANSFORM,
)
from ccdm_engine.twin.experiments import find
from service.cli.study.code import engine_code
from service.cli.study.methods import parse

OURS = Contender("ours", ("ccdm",))
THEIRS = Contender("theirs", ("enkf", "enkf:inflation=1.05"))
GRID = Grid((0.5, 2.0), (1.0,), seeds=2)
ROW = Row(
    "L63_02",
    20,
    (OURS, THEIRS, Contender("tuned", grid=GRID)),
    12,
    ("crps",),
    (("crps", Target(1.0)),),
)
TABLE = Table(
    "made-up",
    "Made up",
    ("ours", "theirs", "tuned"),
    (ROW,),
    ("ours", "theirs"),
    seeds=3,
)


def record(method: str, seed: int, crps: float, **others: Any) -> dict[str, Any]:
    """A finished run as it stands on file."""
    return {
        "setting": "L63_02",
        "method": method,
        "members": 20,
        "seed": seed,
        "cycles": 12,
        "crps": crps,
        "rmse": 2 * crps,
        "spread": crps,
        "w2": None,
        "lost": 0,
        "failure": "",
        "code": engine_code(),
        "python": "3",
        "numpy": "2",
        "scipy": "1",
        **others,
    }


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    return Sheet(TABLE, Runs(tmp_path), seeds=3)


def test_the_best_tuning_is_shown_and_differences_are_taken_seed_by_seed(sheet):
    for seed, (ours, plain, inflated) in enumerate([(1, 3, 2), (2, 3, 4), (3, 9, 6)]):
        sheet.runs.keep(record("ccdm", seed, ours))
        sheet.runs.keep(record("enkf", seed, plain))
        sheet.runs.keep(record("enkf:inflation=1.05", seed, inflated))
    left, right = (cell(sheet, ROW, c, "crps") for c in (OURS, THEIRS))
    assert right.method == "enkf:inflation=1.05", "mean 4 is below mean 5"
    found = paired(left, right)
    assert found.mean == pytest.approx(-2)  # of -1, -2, -3: s = 1, t = 4.303
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert "| −2.000 ± 2.484 |" in report.markdown(sheet)
    assert "not told apart" in report.markdown(sheet), "2 ± 2.484 against 1"


def test_a_tuning_that_breaks_down_comes_last_and_lost_seeds_are_counted(sheet):
    sheet.runs.keep(record("enkf", 0, 5.0))
    broke = {"failure": "broke", "lost": 1}
    sheet.runs.keep(record("enkf:inflation=1.05", 0, math.nan, **broke))
    assert cell(sheet, ROW, THEIRS, "crps").method == "enkf"
    sheet.runs.keep(record("enkf:inflation=1.05", 0, 1.0, lost=1))
    kind = cell(sheet, ROW, THEIRS, "crps")
    assert (kind.method, kind.lost) == ("enkf:inflation=1.05", 1), "kind to rivals"
    sheet.runs.keep(record("ccdm", 0, math.nan, failure="broke", lost=1))
    sheet.runs.keep(record("ccdm", 1, 2.0))
    found = cell(sheet, ROW, OURS, "crps")
    assert (found.seeds, found.lost, found.interval.mean) == (2, 1, 2.0)
    assert "2.000, 1 of 2 lost, 1 of them broke down |" in report.markdown(sheet)


def test_a_verdict_is_paired_and_wants_every_rival(sheet):
    target = Target(rivals=("theirs",), within=0.1, of="tuned")
    row = replace(ROW, targets=(("crps", target),))
    table = replace(sheet, table=replace(TABLE, rows=(row,)))
    for seed in (0, 1, 2):
        sheet.runs.keep(record("ccdm", seed, 10.0 * seed + 1))
        sheet.runs.keep(record("enkf", seed, 10.0 * seed + 2 + 0.1 * seed))
    text = report.markdown(table)
    assert "| without tuned |" in text, "below the rival seed by seed"
    for seed in (0, 1, 2):
        for method in GRID.methods:
            sheet.runs.keep(record(method, seed, 10.0 * seed + 4))
    assert report.markdown(table).splitlines()[2].endswith("| yes |")
    sheet.runs.keep(record("enkf", 2, 20.5))
    assert "| not told apart from theirs |" in report.markdown(table)
    for seed in (0, 1, 2):
        sheet.runs.keep(record("enkf", seed, 10.0 * seed + 0.5))
    assert "| above theirs |" in report.markdown(table)


def test_the_truth_picks_from_the_grid_and_the_winner_is_run_on_all_seeds(sheet):
    jobs = sheet.waiting()
    grid = [job for job in jobs if "scaling=none" in job.key.method]
    assert sorted({job.key.seed for job in grid}) == [0, 1]
    ours = [job.key.seed for job in jobs if job.key.method == "ccdm"]
    assert ours == [0, 1, 2]
    assert not replace(sheet, settings=frozenset({"L96_01"})).waiting()
    narrow, wide = GRID.methods
    for seed in (0, 1):
        assert sheet.tuned(ROW, GRID) is None, "the grid is not whole"
        sheet.runs.keep(record(narrow, seed, 1.0 + seed))
        sheet.runs.keep(record(wide, seed, 1.2))
    assert sheet.tuned(ROW, GRID) == wide
    assert cell(sheet, ROW, ROW.contenders[2], "crps").seeds == 2
    assert cell(sheet, ROW, ROW.contenders[2], "w2") is None, "not measured yet"
    left = [j.key for j in sheet.waiting() if j.key.method == wide]
    assert [key.seed for key in left] == [2]


def test_the_truth_picks_on_the_distance_where_it_is_measured(sheet):
    narrow, wide = GRID.methods
    row = replace(ROW, scores=("w2", "crps"))
    measured = replace(sheet, table=replace(TABLE, rows=(row,)))
    for seed in (0, 1):
        # One lobe, the right one by chance: a low CRPS, far from the belief.
        sheet.runs.keep(record(narrow, seed, 0.1, w2=9.0))
        sheet.runs.keep(record(wide, seed, 0.5, w2=1.0))
    assert (row.tuned_on, ROW.tuned_on) == ("w2", "crps")
    assert measured.tuned(row, GRID) == wide
    assert sheet.tuned(ROW, GRID) == narrow
    sheet.runs.keep(record(wide, 2, 0.5, w2=99.0))
    assert measured.tuned(row, GRID) == wide, "two seeds, as the grid says"
    assert replace(measured, grid_seeds=3).tuned(row, GRID) is None, "not whole"
    sheet.runs.keep(record(narrow, 2, 0.1, w2=9.0))
    assert replace(measured, grid_seeds=3).tuned(row, GRID) == narrow
    sheet.runs.keep(record(narrow, 1, 0.1))
    grid = [job for job in measured.waiting() if job.key.method == narrow]
    assert [(job.key.seed, job.reference) for job in grid] == [
        (1, sheet.runs.references)
    ], "without its distance it is made again"


def test_seeds_lost_where_the_rival_holds_are_named(sheet):
    assert betrayed(sheet, ROW) is None
    for seed, (ours, plain, inflated) in enumerate([(1, 1, 0), (1, 1, 1), (0, 0, 0)]):
        sheet.runs.keep(record("ccdm", seed, 1.0, lost=ours))
        sheet.runs.keep(record("enkf", seed, 1.0, lost=plain))
        sheet.runs.keep(record("enkf:inflation=1.05", seed, 9.0, lost=inflated))
    assert betrayed(sheet, ROW) == [0], "either inflation counts, not the one shown"
    assert "| Lost where theirs holds |" in report.markdown(sheet)
    assert "| 1: 0 |" in report.markdown(sheet)
    sheet.runs.keep(record("enkf:inflation=1.05", 0, 9.0, lost=1))
    assert "| none |" in report.markdown(sheet)


def test_baselines_of_an_older_engine_are_kept_on_demand(sheet, tmp_path):
    grid, _ = GRID.methods
    for method in ("ccdm", "ccdm:inflation=1.1", "enkf", grid):
        sheet.runs.keep(record(method, 0, 1.0, code="another"))

    def waiting(runs: Runs) -> set[str]:
        jobs = replace(sheet, runs=runs).waiting()
        return {job.key.method for job in jobs if job.key.seed == 0}

    assert {"ccdm", "enkf", grid} <= waiting(Runs(tmp_path))
    reusing = Runs(tmp_path, reuse=True)
    assert waiting(reusing) & {"ccdm", "enkf", grid} == {"ccdm"}
    reusing.keep(record("ccdm", 0, 1.0))
    text = report.markdown(replace(sheet, runs=reusing))
    assert f"engine code {engine_code()}; 1 runs of other methods" in text
    assert "kept from engine code another, 0 of their kind made again" in text
    reusing.keep(record("enkf", 1, 1.0, again="another"))
    text = report.markdown(replace(sheet, runs=reusing))
    assert "1 of their kind made again and equal" in text


def test_a_baseline_made_again_must_be_what_it_was(sheet):
    made = {job.key: job for job in sheet.jobs()}
    for seed in (2, 1):
        sheet.runs.keep(record("enkf", seed, 1.0, code="another"))
        sheet.runs.keep(record("ccdm", seed, 1.0, code="another"))
    sheet.runs.keep(record("enkf", 0, 1.0))
    job, ours = sorted(kept_samples([sheet]), key=lambda job: job.key.method)[::-1]
    assert (job.key.method, job.key.seed) == ("enkf", 1)
    assert (ours.key.method, ours.key.seed) == ("ccdm", 1)
    with pytest.raises(EngineChanged, match="rmse, spread, crps is not what another"):
        sheet.runs.repeat(job, record("enkf", 1, 1.0 + 1e-15))
    assert sheet.runs.get(job.key)["code"] == "another"
    sheet.runs.repeat(made[job.key], record("enkf", 1, 1.0, w2=3.0))
    found = Runs(sheet.runs.path.parent).get(job.key)
    assert (found["code"], found["again"]) == (engine_code(), "another")


def test_runs_of_ccdm_are_kept_where_one_agrees_with_what_it_was(sheet):
    made = {job.key: job for job in sheet.jobs() if job.key.method == "ccdm"}
    for seed in (1, 2):
        sheet.runs.keep(record("ccdm", seed, 1.0, code="another"))
    runs = Runs(sheet.runs.path.parent, reuse=True)
    first, second = (job for key, job in made.items() if key.seed in (1, 2))
    assert not runs.is_done(first)
    runs.repeat(first, record("ccdm", 1, 1.5))
    assert runs.get(first.key)["crps"] == 1.5, "what it is now"
    assert not runs.is_done(second), "one differs, all are made anew"
    runs.keep(record("ccdm", 1, 1.0, code="another"))
    runs.repeat(first, record("ccdm", 1, 1.0))
    assert runs.is_done(second)
    assert not Runs(sheet.runs.path.parent).is_done(second), "only where asked for"


def test_baselines_are_checked_from_the_command_line(tmp_path, capsys):
    arguments = ["--short", "--cycles", "21", "--seeds", "1", "--workers", "1"]
    arguments += ["--out", str(tmp_path), "--setting", "L63_02"]
    main(arguments)
    path = tmp_path / "runs.jsonl"
    text = path.read_text().replace(engine_code(), "another")
    path.write_text(text)
    main([*arguments, "--check-kept"])
    assert (
        "2 runs by older engines are made again, 2 of them equal"
        in capsys.readouterr().out
    )
    main([*arguments, "--reuse"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    made = sorted((r["method"], r.get("again")) for r in lines[2:])
    assert made == [("ccdm", "another"), ("enkf", "another")], "and nothing else"
    old = next(r for r in lines if r["method"] == "enkf")
    path.write_text(json.dumps({**old, "crps": old["crps"] + 1e-9}) + "\n")
    with pytest.raises(SystemExit):
        main([*arguments, "--check-kept"])
    assert "crps is not what another made of it" in capsys.readouterr().err


def test_cycles_that_are_all_burn_in_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--short", "--cycles", "20", "--out", str(tmp_path)])
    assert "scored after 20 cycles of burn-in" in capsys.readouterr().err
    assert not (tmp_path / "runs.jsonl").exists()


@pytest.mark.parametrize("table", (TARGETS, MORE, KNOWN), ids=lambda t: t.name)
def test_every_rival_has_tunings_to_pick_from(table):
    for row in table.rows:
        tried = {c.label: c.methods for c in row.contenders if c.grid is None}
        for label in {PAIRS, KNOWS, TRANSFORM, PARTICLES} & set(tried):
            assert len(set(tried[label])) >= 2, (row, label)
        if find(row.setting).state_dim < 40:
            assert len(tried[PARTICLES]) >= 5
        assert ("sir_plain" in tried[PARTICLES]) == find(row.setting).bimodal


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        ("ccdm:radius=6", ""),
        ("enkf:radius=6:inflation=1.02", "1.02"),
        ("etkf", "1"),
        ("sir", "auto"),
        ("sir:state_bandwidth=silverman", "silverman"),
        ("sir:state_bandwidth=0.3", "0.3"),
        ("sir_plain", "plain"),
        (GRID.methods[0], "0.5, 1"),
    ],
)
def test_brackets_say_which_tuning(sheet, method, shown):
    row = replace(ROW, contenders=(Contender("ours", (method,)),))
    table = replace(sheet, table=replace(TABLE, rows=(row,)))
    sheet.runs.keep(record(method, 0, 1.0))
    bracket = f" ({shown})" if shown else ""
    assert f"| 1 × 12 | 1.000{bracket} |" in report.markdown(table)


def test_what_others_report_stands_beside(sheet):
    row = replace(ROW, setting="spantini2019", members=60, scores=("rmse",), targets=())
    table = replace(sheet, table=replace(TABLE, rows=(row,), published=True))
    sheet.runs.keep(record("ccdm", 0, 1.0, setting="spantini2019", members=60))
    text = report.markdown(table)
    assert "| Published |" in text
    assert text.splitlines()[2].endswith(
        "| 0.89 (LETKF, inflation 1.02, radius 4, N = 60) |"
    ), "not that of 600 members"


def test_a_changed_engine_makes_its_runs_anew(sheet):
    sheet.runs.keep(record("ccdm", 0, 1.0))
    done = {job.key.method for job in sheet.waiting() if job.key.seed == 0}
    assert "ccdm" not in done
    sheet.runs.keep(record("ccdm", 0, 1.0, code="another"))
    assert "ccdm" in {j.key.method for j in sheet.waiting() if j.key.seed == 0}
    assert "an engine since changed" in report.markdown(sheet)


def test_runs_are_made_once_and_a_line_cut_short_is_made_again(tmp_path):
    arguments = ["--short", "--cycles", "21", "--seeds", "1", "--workers", "1"]
    arguments += ["--out", str(tmp_path)]
    main(arguments)
    path = tmp_path / "runs.jsonl"
    lines = path.read_text().splitlines()
    methods = [m for row in SHORT.rows for c in row.contenders for m in c.methods]
    assert len(lines) == len(methods)
    assert {json.loads(line)["code"] for line in lines} == {engine_code()}
    main(arguments)
    assert path.read_text().splitlines() == lines
    path.write_text(path.read_text()[:-20])
    main(arguments)
    again = Runs(tmp_path)
    made = json.loads(lines[-1])
    key = Sheet(SHORT, again, 1, 21).key(
        next(r for r in SHORT.rows if r.setting == made["setting"]), made["method"], 0
    )
    assert again.get(key)["crps"] == made["crps"], "the same run, bit for bit"


def test_only_what_is_between_the_markers_is_written(sheet, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- begin made-up -->\nformer text\n<!-- end made-up -->\nafter\n"
    )
    sheet.runs.keep(record("ccdm", 0, 0.5))
    report.write(page, sheet)
    text = page.read_text()
    assert text.startswith("before\n<!-- begin made-up -->\n| Setting")
    assert text.endswith("\n<!-- end made-up -->\nafter\n")
    assert "former text" not in text
    report.write(page, sheet)
    assert page.read_text() == text
    page.write_text("no markers")
    with pytest.raises(ValueError, match="wants one"):
        report.write(page, sheet)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_table_can_be_run(table):
    for row in table.rows:
        setting = find(row.setting)
        assert row.cycles > setting.burn_in
        assert {c.label for c in row.contenders} <= set(table.heads)
        for contender in row.contenders:
            for method in (*contender.methods, *getattr(contender.grid, "methods", ())):
                parse(method)
                assert "radius" not in method or setting.period is not None
        if "w2" in row.scores:
            assert setting.process_noise > 0, "a particle filter is the reference"


def test_every_run_behind_a_table_is_written(sheet, tmp_path):
    for seed in (1, 0):
        sheet.runs.keep(record("enkf", seed, 1 / 3))
    sheet.runs.keep(record(GRID.methods[0], 0, 1.0, failure="broke", lost=1))
    sheet.runs.keep(record("letkf", 0, 1.0))
    report.write_runs(tmp_path / "runs.csv", [sheet])
    with (tmp_path / "runs.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(r["method"], r["seed"]) for r in found] == [
        (GRID.methods[0], "0"),
        ("enkf", "0"),
        ("enkf", "1"),
    ]
    assert (found[0]["failure"], found[1]["crps"]) == ("broke", "0.33333")


def test_even_draws_of_the_reference_are_some_way_off(tmp_path):
    # Means of n draws of N(0, s^2) differ by chance: W2 is that at least.
    draws = np.random.default_rng(0).normal(0, 3, (20, 400, 1)).astype(np.float32)
    np.savez(tmp_path / "made-0-20.npz", samples=draws, effective=np.ones(20))
    few, many = (floor(tmp_path, "made", 20, n, 5).mean for n in (10, 200))
    assert 3 * math.sqrt(2 / math.pi / 10) < few < 3
    assert many < few / 2
    assert math.isnan(floor(tmp_path, "made", 20, 201, 5).mean), "too many"
    assert math.isnan(floor(tmp_path, "other", 20, 10, 5).mean), "no reference"


def test_an_engine_that_changes_under_a_measurement_stops_it(sheet):
    job = next(job for job in sheet.waiting() if job.key.method == "enkf")
    with pytest.raises(EngineChanged):
        make(replace(job, code="another"))
    assert make(job)["code"] == engine_code()


@pytest.mark.slow
def test_defaults_beat_the_kalman_filter_of_the_same_knowledge(tmp_path):
    main(["--short", "--workers", "1", "--out", str(tmp_path)])
    sheet = Sheet(SHORT, Runs(tmp_path), SHORT.seeds)
    gains = {}
    for row in SHORT.rows:
        ours, theirs = (cell(sheet, row, c, row.scores[0]) for c in row.contenders)
        assert ours.seeds == theirs.seeds == SHORT.seeds
        assert ours.lost <= theirs.lost, row
        gains[row.setting] = paired(ours, theirs)
    # 40 variables, 100 members: better by more than 95 % of chance, inflation tuned.
    assert gains["L96_01"].mean + gains["L96_01"].half < 0
    # Nearly Gaussian, and bimodal: at least not worse by more than that.
    for setting in ("L63_02", "L63_03"):
        assert gains[setting].mean - gains[setting].half < 0
