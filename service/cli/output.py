"""What the commands write, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.media.kinds import HDF5, HEAD, NPY, NPZ, TEXT, looks_like

KINDS = {".npy": NPY, ".npz": NPZ, ".nc": HDF5}
FAILED = 1
USAGE = 2
INTERRUPTED = 130  # as shells tell of a program that Ctrl-C ended


class CommandError(Exception):
    """A command cannot go on; the message is for the person who typed it.

    Args:
        message: what is wrong, and what to do about it.
        code: exit code, :data:`FAILED`, :data:`USAGE` or :data:`INTERRUPTED`.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


def console() -> Console:
    """Standard output. Soft wrapping keeps paths and addresses in one piece."""
    return Console(soft_wrap=True, highlight=False)


@contextmanager
def working(message: str) -> Iterator[None]:
    """Show on a terminal that work is under way, and for how long; else nothing."""
    shown = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=shown, transient=True, disable=not shown.is_terminal
    ) as progress:
        progress.add_task(escape(message), total=None)
        yield


def unlike(file: Path, advice: str) -> str:
    """What a file is that is not what its name says, and what to do.

    Args:
        file: that cannot be read.
        advice: how a good one is written.
    """
    with file.open("rb") as opened:
        kind = looks_like(opened.read(HEAD))
    told = f"{file}: cannot be read as {file.suffix}"
    if KINDS.get(file.suffix) == kind:
        return f"{told}: it is cut short, damaged or of objects; {advice}"
    if kind == TEXT:
        advice = f"name it .csv, or {advice}"
    return f"{told}: it is {kind}; {advice}"


def leave(error: CommandError) -> NoReturn:
    """Say what is wrong on standard error and end the program."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[bold red]error:[/] {escape(str(error))}"
    )
    raise SystemExit(error.code)
