"""The parts of the whole, each at full length or short."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from reliability import isolation, load
from reliability.faults import FAULTS, Unable
from reliability.faults.scene import scene, title
from reliability.hostile import Hostile, run_hostile
from reliability.isolation import Isolation, run_isolation
from reliability.ledger import Row
from reliability.load import Load, run_load
from reliability.processes import ServiceProcess
from reliability.races import Races, race
from reliability.schema import SETTINGS, SchemaRun, run_schema
from reliability.storm import LONG, SHORT, Scale
from reliability.walks import Walks, run_walks
from service.cli.demo.processes import tail
from tests.support.redis import RedisServer

STORES = ("sqlite", "redis")
# Parts that try each store by itself.
BY_STORE = ("races", "isolation", "walks")
# Faults that have to strike in a run of all.
FEWEST = 20


class Figures(Protocol):
    """What a part gives: rows of a table."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV."""


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="ccdm-reliability-") as name:
        yield Path(name)


def faults(asked: argparse.Namespace) -> list[Figures]:
    """A row for each fault; one that fails has its reason in the row."""
    scale = SHORT if asked.short else LONG
    rows: list[Figures] = []
    for name in asked.fault or list(FAULTS):
        with folder() as place:
            rows.append(one_fault(name, place, scale))
        print(rows[-1], flush=True)
    return rows


def one_fault(name: str, place: Path, scale: Scale) -> Row:
    """The row of one fault."""
    fault = FAULTS[name]
    try:
        with scene(place, scale) as surroundings:
            return fault(surroundings)
    except Unable as reason:
        return Row(title(fault), "", note=f"not run: {reason}")
    except (Exception, pytest.fail.Exception) as error:
        traceback.print_exc()
        for log in place.glob("*.log"):
            print(tail(log), file=sys.stderr)
        return Row(title(fault), "", wrong=1, note=f"failed: {type(error).__name__}")


def races(asked: argparse.Namespace) -> list[Figures]:
    """Both stores; two services share each."""
    rounds = 10 if asked.short else asked.rounds
    rows: list[Figures] = []
    for store in stores(asked):
        with folder() as place, stored(store, place) as url:
            first, second = ServiceProcess(place, url), ServiceProcess(place, url)
            with first, second:
                urls = [first.url, second.url]
                rows.append(asyncio.run(race(urls, store, 50, rounds)))
        print(rows[-1], flush=True)
    return rows


def schema(asked: argparse.Namespace) -> list[Figures]:
    """As many cases as asked for, against a service on a file."""
    with (
        folder() as place,
        ServiceProcess(place, settings=SETTINGS) as service,
    ):
        if asked.short:
            found = run_schema(service.url, place, cases=1, examples=10)
        else:
            found = run_schema(service.url, place, cases=asked.cases, examples=100)
    print("\n".join(found.told) or found, flush=True)
    return [found]


def hostile(asked: argparse.Namespace) -> list[Figures]:
    """All attacks, each repeated."""
    with folder() as place:
        return list(run_hostile(place, 1 if asked.short else 5))


def isolated(asked: argparse.Namespace) -> list[Figures]:
    """Both stores."""
    rows: list[Figures] = []
    for store in stores(asked):
        with folder() as place, stored(store, place) as url:
            service = ServiceProcess(place, url, settings=isolation.SETTINGS)
            with service:
                rounds = 2 if asked.short else 40
                rows.append(run_isolation(service.url, store, rounds))
        print(rows[-1], flush=True)
    return rows


def walked(asked: argparse.Namespace) -> list[Figures]:
    """So many walks over each store; one that strays has its reason in the row."""
    count = 10 if asked.short else asked.walks
    rows: list[Figures] = []
    for store in stores(asked):
        with folder() as place, stored(store, place) as url:
            try:
                # Each walk has a file of its own.
                rows.append(run_walks(url if store == "redis" else "sqlite:", count))
            except Exception as error:
                traceback.print_exc()
                rows.append(Walks(store, strayed=1, first=type(error).__name__))
        print(rows[-1], flush=True)
    return rows


def saturated(asked: argparse.Namespace) -> list[Figures]:
    """A file for as long as asked."""
    seconds = 10.0 if asked.short else 60.0 * asked.minutes
    with folder() as place, ServiceProcess(place, settings=load.SETTINGS) as service:
        found = run_load(service, "sqlite", asked.clients, seconds)
    print(found, flush=True)
    return [found]


def stores(asked: argparse.Namespace) -> Sequence[str]:
    """The kinds of store that were asked for."""
    return [asked.store] if asked.store else STORES


def beside(part: str, asked: argparse.Namespace) -> str:
    """The column by which rows of earlier runs stay, where only some were asked for."""
    if part == "faults" and asked.fault:
        return "fault"
    return "store" if part in BY_STORE and asked.store else ""


@contextmanager
def stored(store: str, place: Path) -> Iterator[str]:
    """The address of a store of either kind."""
    if store == "sqlite":
        yield f"sqlite:///{place}/sessions.sqlite"
        return
    settings = {"appendonly": "yes", "appendfsync": "always"}
    with RedisServer(place / "redis", **settings) as server:
        yield server.url


def enough(rows: Sequence[Figures], asked: argparse.Namespace) -> bool:
    """Whether so many faults struck as make a run of them worth its name."""
    struck = sum(row.struck > 0 for row in rows if isinstance(row, Row))
    least = 1 if asked.fault else FEWEST
    return struck >= least or not any(isinstance(row, Row) for row in rows)


def kept(row: Figures) -> bool:
    """Whether a row keeps what is promised."""
    match row:
        case Row():
            return row.kept
        case Races():
            return not (row.others or row.not_one or row.different)
        case SchemaRun():
            return not row.failures
        case Hostile():
            return row.withstood
        case Isolation():
            return not (row.different or row.leaks or row.changed)
        case Walks():
            return not row.strayed
        case Load():
            return row.kept
    raise TypeError(type(row))


PARTS: dict[str, Callable[[argparse.Namespace], list[Figures]]] = {
    "faults": faults,
    "races": races,
    "schema": schema,
    "hostile": hostile,
    "isolation": isolated,
    "walks": walked,
    "load": saturated,
}
