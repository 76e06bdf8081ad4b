"""``ccdm assimilate``: files in, a file out, and a sentence when it cannot be."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import AnalysisOptions, assimilate
from service.cli.app import run
from service.cli.files import NAMES, read_triple
from service.cli.output import CommandError
from tests.cli.conftest import Ccdm
from tests.support.servers import ROOT, Server, serving

Array = npt.NDArray[np.float64]
OPTIONS: dict[str, Any] = {"sampler": "exact", "state_bandwidth": 0.4}


@pytest.fixture
def arrays() -> dict[str, Array]:
    """Ten members, two variables, two measurements of which one is missing."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((10, 2))
    return {
        "forecast_states": states,
        "simulated_measurements": states + rng.standard_normal((10, 2)),
        "observation": np.array([0.5, np.nan]),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service to do the work."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


def expected(arrays: dict[str, Array], seed: int = 4) -> Array:
    """What the engine makes of them."""
    options = AnalysisOptions.from_dict(OPTIONS)
    return assimilate(**arrays, options=options, seed=seed).samples


def write(folder: Path, arrays: dict[str, Array], kind: str) -> list[Path]:
    """The arrays as files of a kind."""
    files = [folder / f"{name}{kind}" for name in arrays]
    for file, array in zip(files, arrays.values(), strict=True):
        if kind == ".npy":
            np.save(file, array)
        elif kind == ".npz":
            np.savez(file, anything=array)
        else:
            rows = np.atleast_2d(array)
            text = [",".join("" if v != v else repr(float(v)) for v in r) for r in rows]
            file.write_text("\n".join(["a,b", *text]) + "\n")
    return files


SETTINGS = (
    "--option",
    "sampler=exact",
    "--option",
    "state_bandwidth=0.4",
    "--seed",
    "4",
)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".csv"])
def test_three_files_of_a_kind(
    ccdm: Ccdm, tmp_path: Path, arrays: dict[str, Array], kind: str
) -> None:
    done = ccdm("assimilate", *write(tmp_path, arrays, kind), *SETTINGS)
    written = np.load(tmp_path / "analysis.npy")
    assert written.tobytes() == expected(arrays).tobytes()
    table = re.sub(r"\s+", " ", done.stdout)
    assert "written analysis.npy, 10 x 2" in table
    assert "members used 10 of 10" in table
    assert "1 measurement, 1 missing" in table
    assert "seed 4" in table


def test_one_npz_with_all_three_into_each_kind_of_file(
    ccdm: Ccdm, tmp_path: Path, arrays: dict[str, Array]
) -> None:
    np.savez(tmp_path / "all.npz", **arrays)
    (tmp_path / "options.json").write_text(json.dumps({**OPTIONS, "sampler": "ode"}))
    for output in ("out.npz", "out.csv"):
        ccdm(
            *("assimilate", "all.npz", "-o", output, "--seed", "4"),
            *("--options", "options.json", "--option", "sampler=exact"),
            *("--diagnostics", "facts.json"),
        )
    wanted = expected(arrays)
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["observation_status"] == ["assimilated", "missing"]
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["analysis_samples"].tobytes() == wanted.tobytes()
        assert json.loads(str(archive["diagnostics"])) == facts
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "x0,x1"
    read = np.array([list(map(float, row.split(","))) for row in rows])
    assert read.tobytes() == wanted.tobytes()
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        *("all.npz", "options.json", "out.npz", "out.csv", "facts.json")
    }


def test_a_service_does_the_same(
    ccdm: Ccdm, tmp_path: Path, arrays: dict[str, Array], server: Server
) -> None:
    np.savez(tmp_path / "all.npz", **arrays)
    done = ccdm("assimilate", "all.npz", "--url", server.url, *SETTINGS)
    written = np.load(tmp_path / "analysis.npy")
    assert written.tobytes() == expected(arrays).tobytes()
    assert f"by {server.url}" in done.stdout


@pytest.mark.parametrize(
    "members, options, told",
    [
        (100, [], "joint kernels on states and measurements, scaling whiten"),
        (20, ["preconditioner=none"], "preconditioner none, kernels on measurements,"),
        (
            20,
            ["preconditioner=linear", "measurement_bandwidth=inf"],
            "preconditioner linear, scaling whiten, h_x",
        ),
    ],
)
def test_the_model_is_called_what_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    members: int,
    options: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    rng = np.random.default_rng(0)
    states = rng.standard_normal((members, 2))
    simulated = states**3 + rng.standard_normal((members, 2))
    triple = (states, simulated, np.array([0.5, 0.2]))
    np.savez("all.npz", **dict(zip(NAMES, triple, strict=True)))
    given = [word for option in options for word in ("--option", option)]
    words = ["ccdm", "assimilate", "all.npz", "--seed", "1", *given]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        run()
    assert not ended.value.code
    assert told in capfd.readouterr().out


