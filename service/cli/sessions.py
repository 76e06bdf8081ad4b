"""``ccdm sessions``: what operators do with sessions, on the store itself."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli.output import USAGE, CommandError, console
from service.cli.stores import check_tenant, with_store
from service.portable import PortableError, import_session, opened, write_session
from service.routers.views import session_view, timestamp
from service.sessions import Cycle, Session
from service.sessions.documents import cycle_record, unpack_cycle, unpack_session
from service.stores import SessionGone, SessionNotFound, Store, Usage

_PAGE = 500
_GAP = 2
# What a narrow terminal can do without, the first one first.
_LEAVING = ("updated", "dy", "dx", "members", "expires in")
SUFFIX = ".ccdm.zip"


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant's part of a store; the default one where nothing is given."""

    store: str | None
    tenant: str

    def __post_init__(self) -> None:
        check_tenant(self.tenant)


def list_sessions(place: Place, *, as_json: bool) -> None:
    """Show all live sessions of a tenant."""

    async def work(store: Store) -> tuple[list[Session], Usage]:
        return await _all(store, place.tenant), await store.usage(place.tenant)

    sessions, usage = with_store(place.store, work)
    if as_json:
        _write_json([session_view(session) for session in sessions])
        return
    out = console()
    if sessions:
        # What goes through a pipe has all the room it wants.
        _print_table(out, sessions, out.width if out.is_terminal else None)
    kept = "session" if usage.sessions == 1 else "sessions"
    out.print(
        f"{usage.sessions} {kept} of tenant {escape(place.tenant)}, "
        f"{usage.bytes / 2**20:.1f} MiB"
    )


def _print_table(out: Console, sessions: Sequence[Session], room: int | None) -> None:
    """Whole columns: those that ``room`` characters do not hold are left out."""
    columns = _columns(sessions, time.time())
    widths = {name: max(map(len, (name, *cells))) for name, cells in columns.items()}
    left_out = []
    for name in _LEAVING:
        taken = sum(widths[kept] + _GAP for kept in columns) - _GAP
        if room is None or taken <= room:
            break
        del columns[name]
        left_out.append(name)
    whole = sum(widths[name] + _GAP for name in columns)
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", width=whole)
    for name in columns:
        # Ids are there to be copied: nothing is cut short or wrapped.
        table.add_column(name, no_wrap=True, min_width=widths[name])
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    out.print(table, crop=False)
    if left_out:
        out.print(f"no room for {', '.join(left_out)}: use --json", style="dim")


def _columns(sessions: Sequence[Session], now: float) -> dict[str, list[str]]:
    """Headings, and a text for each session."""
    return {
        "session": [session.id for session in sessions],
        "cycle": [str(session.cycle) for session in sessions],
        "members": [
            "" if session.members is None else str(session.members)
            for session in sessions
        ],
        "dx": [str(session.state_dim) for session in sessions],
        "dy": [str(session.measurement_dim) for session in sessions],
        "updated": [
            timestamp(session.updated_at)[:19].replace("T", " ") for session in sessions
        ],
        "expires in": [duration(session.expires_at - now) for session in sessions],
    }


def show_session(place: Place, sid: str, *, as_json: bool) -> None:
    """Show one session and its last cycle."""

    async def work(store: Store) -> tuple[Session, Cycle | None]:
        session = unpack_session(sid, await store.load(place.tenant, sid))
        name = cycle_record(session.cycle)
        (record,) = await store.records(place.tenant, sid, [name])
        return session, None if record is None else unpack_cycle(record)

    session, last = with_store(place.store, work)
    view: dict[str, Any] = session_view(session)
    view["inputs_from"] = session.inputs_from or None
    view["last_cycle"] = None if last is None else _facts(last)
    if as_json:
        _write_json(view)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in view.items():
        shown = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
        table.add_row(name, escape(shown))
    console().print(table)


def export_sessions(
    place: Place, sids: Sequence[str], output: Path | None, *, everything: bool
) -> None:
    """Write sessions into files, one each; a file that is there is whole."""
    if everything == bool(sids):
        raise CommandError("name the sessions, or ask for --all of them", USAGE)
    folder = output if output is not None and output.is_dir() else None
    if folder is None and output is not None and (everything or len(sids) > 1):
        raise CommandError(f"{output}: several sessions need a folder", USAGE)

    async def work(store: Store) -> None:
        wanted = list(sids)
        if everything:
            wanted = [session.id for session in await _all(store, place.tenant)]
        for sid in wanted:
            file = (folder or Path()) / f"{sid}{SUFFIX}"
            file = output if output is not None and folder is None else file
            try:
                await _export(store, place.tenant, sid, file)
            except (SessionGone, SessionNotFound):
                # It ended while others were written.
                if not everything:
                    raise
            else:
                console().print(f"{sid}  {escape(str(file))}")

    with_store(place.store, work)


async def _export(store: Store, tenant: str, sid: str, file: Path) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        with os.fdopen(descriptor, "w+b") as stream:
            await write_session(store, tenant, sid, stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        raise CommandError(f"{file}: cannot be written ({error.strerror})") from error
    finally:
        beside.unlink(missing_ok=True)


def import_sessions(place: Place, files: Sequence[Path]) -> None:
    """Put the sessions of files into a store; those before a damaged one are in."""
    # Only where it is needed: it loads the whole service.
    from service.cli.serve import read_settings

    settings = read_settings()
    now = time.time

    async def work(store: Store) -> None:
        for path in files:
            try:
                with opened(path) as file:
                    await import_session(store, place.tenant, file, now(), settings)
                    told = f"{file.session.id}  cycle {file.session.cycle}"
            except OSError as error:
                raise CommandError(f"{path}: {error.strerror}", USAGE) from error
            except PortableError as error:
                raise CommandError(f"{path}: {error}") from None
            console().print(f"{told}  {escape(str(path))}")

    with_store(place.store, work, create=True)


def delete_sessions(place: Place, sids: Sequence[str], *, sure: bool) -> None:
    """Delete sessions, once somebody has said so."""
    if not sure:
        if not sys.stdin.isatty():
            raise CommandError("nobody can be asked here: add --yes", USAGE)
        console().print(
            f"Delete {', '.join(map(escape, sids))} for good? [y/N] ", end=""
        )
        if input().strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was deleted")

    async def work(store: Store) -> None:
        for sid in sids:
            await store.delete(place.tenant, sid)
            console().print(f"{escape(sid)}  deleted")

    with_store(place.store, work)


def duration(seconds: float) -> str:
    """A time to come, in the largest unit that is not zero."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


async def _all(store: Store, tenant: str) -> list[Session]:
    found: list[Session] = []
    after = None
    while True:
        page = await store.list(tenant, after=after, limit=_PAGE)
        found += [unpack_session(sid, loaded) for sid, loaded in page.sessions]
        after = page.next
        if after is None:
            return found


def _facts(cycle: Cycle) -> dict[str, Any]:
    diagnostics = cycle.diagnostics
    return {
        "cycle": cycle.cycle,
        "created_at": timestamp(cycle.created_at),
        "n_samples": cycle.n_samples,
        "seed": cycle.seed,
        "effective_sample_size": diagnostics.get("effective_sample_size"),
        "warnings": [item.get("code") for item in diagnostics.get("warnings") or ()],
    }


def _write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
