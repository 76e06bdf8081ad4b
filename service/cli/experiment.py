"""``ccdm experiment``: methods compared on a published twin experiment.

Runs are made in several processes and kept as they finish, so that a comparison can
be stopped, continued and widened; see :mod:`service.cli.study`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ccdm_engine import OptionsError
from ccdm_engine.twin.cycle import Method
from ccdm_engine.twin.experiment import Experiment
from ccdm_engine.twin.experiments import EXPERIMENTS, find
from service.cli.output import INTERRUPTED, USAGE, CommandError, console
from service.cli.study import tables
from service.cli.study.methods import parse
from service.cli.study.pool import finished
from service.cli.study.records import Records, chosen
from service.cli.study.work import Task, perform, prepare


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line.

    Attributes:
        name: of the setting.
        methods: as :mod:`service.cli.study.methods` spells them, comma-separated.
        members: ensemble sizes, comma-separated.
        seeds: how many; ``first_seed`` the first of them.
        cycles: ``None`` for as many as the setting has.
        workers: processes.
        w2: measure the distance to a reference posterior; ``None``: where the belief
            has two lobes, of which no other score says as much.
        pictures: draw them.
        output: folder for runs, summary and pictures.
    """

    name: str
    methods: str
    members: str
    seeds: int
    first_seed: int
    cycles: int | None
    workers: int
    w2: bool | None
    pictures: bool
    output: Path


def list_experiments() -> None:
    """Show the settings there are."""
    shown = Table(title="published settings", title_justify="left")
    for head in ("name", "what", "cycles", "source"):
        shown.add_column(head)
    for setting in EXPERIMENTS.values():
        shown.add_row(
            setting.name, setting.summary, str(setting.cycles), setting.source
        )
    console().print(shown)


def run_experiment(plan: Plan) -> None:
    """Make the runs that are not on file, then show and write the comparison."""
    setting = _setting(plan)
    tasks = _tasks(plan, setting)
    records = _records(plan, setting)
    _tell_unlocalized(tasks, setting)
    done = records.done(with_w2=tasks[0].reference is not None)
    waiting = [task for task in tasks if task.key not in done]
    out = console()
    out.print(f"{len(tasks)} runs, {len(tasks) - len(waiting)} of them on file")
    try:
        _prepare(waiting, plan.workers)
        made = finished(
            perform, waiting, plan.workers, title="running", name=_described
        )
        for task, outcome in made:
            records.keep(task, outcome)
    except KeyboardInterrupt:
        raise _stopped(tasks, records) from None
    lines = tables.summarise(chosen(records.rows(), tasks))
    out.print(tables.table(setting, lines))
    known = tables.references(setting)
    if known is not None:
        out.print(known)
    tables.write(records.folder / "summary.csv", lines)
    out.print(f"runs: {records.path}")
    if plan.pictures:
        _draw(setting, tasks, records)


def _records(plan: Plan, setting: Experiment) -> Records:
    """Where runs are kept; that they can be is known before the first is made."""
    records = Records(plan.output / setting.name)
    try:
        records.prove_writable()
    except OSError as error:
        raise CommandError(
            f"--out {plan.output}: cannot write {records.path} ({error.strerror}); "
            "give a folder where you may write",
            USAGE,
        ) from None
    return records


def _stopped(tasks: list[Task], records: Records) -> CommandError:
    """What is left of a comparison that Ctrl-C ended."""
    done = records.done(with_w2=tasks[0].reference is not None)
    kept = sum(task.key in done for task in tasks)
    told = "stopped before any run was finished"
    if kept:
        told = f"stopped; {kept} of {len(tasks)} runs are in {records.path} and will "
        told += "not be made again"
    return CommandError(told, INTERRUPTED)


def _prepare(waiting: list[Task], workers: int) -> None:
    """Make the reference of each seed that has none, before its runs want it."""
    absent = list({t.seed: t for t in waiting if t.lacks_reference()}.values())
    if absent:
        console().print(
            f"W2 wants a reference for each seed, made once ({len(absent)} to make); "
            "--no-w2 does without, and without its picture"
        )
        list(finished(prepare, absent, workers, title="references", name=_described))


def _setting(plan: Plan) -> Experiment:
    try:
        setting = find(plan.name)
    except OptionsError as error:
        raise CommandError(str(error), USAGE) from None
    exact = setting.name.startswith("TOY")
    if plan.w2 and setting.process_noise == 0.0 and not exact:
        raise CommandError(
            f"--w2: {setting.name} has no process noise, so a particle filter is no "
            "reference for it",
            USAGE,
        )
    return setting


def _tasks(plan: Plan, setting: Experiment) -> list[Task]:
    methods = [_method(text, setting) for text in plan.methods.split(",")]
    try:
        sizes = [int(text) for text in plan.members.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 2:
        raise CommandError(
            f"--members {plan.members}: wanted whole numbers from 2, with commas", USAGE
        )
    cycles = setting.cycles if plan.cycles is None else plan.cycles
    if cycles <= setting.burn_in:
        raise CommandError(
            f"--cycles {cycles}: {setting.name} is scored after {setting.burn_in} "
            f"cycles of burn-in; give {setting.burn_in + 1} or more",
            USAGE,
        )
    measured = setting.bimodal if plan.w2 is None else plan.w2
    reference = plan.output / setting.name / "reference" if measured else None
    return [
        Task(setting.name, method, size, seed, cycles, reference)
        for size in dict.fromkeys(sizes)
        for method in dict.fromkeys(methods)
        for seed in range(plan.first_seed, plan.first_seed + plan.seeds)
    ]


def _method(text: str, setting: Experiment) -> str:
    """Name of a method that the setting has room for."""
    method = parse(text)
    if ":radius=" in method.name and _lacks_coordinates(method, setting):
        raise CommandError(
            f"--method {method.name}: {setting.name} has no coordinates, so there "
            "is nothing to localize; leave the radius out",
            USAGE,
        )
    return method.name


def _tell_unlocalized(tasks: list[Task], setting: Experiment) -> None:
    """Name the methods that would be localized by themselves, but cannot be."""
    for name in dict.fromkeys(task.method for task in tasks):
        if _lacks_coordinates(parse(name), setting):
            console().print(
                f"{name}: {setting.name} has no coordinates, so it is not localized",
                markup=False,
            )


def _lacks_coordinates(method: Method, setting: Experiment) -> bool:
    return method.radius is not None and setting.localization(method.radius) is None


def _described(task: Task) -> str:
    return f"{task.method}, N = {task.members}, seed {task.seed}"


def _draw(setting: Experiment, tasks: list[Task], records: Records) -> None:
    from service.cli.study import pictures

    series: dict[str, list[dict[str, pictures.Array]]] = {}
    for task in tasks:
        found = records.series(task)
        if found:
            name = f"{task.method}, N = {task.members}"
            series.setdefault(name, []).append(found)
    out = console()
    try:
        made = pictures.draw(setting, series, records.folder)
    except ImportError:
        wanted = "pip install '.[demo]' in this project's folder"
        out.print(f"no pictures: matplotlib is missing; {wanted}", markup=False)
        return
    for path in made:
        out.print(f"picture: {path}")
