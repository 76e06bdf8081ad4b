"""Many tasks in several processes, with a bar on a terminal and lines elsewhere."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from rich import progress as bars
from rich.markup import escape

from service.cli.output import console

Item = TypeVar("Item")
Made = TypeVar("Made")

LINES = 10


def finished(
    function: Callable[[Item], Made],
    items: Sequence[Item],
    workers: int,
    *,
    title: str,
    name: Callable[[Item], str],
) -> Iterator[tuple[Item, Made]]:
    """Items and what the function made of them, as they come.

    Args:
        function: of one item; importable by name, for other processes.
        items: each pickles.
        workers: processes; with one, everything happens here.
        title: left of the bar.
        name: of an item, right of the bar.
    """
    out = console()
    bar = bars.Progress(
        bars.TextColumn(f"[bold]{title}"),
        bars.BarColumn(bar_width=36),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[latest]}", style="dim"),
        console=out,
        disable=not out.is_terminal,
    )
    shown = bar.add_task("", total=len(items), latest="")
    with bar:
        for count, (item, made) in enumerate(_made(function, items, workers), 1):
            bar.update(shown, completed=count, latest=escape(name(item)))
            if not out.is_terminal and count % max(1, len(items) // LINES) == 0:
                out.print(f"  run {count} of {len(items)}: {escape(name(item))}")
            yield item, made


def _made(
    function: Callable[[Item], Made], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Made]]:
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    # Spawned, not forked: BLAS has been loaded here and does not survive a fork.
    context = multiprocessing.get_context("spawn")
    count = min(workers, max(1, len(items)))
    with ProcessPoolExecutor(count, context, _watch, (os.getpid(),)) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _watch(parent: int) -> None:
    """Leave when the parent has gone: a killed parent tells its workers nothing.

    Ctrl-C on a terminal reaches all: the parent says what it means, workers just end.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
