"""Saturated for seconds; the long run takes half an hour."""

from __future__ import annotations

import argparse
import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from reliability import load, parts, report
from reliability.ledger import Row
from reliability.load import Load, run_load
from reliability.probe import EVERY, Probe
from reliability.processes import ServiceProcess
from reliability.races import Races


@pytest.mark.slow
def test_under_saturation_clients_are_served_or_asked_back(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, settings=load.SETTINGS) as service:
        found = run_load(service, "sqlite", clients=64, seconds=8.0)
    assert found.errors == 0, found.statuses
    # Some of each: more clients than the queue has places, and all get on.
    assert found.statuses["200"] and found.statuses["201"] and found.statuses["503"]
    assert found.livez >= 0.9 * found.livez_expected > 50 and not found.livez_failed


def _probed(answers: list[float | None]) -> Probe:
    """A probe of what stands still before an answer, and, for None, hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            for wait in answers:
                connection.recv(4096)
                if wait is None:
                    connection.close()
                    connection, _ = server.accept()
                    continue
                time.sleep(wait)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            connection.close()

        thread = Thread(target=serve, daemon=True)
        probe = Probe(server.getsockname()[1], patience=5.0)
        thread.start()
        probe.start()
        end = time.monotonic() + 10
        while len(probe.taken) < len(answers) and time.monotonic() < end:
            time.sleep(0.01)
        probe.stop()
        thread.join(10)
    return probe


def test_a_probe_that_fails_is_counted_and_asks_on() -> None:
    probe = _probed([0.0, 0.0, None, 0.0, 0.0])
    # One hung up on, and perhaps one that came after the end.
    assert 1 <= probe.failed <= 2
    assert len(probe.taken) >= max(5, probe.expected)


def test_a_stall_counts_for_all_probes_that_it_delays() -> None:
    stall = 0.5
    probe = _probed([0.0, stall, *[0.0] * 15])
    late = [taken for taken in probe.taken if taken > 100]
    assert len(late) >= (stall - 0.1) / EVERY - 1, probe.taken


def test_a_load_is_kept_only_by_a_probe_that_asked_and_was_answered() -> None:
    good = Load("", 1, 1.0, livez=95, livez_expected=100, livez_p99_ms=100.0)
    assert parts.kept(good)
    for bad in (
        replace(good, livez=0, livez_expected=0),
        replace(good, livez=89),
        replace(good, livez_failed=1),
        replace(good, livez_p99_ms=100.1),
        replace(good, growth=0.05),
        replace(good, statuses={"500": 1}),
    ):
        assert not parts.kept(bad)


def test_the_page_is_made_of_the_results(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Words.\n\n{report.BEGIN}\nold\n{report.END}\n\nMore.\n")
    row = Row("Killed | often", "sqlite", 5, calls=7, acknowledged=6, note="a\nb")
    report.write(tmp_path, "faults", [row])
    report.make_page(tmp_path, page)
    text = page.read_text()
    assert text.startswith("Words.") and text.endswith("More.\n") and "old" not in text
    assert "| Killed \\| often | sqlite | 5 | 7 | 0 | 6 |" in text
    assert "**1 faults that struck, of 1**" in text and "a b" in text
    assert json.loads((tmp_path / "faults.json").read_text())["rows"][0]["calls"] == 7
    assert "Killed" in (tmp_path / "faults.csv").read_text()
    report.make_page(tmp_path, page)
    assert page.read_text() == text
    again = [Row("Killed | often", "sqlite", calls=9), Row("New", "redis")]
    report.write(tmp_path, "faults", again[1:], beside="fault")
    report.write(tmp_path, "faults", again[:1], beside="fault")
    rows = json.loads((tmp_path / "faults.json").read_text())["rows"]
    assert [(row["fault"], row["calls"]) for row in rows] == [
        ("Killed | often", 9),
        ("New", 0),
    ]
    # A table of several runs says so.
    note = json.loads((tmp_path / "faults.json").read_text())["made"]["note"]
    assert note.startswith("Rows that this run did not make are of one that ended 2")


def test_one_store_is_put_beside_the_other(tmp_path: Path) -> None:
    """Also where the older row lacks what is counted since."""
    report.write(tmp_path, "races", [Races("sqlite", 2, 50, 10)])
    whole = json.loads((tmp_path / "races.json").read_text())
    del whole["rows"][0]["turned"]
    (tmp_path / "races.json").write_text(json.dumps(whole))
    asked = argparse.Namespace(store="redis", fault=None)
    column = parts.beside("races", asked)
    report.write(
        tmp_path, "races", [Races("redis", 2, 50, 10, turned=3)], beside=column
    )
    told = (tmp_path / "races.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in told] == ["store", "sqlite", "redis"]
    asked.store = None
    assert not parts.beside("races", asked)


def test_a_broken_promise_is_told() -> None:
    good = Row("", "sqlite", struck=1)
    assert parts.kept(good)
    for broken in (
        replace(good, lost=1),
        replace(good, wrong=1),
        replace(good, duplicates=1),
        replace(good, changed=1),
    ):
        assert not parts.kept(broken)
    assert not parts.kept(Row("", "", wrong=1))
    # A fault that did not strike has shown nothing.
    assert not parts.kept(replace(good, struck=0))


def test_a_run_of_faults_that_did_not_strike_is_none() -> None:
    every = argparse.Namespace(fault=None)
    struck, unable = Row("", "sqlite", struck=1), Row("", "", note="not run: no root")
    assert parts.kept(unable)
    assert parts.enough([struck] * 20 + [unable], every)
    assert not parts.enough([struck] * 19 + [unable] * 24, every)
    one = argparse.Namespace(fault=["disk_full"])
    assert parts.enough([struck], one) and not parts.enough([unable], one)
    assert parts.enough([Races("sqlite", 2, 50, 10)], every)
