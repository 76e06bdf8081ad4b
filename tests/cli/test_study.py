"""Comparisons on twin experiments: kept, continued, summed up, refused."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ccdm_engine
from ccdm_engine.twin.experiments import find
from service.cli.experiment import Plan, list_experiments, run_experiment
from service.cli.output import INTERRUPTED, USAGE, CommandError
from service.cli.study import work
from service.cli.study.code import engine_code
from service.cli.study.methods import LETKF_RADIUS, parse
from service.cli.study.records import COLUMNS, Records, chosen
from service.cli.study.tables import flatness, interval, summarise
from service.cli.study.work import Task, perform, transport


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        name="L63_02",
        methods="enkf,letkf:inflation=1.02",
        members="10,20",
        seeds=2,
        first_seed=0,
        cycles=22,
        workers=1,
        w2=None,
        pictures=False,
        output=tmp_path,
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without_times(path: Path) -> set[tuple[str, ...]]:
    return {tuple(v for k, v in row.items() if k != "ms") for row in rows(path)}


def test_a_method_is_spelled_with_its_options():
    method = parse("ccdm:preconditioner=none:measurement_bandwidth=inf:radius=6")
    assert method.name == "ccdm:preconditioner=none:measurement_bandwidth=inf:radius=6"
    assert method.options.preconditioner == "none"
    assert method.options.measurement_bandwidth == math.inf
    assert method.radius == 6
    assert not method.knows_error
    assert parse("letkf").radius == LETKF_RADIUS
    assert parse("letkf").knows_error
    assert parse("etkf").radius is None
    bandwidths = "state_bandwidth=1:measurement_bandwidth=2:max_bandwidth=30"
    assert parse(f"ccdm-paper:{bandwidths}").options.sampler == "rk45"


@pytest.mark.parametrize(
    "text",
    [
        *("nothing", "ccdm:inflation", "ccdm:inflation=-1", "ccdm:colour=1"),
        *("letkf:radius=0", "letkf:radius=far", "ccdm-paper"),
    ],
)
def test_a_method_that_does_not_exist_is_refused(text):
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert caught.value.code == USAGE


def test_runs_are_kept_summed_up_and_drawn(plan, capsys):
    run_experiment(replace(plan, pictures=True))
    folder = plan.output / "L63_02"
    kept = rows(folder / "runs.csv")
    assert len(kept) == 8
    assert list(kept[0]) == list(COLUMNS)
    summary = rows(folder / "summary.csv")
    assert [(s["method"], s["members"]) for s in summary] == [
        ("enkf", "10"),
        ("letkf:inflation=1.02", "10"),
        ("enkf", "20"),
        ("letkf:inflation=1.02", "20"),
    ]
    first = [r for r in kept if r["method"] == "enkf"][:2]
    assert float(summary[0]["rmse"]) == pytest.approx(
        np.mean([float(r["rmse"]) for r in first])
    )
    freedom = sum(float(r["rank_bins"]) - 1 for r in first)
    assert freedom == 20, "ranks 0 to 10 of either seed"
    assert float(summary[0]["rank_chi_square_over_df"]) == pytest.approx(
        sum(float(r["rank_chi_square"]) for r in first) / freedom
    )
    assert 0 <= float(summary[0]["rank_p_value"]) <= 1
    out = capsys.readouterr().out
    assert "8 runs, 0 of them on file" in out
    assert "EnKF, no inflation" in out
    for name in ("error-and-spread.png", "ranks.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_what_is_on_file_is_not_run_again(plan, capsys):
    run_experiment(plan)
    before = (plan.output / "L63_02" / "runs.csv").read_bytes()
    run_experiment(replace(plan, methods="enkf"))
    assert (plan.output / "L63_02" / "runs.csv").read_bytes() == before
    capsys.readouterr()
    run_experiment(replace(plan, seeds=3, methods="enkf", members="10"))
    assert "3 runs, 2 of them on file" in capsys.readouterr().out
    assert len(rows(plan.output / "L63_02" / "runs.csv")) == 9
    run_experiment(replace(plan, cycles=21, methods="enkf", members="10"))
    assert len(rows(plan.output / "L63_02" / "runs.csv")) == 11


def test_workers_change_nothing_but_the_order(plan):
    run_experiment(plan)
    other = replace(plan, workers=2, output=plan.output / "two")
    run_experiment(other)
    assert without_times(plan.output / "L63_02" / "runs.csv") == without_times(
        other.output / "L63_02" / "runs.csv"
    )


def test_a_line_cut_short_is_run_again(plan, tmp_path):
    run_experiment(plan)
    path = tmp_path / "L63_02" / "runs.csv"
    whole = without_times(path)
    path.write_bytes(path.read_bytes()[:-9])
    run_experiment(plan)
    found = chosen(
        Records(tmp_path / "L63_02").rows(),
        [
            Task("L63_02", method, size, seed, 22)
            for method in ("enkf", "letkf:inflation=1.02")
            for size in (10, 20)
            for seed in (0, 1)
        ],
    )
    assert len(found) == 8
    assert whole <= without_times(path)


def test_distance_to_the_exact_posterior_of_the_toy(plan, capsys):
    toy = replace(plan, name="toy_01", methods="sir,enkf", members="20", pictures=True)
    run_experiment(toy)
    kept = rows(plan.output / "TOY_01" / "runs.csv")
    assert all(0 < float(row["w2"]) < 3 for row in kept)
    assert {row["reference_ess"] for row in kept} == {"inf"}, "the toy's is exact"
    assert (plan.output / "TOY_01" / "ensembles.png").exists()
    heads = capsys.readouterr().out
    assert "W2 wants a reference for each seed, made once (2 to make)" in heads
    assert all(f" {score} " in heads for score in ("CRPS", "ENERGY", "W2"))
    run_experiment(replace(toy, members="21"))
    assert "wants a reference" not in capsys.readouterr().out, "made once"


def test_the_issues_scores_are_in_the_table(plan, capsys):
    run_experiment(replace(plan, methods="enkf", members="10"))
    out = capsys.readouterr().out
    assert all(f" {score} " in out for score in ("RMSE", "CRPS", "ENERGY"))
    assert " W2 " not in out, "one lobe: on demand only"
    assert not (plan.output / "L63_02" / "reference").exists()


def test_runs_without_a_distance_are_made_again_when_it_is_asked_for(plan):
    toy = replace(plan, name="TOY_01", methods="enkf", members="20")
    run_experiment(replace(toy, w2=False))
    run_experiment(toy)
    kept = rows(plan.output / "TOY_01" / "runs.csv")
    assert [row["w2"] == "" for row in kept] == [True, True, False, False]


def test_w2_needs_a_setting_with_a_reference(plan):
    with pytest.raises(CommandError, match="no process noise"):
        run_experiment(replace(plan, name="ramgraber2022", w2=True))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "L63_99"},
        {"members": "1"},
        {"members": "ten"},
        {"methods": "x"},
        {"methods": "enkf,ccdm:radius=6"},
        {"cycles": 20},
    ],
)
def test_what_cannot_be_run_is_refused(plan, change):
    with pytest.raises(CommandError) as caught:
        run_experiment(replace(plan, **change))
    assert caught.value.code == USAGE
    assert not list(plan.output.iterdir())


def test_a_radius_wants_coordinates_and_cycles_go_beyond_the_burn_in(plan, capsys):
    with pytest.raises(CommandError, match="L63_02 has no coordinates"):
        run_experiment(replace(plan, methods="ccdm:inflation=1.1:radius=6"))
    with pytest.raises(CommandError, match="after 20 cycles of burn-in; give 21 or"):
        run_experiment(replace(plan, cycles=20))
    run_experiment(replace(plan, methods="letkf", members="10", seeds=1, cycles=21))
    assert "letkf: L63_02 has no coordinates, so it is not" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_told_before_any_run(
    plan, monkeypatch, tmp_path
):
    monkeypatch.setattr("service.cli.experiment.perform", lambda task: pytest.fail())
    (tmp_path / "file").touch()
    (tmp_path / "taken/L63_02/runs.csv").mkdir(parents=True)
    for name, reason in (
        ("/proc/x", "No such file or directory"),
        (tmp_path / "file", "Not a directory"),
        (tmp_path / "taken", "Is a directory"),
    ):
        with pytest.raises(CommandError) as caught:
            run_experiment(replace(plan, output=Path(name)))
        assert caught.value.code == USAGE
        assert str(caught.value) == (
            f"--out {name}: cannot write {name}/L63_02/runs.csv ({reason}); "
            "give a folder where you may write"
        )


def test_nothing_is_run_twice(plan, capsys):
    twice = replace(plan, methods="letkf,enkf, letkf", members="10,20,10", seeds=1)
    run_experiment(twice)
    kept = rows(plan.output / "L63_02" / "runs.csv")
    assert [(row["method"], row["members"]) for row in kept] == [
        *(("letkf", "10"), ("enkf", "10")),
        *(("letkf", "20"), ("enkf", "20")),
    ]
    assert capsys.readouterr().out.count("letkf: L63_02 has no coordinates") == 1


def test_notices_wait_until_there_are_no_errors(plan, capsys):
    for change in ({"members": "1"}, {"cycles": 20}, {"output": Path("/proc/x")}):
        with pytest.raises(CommandError):
            run_experiment(replace(plan, **{"methods": "letkf", **change}))
        assert capsys.readouterr().out == ""


def test_a_comparison_that_is_stopped_tells_what_it_kept(plan, monkeypatch):
    left = iter((True, False, False))

    def stopped(task):
        if next(left):
            return perform(task)
        raise KeyboardInterrupt

    monkeypatch.setattr("service.cli.experiment.perform", stopped)
    runs = plan.output / "L63_02" / "runs.csv"
    with pytest.raises(CommandError) as caught:
        run_experiment(plan)
    assert caught.value.code == INTERRUPTED == 130
    assert str(caught.value) == (
        f"stopped; 1 of 8 runs are in {runs} and will not be made again"
    )
    other = replace(plan, output=plan.output / "a[b]", methods="enkf", members="9")
    with pytest.raises(CommandError) as caught:
        run_experiment(other)
    assert caught.value.code == INTERRUPTED
    assert str(caught.value) == "stopped before any run was finished"


def test_an_edited_engine_makes_its_runs_anew(plan, capsys, monkeypatch):
    one = replace(plan, methods="enkf", members="10", seeds=1)
    run_experiment(one)
    monkeypatch.setattr(work, "engine_code", lambda: "edited")
    run_experiment(one)
    assert capsys.readouterr().out.count("1 runs, 0 of them on file") == 2
    codes = [row["code"] for row in rows(plan.output / "L63_02" / "runs.csv")]
    assert codes == [engine_code(), "edited"]
    run_experiment(one)
    assert "1 runs, 1 of them on file" in capsys.readouterr().out


def test_comments_are_no_part_of_the_engines_code(tmp_path, monkeypatch):
    def digest(text: str) -> str:
        (tmp_path / "part.py").write_text(text)
        monkeypatch.setattr(ccdm_engine, "__file__", str(tmp_path / "__init__.py"))
        return engine_code.__wrapped__()

    first = digest('"""Half."""\n\n\ndef half(x):\n    return x / 2\n')
    assert first == digest("# Said anew.\ndef half(x):\n    return x / 2  # so\n")
    assert first != digest('"""Half."""\n\n\ndef half(x):\n    return x / 3\n')


def test_a_method_that_breaks_down_is_a_result():
    # Members thrown a million times too far apart leave what the scheme can follow.
    outcome = perform(Task("L63_03", "letkf:inflation=1e6", 10, 0, 6))
    assert outcome.row["failure"].startswith("NonFiniteError")
    assert outcome.row["lost"] == 1
    good = outcome.row | {"failure": "", "lost": 0, "rmse": 2.0, "w2": math.nan}
    line = summarise([outcome.row | {"w2": math.nan}, good])[0]
    assert (line.seeds, line.lost, line.broken) == (2, 1, 1)
    assert str(line.scores["rmse"]) == "2.000"
    none = summarise([outcome.row | {"w2": math.nan}])[0]
    assert str(none.scores["rmse"]) == ""


def test_the_interval_is_students():
    # t(0.975, 2) = 4.303, s = 1, n = 3.
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert str(found) == "2.000 ± 2.484"
    assert str(interval([1.5])) == "1.500"


def test_chi_squares_of_seeds_add_up():
    # Mean of chi-square is its degrees of freedom; the median of 2 of them is 2 ln 2.
    found = flatness([math.log(2), math.log(2)], [2, 2])
    assert found.ratio == pytest.approx(math.log(2))
    assert found.p_value == pytest.approx(0.5)
    assert math.isnan(flatness([0.0], [1]).p_value)


def test_runs_of_an_older_layout_are_set_aside(plan):
    folder = plan.output / "L63_02"
    folder.mkdir()
    old = "setting,method,failure\nL63_02,enkf,\n"
    (folder / "runs.csv").write_text(old)
    run_experiment(plan)
    assert len(rows(folder / "runs.csv")) == 8
    assert (folder / "runs.old.csv").read_text() == old


def test_transport_is_exact_whoever_computes_it(monkeypatch):
    pytest.importorskip("ot", reason="needs POT: pip install '.[bench]'")
    rng = np.random.default_rng(0)
    ensemble, reference = rng.standard_normal((50, 3)), rng.standard_normal((500, 3))
    by_simplex = transport(ensemble, reference)
    monkeypatch.setitem(__import__("sys").modules, "ot", None)
    assert transport(ensemble, reference) == pytest.approx(by_simplex)


def test_the_settings_are_listed(capsys):
    list_experiments()
    out = capsys.readouterr().out
    assert "L63_03" in out
    assert find("sakov2008").name in out


PROGRAM = """
import os, signal, sys, time
from service.cli.study.pool import finished