def test_warnings_come_with_advice(
    ccdm: Ccdm, tmp_path: Path, arrays: dict[str, Array]
) -> None:
    np.savez(tmp_path / "all.npz", **{**arrays, "observation": np.array([90.0, 90.0])})
    done = ccdm("assimilate", "all.npz", *SETTINGS)
    assert "warning:" in done.stdout
    done = ccdm("assimilate", "all.npz", "--option", "sampler=magic", code=2)
    assert "error: sampler: got 'magic', wanted one of 'ode'" in done.stderr


def test_mistakes_are_told_in_a_sentence(
    tmp_path: Path,
    arrays: dict[str, Array],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # In this process, since a new one for each would take most of the time.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    np.savez(tmp_path / "all.npz", **arrays)
    states, simulated, observation = write(tmp_path, arrays, ".npy")
    np.save(tmp_path / "short.npy", arrays["simulated_measurements"][:3])
    good = (states, simulated, observation)
    cases: list[tuple[tuple[str | Path, ...], int, str]] = [
        ((states, simulated), 2, "got 2 file(s), wanted three"),
        (
            (states, tmp_path / "no.npy", observation),
            2,
            "no.npy: there is no such file",
        ),
        (
            (states, tmp_path / "short.npy", observation),
            2,
            "short.npy, as simulated_measurements: got",
        ),
        ((states, observation, simulated), 2, "The order is: forecast states"),
        ((*good, "-o", "out.xlsx"), 2, "output is .npy, .npz, .csv or .nc"),
        ((*good, "-o", "no/where.npy"), 2, "there is no folder"),
        ((*good, "--option", "sampler"), 2, "wanted NAME=VALUE"),
        (
            (*good, "--option", "sampler=magic"),
            2,
            "sampler: got 'magic', wanted one of",
        ),
        ((*good, "--option", "magic=1"), 2, "magic: got an unknown option"),
        ((*good, "--option", "sampelr=ode"), 2, "Perhaps sampler was meant"),
        ((*good, "--options", "no.json"), 2, "no.json: No such file"),
        (("all.npz", "--url", "nowhere"), 2, "wanted something like http://"),
        (("all.npz", "--url", server.url, "--option", "magic=1"), 2, "/options/magic"),
        (("all.npz", "--url", "http://127.0.0.1:1"), 1, "Is the service running there"),
    ]
    for words, code, sentence in cases:
        monkeypatch.setattr(sys, "argv", ["ccdm", "assimilate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run()
        output, errors = capfd.readouterr()
        assert ended.value.code == code, errors
        assert sentence in errors
        assert not output
    assert not (tmp_path / "analysis.npy").exists()


TABLES = {
    "1,2\n3,4\n": [[1, 2], [3, 4]],
    "x,y\r\n1,2\r\n\r\n": [[1, 2]],
    "\ufeffx,y\n1,\n": [[1, np.nan]],
    "nan,NA\n1e3, -2\n": [[np.nan, np.nan], [1000, -2]],
}
BROKEN = {
    "1,2\n3\n": "line 2: 1 cells, but line 1 has 2",
    "1,2\n3,four\n": "line 2, column 2: 'four' is no number",
    "x,y\n": "holds no numbers",
    "": "holds no numbers",
    "\x00\xff": "no number",
}


@pytest.mark.parametrize("text", TABLES, ids=repr)
def test_tables_are_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode())
    np.testing.assert_array_equal(
        read_triple([file] * 3)["forecast_states"], TABLES[text]
    )


@pytest.mark.parametrize("text", BROKEN, ids=repr)
def test_broken_tables_name_the_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode())
    with pytest.raises(CommandError, match=re.escape(BROKEN[text])):
        read_triple([file] * 3)


SEMICOLONS = "semicolons between columns"
COMMAS = "decimal commas"
BOTH = f"{SEMICOLONS} and {COMMAS}, wanted commas between columns and decimal points"
# As spreadsheets write them in the larger part of Europe and South America.
FOREIGN = {
    ("csv", "1,5;2,5\n3,5;4,5\n"): f"line 1: got {BOTH}, such as 1.5; save it anew",
    ("csv", "depth;flow\r\n1,5;2,5\r\n"): f"line 2: got {BOTH}",
    ("csv", "1,5;-2,5E-03;\n"): f"line 1: got {BOTH}",
    ("csv", "1;2\n3;4\n"): f"line 1: got {SEMICOLONS}, wanted commas between columns;",
    ("csv", "2026-11-28;1,5\n"): f"line 1: got {BOTH}",
    ("csv", '"1,5","2,5"\n'): f"line 1: got {COMMAS}, wanted decimal points, such",
    ("csv", 'x,y\n1,2\n"1,5",2\n'): f"line 3: got {COMMAS}, wanted decimal points",
    ("tsv", "x\ty\n1,5\t2,5\n"): f"line 2: got {COMMAS}, wanted decimal points",
    ("tsv", "1.5;2.5\n"): f"line 1: got {SEMICOLONS}, wanted tabs between columns",
    ("txt", "1,5 2,5\n"): f"line 1: got {COMMAS}, wanted decimal points",
    # Not quoted, and one column: its name alone gives it away.
    ("csv", "depth\n1,5\n2,5\n"): "got 1 name(s) in line 1, but 2 cells in line 2, "
    "wanted a name for each column; if these commas are decimal marks, save it anew",
    # Words that hold a semicolon or a comma are words.
    ("csv", "1.0,a;b\n"): "line 1, column 2: 'a;b' is no number",
    ("csv", '1.0,"a,b"\n'): "line 1, column 2: 'a,b' is no number",
}


@pytest.mark.parametrize(("kind", "text"), FOREIGN, ids=repr)
def test_marks_of_other_countries_are_told(
    tmp_path: Path, kind: str, text: str
) -> None:
    file = tmp_path / f"t.{kind}"
    file.write_bytes(text.encode())
    with pytest.raises(CommandError, match=re.escape(FOREIGN[kind, text])):
        read_triple([file] * 3)


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt"])
@pytest.mark.parametrize(("column", "mark"), [(";", ","), (";", "."), ("\t", ",")])
def test_what_is_advised_for_marks_of_other_countries_helps(
    tmp_path: Path, kind: str, column: str, mark: str
) -> None:
    if (kind, column) == ("csv", "\t"):
        pytest.skip("commas between columns, and in numbers, cannot be told apart")
    file = tmp_path / f"my file.{kind}"
    rows = [[1.5, -2.5e-3], [3, 4.25]]
    lines = [column.join(str(x).replace(".", mark) for x in row) for row in rows]
    file.write_text("\n".join([column.join("xy"), *lines, ""]))
    with pytest.raises(CommandError) as refused:
        read_triple([file] * 3)
    command = str(refused.value).partition("in a shell: ")[2]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    mended = read_triple([tmp_path / f"new.{kind}"] * 3)["forecast_states"]
    np.testing.assert_array_equal(mended, rows)


def test_files_that_could_run_code_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "object.npy"
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    archive = tmp_path / "object.npz"
    np.savez(archive, allow_pickle=True, forecast_states=np.array([{}], dtype=object))
    for wrong in ([file] * 3, [archive] * 3):
        with pytest.raises(CommandError, match="cannot be read"):
            read_triple(wrong)


def test_names_in_a_header_stay(tmp_path: Path, arrays: dict[str, Array]) -> None:
    files = write(tmp_path, arrays, ".csv")
    rows = files[0].read_text().splitlines()[-len(arrays["forecast_states"]) :]
    files[0].write_text("\n".join(['depth,"flow, m3/s"', *rows, ""]))
    written = tmp_path / "analysis.csv"
    words = ["ccdm", "assimilate", *map(str, files), "-o", str(written)]
    done = subprocess.run([sys.executable, "-m", "service.cli", *words[1:]], cwd=ROOT)
    assert done.returncode == 0
    assert written.read_text().splitlines()[0] == 'depth,"flow, m3/s"'
    assert read_triple([written, *files[1:]])["forecast_states"].shape[1] == 2


def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    tmp_path: Path, arrays: dict[str, Array]
) -> None:
    files = map(str, write(tmp_path, arrays, ".npy"))
    here, there = pty.openpty()
    command = [sys.executable, "-m", "service.cli", "assimilate", *files]
    command += ["-o", str(tmp_path / "analysis.npy")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with os.fdopen(here, "rb", buffering=0) as terminal:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=there
        )
        os.close(there)
        shown = terminal.read(4096)
    assert done.returncode == 0 and b"analysing 10 members, 2 states" in shown
    quiet = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert quiet.returncode == 0 and quiet.stderr == b""
