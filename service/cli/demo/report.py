"""What the demo says: on a terminal with a progress bar, elsewhere line by line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich import progress as bars
from rich.markup import escape
from rich.table import Table

from service.cli.demo.comparison import REFERENCE_MEMBERS, Contender, Score
from service.cli.demo.journey import Journey, Plan
from service.cli.output import console

LINES = 10


class Progress:
    """The cycles as they are acknowledged."""

    def __init__(self, cycles: int) -> None:
        self._cycles = cycles
        self._console = console()
        self._bar = bars.Progress(
            bars.TextColumn("[bold]cycling"),
            bars.BarColumn(bar_width=36),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[state]}", style="dim"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=cycles, state="")

    def cycle(self, event: Mapping[str, Any]) -> None:
        """Show one more acknowledged cycle."""
        done = event["cycle"]
        state = f"spread {event['spread']:.2f}, {event['milliseconds']:.0f} ms, "
        state += f"{event['effective']:.0f} effective members"
        self._bar.update(self._task, completed=done, state=state)
        if not self._console.is_terminal and done % max(1, self._cycles // LINES) == 0:
            self._console.print(f"  cycle {done} of {self._cycles}: {state}")

    def say(self, text: str) -> None:
        """Tell something that happened on the way."""
        self._console.print(f"  [bold red]![/] {escape(text)}")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


def waiting(what: str) -> AbstractContextManager[Any]:
    """A spinner while something takes its time."""
    out = console()
    if out.is_terminal:
        return out.status(what)
    out.print(f"  {what}")
    return nullcontext()


def setting(plan: Plan) -> str:
    """The experiment in one line."""
    return (
        f"{plan.members} members, {plan.cycles} cycles through the service over HTTP, "
        f"z observed every 0.1 with error 2, seed {plan.seed}"
    )


def opening(plan: Plan, url: str, pid: int) -> None:
    """What is about to happen."""
    out = console()
    out.print("[bold]Lorenz-63, z alone observed[/]")
    out.print(f"  service    {url} (process {pid}), sessions in SQLite")
    out.print("  simulator  a process of its own: holds model and truth, sends arrays")
    out.print(f"  setting    {setting(plan)}\n")


def table(
    plan: Plan,
    runs: list[Contender],
    scores: Mapping[str, Score],
    record: Mapping[str, Any],
) -> None:
    """CCDM, EnKF, free run and reference side by side."""
    out = console()
    view = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    view.add_column("", style="bold")
    headings = ("knows", "from exact", "CRPS", "spread", "smaller lobe", "ms per cycle")
    for heading in headings:
        view.add_column(heading, justify="left" if heading == "knows" else "right")
    for run in runs:
        one = scores[run.name]
        view.add_row(
            run.name,
            run.knows,
            f"{one.distance:.2f}" if one.distance else "-",
            f"{one.crps:.2f}",
            f"{one.spread:.2f}",
            f"{one.smaller_lobe:.0%}",
            "-" if math.isnan(one.milliseconds) else f"{one.milliseconds:.1f}",
        )
    out.print()
    out.print(view)
    out.print()
    out.print(_notes(plan, record))


def _notes(plan: Plan, record: Mapping[str, Any]) -> Table:
    """What is compared with what, so that nobody reads more out of the table."""
    inside = 1e3 * float(np.nanmedian(record["compute_seconds"]))
    notes = {
        "compared": "CCDM, EnKF and free run have the same model, start, observations "
        f"and noise draws, and {plan.members} members each. Means over x, y, z and the "
        "last four fifths of the cycles, of one seed; seeds differ.",
        "from exact": "how far the ensemble is from the exact belief, of which the "
        "reference is a sample (root of the energy distance); 0 is best. z does not "
        "know the sign of x and y, so that belief has two mirrored lobes.",
        "CRPS": "scores the ensemble against the truth; lower is better. A filter that "
        "forgot the wrong lobe has a lower one than the exact belief, by luck.",
        "smaller lobe": "share of members in the lobe with fewer. Half is exact.",
        "ms per cycle": f"for CCDM a round trip over HTTP, result stored; {inside:.1f} "
        "ms of it are the analysis. The others run in this process.",
        "reference": f"a particle filter of {REFERENCE_MEMBERS:,} members that knows "
        "R, with its mirror image: close to the exact belief.",
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), style="dim")
    table.add_column(no_wrap=True)
    table.add_column(max_width=88)
    for name, text in notes.items():
        table.add_row(name, text)
    return table


def ending(plan: Plan, journey: Journey, picture: Path, seconds: float) -> None:
    """What was promised, and whether it was kept."""
    out = console()
    for failure in journey.failures:
        out.print(f"[bold red]failed:[/] {escape(failure)}")
    if not journey.failures:
        out.print(
            f"\n[bold green]Nothing was lost.[/] Killed after cycle "
            f"{journey.killed_after}, away for {journey.away:.1f} s; the simulator "
            f"repeated {journey.retries} request(s) and finished all {plan.cycles} "
            "cycles, each of them kept bit for bit."
        )
    out.print(f"Picture  {escape(str(picture))}")
    out.print(f"Scores   {escape(str(plan.out / 'scores.json'))}")
    out.print(f"Done in {seconds:.0f} s", style="dim")
