"""The measurements over HTTP run on a real server, and count what they claim."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import pages, service
from benchmarks.load import Client, Times, at_once, prepared
from benchmarks.processes import family, processor_seconds, resident_mib
from tests.support.servers import Server, serving


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("measured")
    with serving(folder, LOG_LEVEL=service.LOG_LEVEL, MAX_RUNNING="1") as server:
        yield server


def test_one_shots_and_cycles_tell_all_but_the_engine(on: Server) -> None:
    sizes = [(10, 3, service.EXACT, tuple(service.ACCEPT))]
    for head, lines in (
        service.forms(on, 0.05, sizes, fewest=4),
        service.cycles(on, 0.05, [(10, 3)], fewest=4),
    ):
        assert [line[3] for line in lines] == ["json", "npy", "octet-stream"]
        for line in lines:
            row = dict(zip(head, line, strict=True))
            assert row["requests"] >= 4
            assert 0 < row["engine"] < row["compute"]
            assert 0 < row["all but the engine"] < row["p99 ms"]
            assert row["processor ms each"] >= 0 < row["clients' ms each"]


def test_crowds_are_measured_while_somebody_asks_for_life(on: Server) -> None:
    for table in (
        service.crowds(on, 0.1, (2,)),
        service.cycle_crowds(on, 0.1, (2,)),
    ):
        head, lines = table
        assert {line[1] for line in lines} == {"npy", "json"}
        for line in lines:
            row = dict(zip(head, line, strict=True))
            assert row["clients"] == 2 and row["a second"] > 0
            assert 0 < row["/livez p50 ms"] <= row["/livez p99 ms"]


def test_memory_counts_the_service_and_its_children(on: Server) -> None:
    head, lines = service.memory(on, 10, 20.0)
    assert head[0] == "cycles" and [line[0] for line in lines] == [0, *range(2, 11, 2)]
    assert all(line[1] > 20 and line[2] >= 0 for line in lines)


def test_a_family_is_a_process_and_all_under_it() -> None:
    started = subprocess.Popen(
        ["sh", "-c", "sleep 30 & echo started; wait"], stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    try:
        started.stdout.readline()
        found = family(started.pid)
        assert found[0] == started.pid and len(found) == 2
        own, others = resident_mib(started.pid)
        assert own > 0 and others > 0
        assert processor_seconds(started.pid) < 5
    finally:
        for pid in reversed(family(started.pid)):
            os.kill(pid, 9)
        started.wait()
        started.stdout.close()


def test_a_client_counts_each_answer_and_stops_at_a_refusal(on: Server) -> None:
    client = Client(on.url)
    status, content = client.ask("GET", "/livez")
    assert status == 200 and content
    crowd = at_once([client], 0.0, lambda one, _: one.send(live, "/livez"), fewest=5)
    assert len(crowd.times.total) == 5 and crowd.rate > 0
    with pytest.raises(RuntimeError, match="404"):
        at_once([client], 0.0, lambda one, _: one.send(live, "/v1/nothing"))
    client.close()


live = prepared("GET")


def test_the_rest_is_taken_request_by_request() -> None:
    times = Times()
    for total, engine in ((0.010, 9.0), (0.020, 1.0), (0.030, 26.0)):
        told = f"queue;dur=0.1, compute;dur=27.00, engine;dur={engine:.2f}"
        times.add(total, told.encode())
    assert times.stage("engine") == pytest.approx(9.0)
    assert times.beside("engine") == pytest.approx(4.0), "not 20 - 9"
    assert times.stage("store") == 0


def test_tables_of_different_columns_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "found.csv"
    parts = {"A": (("x", "y"), [[1, 0.5]]), "B": (("z",), [["json"]])}
    pages.write_long_csv(path, parts)
    with path.open() as file:
        found = [tuple(row.values()) for row in csv.DictReader(file)]
    expected = [("A", "1", "x", "1"), ("A", "1", "y", "0.5"), ("B", "1", "z", "json")]
    assert found == expected


@pytest.mark.slow
def test_a_short_run_writes_all_tables(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "service", "--short", "--docs", tmp_path],
        check=True,
        timeout=300,
    )
    page = (tmp_path / "performance.md").read_text()
    assert "Log level `warning`" in page and "--workers 2" in page
    assert "Memory over cycles, redis" in page
    assert (tmp_path / "performance-service.csv").read_text().count("\n") > 400