# Whoever runs the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def sleeper(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    # The first is soon done, and its worker waits for more.
    while path != sys.argv[1] or not os.path.exists(sys.argv[2]):
        time.sleep(0.01)

if __name__ == "__main__":
    try:
        list(finished(sleeper, sys.argv[1:], 2, title="", name=str))
    except KeyboardInterrupt:
        sys.exit("stopped")
"""


def ended(tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]) -> str:
    """What is said on standard error when a program is ended whose workers work."""
    program = tmp_path / "waits.py"
    program.write_text(PROGRAM)
    marks = [tmp_path / "first", tmp_path / "second"]
    parent = subprocess.Popen(
        [sys.executable, program, *marks],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: all(mark.exists() and mark.read_text() for mark in marks))
        end(parent)
        said = parent.communicate(timeout=60)[1]
    finally:
        parent.kill()
        parent.wait()
    workers = [int(mark.read_text()) for mark in marks]
    wait_for(lambda: not any(map(is_running, workers)))
    return said


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    ended(tmp_path, subprocess.Popen.kill)


def test_workers_leave_without_a_word_on_ctrl_c(tmp_path):
    said = ended(tmp_path, lambda parent: os.killpg(parent.pid, signal.SIGINT))
    # Python itself may tell of an interrupt that it could not pass on.
    assert said.endswith("stopped\n")
    assert "Process" not in said and "spawn" not in said


def is_running(pid: int) -> bool:
    """Whether a process is there and not just waiting to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until it holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
