"""``ccdm demo`` from start to finish, and what it promises.

The service is killed once, at a moment nobody chose: the simulator goes on by itself
while the kill happens. Afterwards every acknowledged cycle has to be in the restarted
service, and every analysis it kept has to be, bit for bit, the one the simulator got.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from service.cli.demo import report
from service.cli.demo.comparison import Contender, Score, contenders, score
from service.cli.demo.journey import Journey, Plan
from service.cli.demo.processes import Service, Simulator
from service.cli.output import USAGE, CommandError
from service.client import Client, ClientError

SILENCE = 90.0


def run_demo(plan: Plan) -> int:
    """Run the demo; 0 when everything it promises was kept."""
    if find_spec("matplotlib") is None:
        raise CommandError(
            "the demo draws a picture and needs matplotlib: pip install '.[demo]' in "
            "this project's folder"
        )
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{plan.out}: {error.strerror}", USAGE) from error
    started = time.monotonic()
    with _tidy_when_terminated(), tempfile.TemporaryDirectory() as scratch:
        try:
            journey, record = _travel(plan, Path(scratch))
        except ClientError as error:
            raise CommandError(f"the demo's service: {error}") from error
    with report.waiting("scoring, and the other filters on the same observations"):
        runs = contenders(record, plan.seed)
        truth = record["truth"][:, -1]
        exact = runs[-1].analyses
        scores = {run.name: score(run, truth, exact) for run in runs}
    picture = plan.out / "lorenz63.png"
    with report.waiting("drawing"):
        _draw(plan, journey, record, runs, scores, picture)
    _write(plan, journey, record, scores)
    report.table(plan, runs, scores, record)
    report.ending(plan, journey, picture, time.monotonic() - started)
    return 1 if journey.failures else 0


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    # Else a terminated demo would leave its service and simulator behind.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _travel(plan: Plan, scratch: Path) -> tuple[Journey, dict[str, Any]]:
    """Cycle, kill, restart, go on, and look at what is left."""
    log = plan.out / "service.log"
    log.write_bytes(b"")
    service = Service(f"sqlite:///{quote(str(scratch / 'sessions.sqlite'))}", log)
    record = scratch / "record.npz"
    with service:
        report.opening(plan, service.url, service.pid)
        journey = _cycle(plan, service, record)
        with np.load(record) as archive:
            seen = dict(archive)
        inspect(plan, service, journey, seen)
    return journey, seen


def _cycle(plan: Plan, service: Service, record: Path) -> Journey:
    journey = Journey()
    arguments = {
        "--url": service.url,
        "--record": record,
        "--cycles": plan.cycles,
        "--members": plan.members,
        "--seed": plan.seed,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    started = time.monotonic()
    log = plan.out / "simulator.log"
    with report.Progress(plan.cycles) as progress, Simulator(words, log) as simulator:
        for event in simulator.events(SILENCE):
            if event["event"] == "session":
                journey.session = event["id"]
            elif event["event"] == "retry":
                journey.retries += 1
            elif event["event"] == "cycle":
                journey.cycle = event["cycle"]
                journey.replayed += event["replayed"]
                progress.cycle(event)
            if journey.cycle >= plan.cycles // 2 and not journey.killed_after:
                _kill_and_restart(service, journey, progress)
    journey.seconds = time.monotonic() - started
    return journey


def _kill_and_restart(
    service: Service, journey: Journey, progress: report.Progress
) -> None:
    journey.killed_after = journey.cycle
    pid = service.pid
    started = time.monotonic()
    service.kill()
    progress.say(f"service killed (kill -9, process {pid}) after cycle {journey.cycle}")
    service.start()
    journey.away = time.monotonic() - started
    with Client(service.url) as client:
        journey.found_after = client.session(journey.session).current_cycle
    progress.say(
        f"service restarted (process {service.pid}) after {journey.away:.1f} s; "
        f"it knows cycle {journey.found_after}"
    )


def inspect(
    plan: Plan, service: Service, journey: Journey, seen: dict[str, Any]
) -> None:
    """Compare what the restarted service holds with what the simulator got."""
    if journey.found_after < journey.killed_after:
        journey.failures.append(
            f"cycle {journey.killed_after} was acknowledged, but after the restart the "
            f"service knew only cycle {journey.found_after}"
        )
    if journey.cycle != plan.cycles:
        journey.failures.append(f"only {journey.cycle} cycles were acknowledged")
    with Client(service.url) as client:
        session = client.session(journey.session)
        numbers = [one.cycle for one in session.history()]
        if numbers != list(range(1, plan.cycles + 1)):
            journey.failures.append(f"the session's history has cycles {numbers}")
        for k, samples in enumerate(seen["analyses"], start=1):
            if session.analysis(k).tobytes() != samples.tobytes():
                journey.failures.append(f"cycle {k} is kept other than it was sent")


def _draw(
    plan: Plan,
    journey: Journey,
    record: dict[str, Any],
    runs: list[Contender],
    scores: dict[str, Score],
    file: Path,
) -> None:
    from service.cli.demo.picture import View, draw

    shown = [run for run in runs if run.name != "Free run"]
    view = View(
        paths=record["paths"],
        truth=record["truth"],
        observations=record["observations"],
        snapshots={run.name: run.analyses for run in shown},
        scores={
            run.name: f"{far:.2f} from exact"
            if (far := scores[run.name].distance)
            else ""
            for run in shown
        },
        restart=journey.killed_after,
        subtitle=report.setting(plan),
    )
    draw(view, file)


def _write(
    plan: Plan, journey: Journey, record: dict[str, Any], scores: dict[str, Score]
) -> None:
    plain = {
        name: {key: None if np.isnan(value) else value for key, value in row.items()}
        for name, row in ((name, asdict(one)) for name, one in scores.items())
    }
    content = {
        "cycles": plan.cycles,
        "members": plan.members,
        "seed": plan.seed,
        "journey": asdict(journey),
        "scores": plain,
    }
    (plan.out / "scores.json").write_text(json.dumps(content, indent=2) + "\n")
    np.savez_compressed(plan.out / "run.npz", **record)
