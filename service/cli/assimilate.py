"""``ccdm assimilate``: three arrays in files to an analysis in a file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from ccdm_engine import AnalysisOptions, CcdmError, assimilate
from service.cli.files import (
    NAMES,
    Array,
    check_output,
    read_json_object,
    read_triple,
    write_samples,
)
from service.cli.output import FAILED, USAGE, CommandError, console, working
from service.client import (
    Client,
    ClientError,
    RequestRejectedError,
    RetryPolicy,
    UsageError,
)


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for on the command line."""

    files: list[Path]
    output: Path
    option: list[str]
    options_file: Path | None
    seed: int | None
    diagnostics: Path | None
    url: str | None
    api_key: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """An analysis, wherever it was made."""

    samples: Array
    diagnostics: dict[str, Any]
    seconds: float


def assimilate_files(job: Job) -> None:
    """Read, analyse here or by a service, write, and show what came of it."""
    check_output(job.output, job.files)
    if job.diagnostics is not None and not job.diagnostics.parent.is_dir():
        raise CommandError(f"{job.diagnostics}: there is no such folder", USAGE)
    arrays = read_triple(job.files)
    options = _options(job)
    analyse = _by_service if job.url else _here
    with working(_work(job, arrays)):
        done = analyse(job, arrays, options)
    write_samples(job.output, done.samples, done.diagnostics, job.files[0])
    if job.diagnostics is not None:
        _write_diagnostics(job.diagnostics, done)
    _show(job, done)


def _work(job: Job, arrays: dict[str, Array]) -> str:
    """What is to be done, and where, in a few words."""
    states, simulated, _ = (arrays[name].shape for name in NAMES)
    sizes = f"{states[0]} members, {states[-1]} states, {simulated[-1]} measurements"
    return f"analysing {sizes}{f', by {job.url}' if job.url else ''}"


def _write_diagnostics(file: Path, done: Done) -> None:
    try:
        file.write_text(json.dumps(done.diagnostics, indent=2) + "\n")
    except OSError as error:
        raise CommandError(f"{file}: cannot be written ({error.strerror})") from error


def _options(job: Job) -> dict[str, Any]:
    values = read_json_object(job.options_file) if job.options_file else {}
    for item in job.option:
        name, equals, text = item.partition("=")
        if not equals:
            raise CommandError(f"--option {item}: wanted NAME=VALUE", USAGE)
        try:
            values[name.strip()] = json.loads(text)
        except ValueError:
            values[name.strip()] = text.strip()
    return values


def _here(job: Job, arrays: dict[str, Array], options: dict[str, Any]) -> Done:
    started = time.perf_counter()
    try:
        analysis = assimilate(
            *(arrays[name] for name in NAMES),
            options=AnalysisOptions.from_dict(options),
            seed=job.seed,
        )
    except CcdmError as error:
        raise CommandError(_told(job, error), USAGE) from error
    seconds = time.perf_counter() - started
    return Done(analysis.samples, analysis.diagnostics.to_dict(), seconds)


def _told(job: Job, error: CcdmError) -> str:
    """What is wrong, and in which of three files."""
    if error.argument not in NAMES or len(job.files) != len(NAMES):
        return str(error)
    file = job.files[NAMES.index(error.argument)]
    return (
        f"{file}, as {error} The order is: forecast states, simulated measurements, "
        "observation."
    )


def _by_service(job: Job, arrays: dict[str, Array], options: dict[str, Any]) -> Done:
    assert job.url is not None
    started = time.perf_counter()
    try:
        with Client(
            job.url, api_key=job.api_key, retry=RetryPolicy(give_up_after=3)
        ) as client:
            result = client.analyse(
                *(arrays[name] for name in NAMES), options=options, seed=job.seed
            )
    except ClientError as error:
        at_fault = isinstance(error, RequestRejectedError | UsageError)
        raise CommandError(str(error), USAGE if at_fault else FAILED) from error
    return Done(result.samples, result.diagnostics, time.perf_counter() - started)


def _show(job: Job, done: Done) -> None:
    facts = done.diagnostics
    out = console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(job, done):
        table.add_row(name, value)
    out.print(table)
    for warning in facts.get("warnings") or ():
        out.print(f"[yellow]warning:[/] {escape(warning['message'])}")
        out.print(f"         {escape(warning['advice'])}")


def _rows(job: Job, done: Done) -> list[tuple[str, str]]:
    facts = done.diagnostics
    samples = " x ".join(map(str, done.samples.shape))
    where = f"by {job.url}" if job.url else "here"
    rows = [
        ("written", f"{escape(str(job.output))}, {samples}"),
        ("status", facts["status"]),
    ]
    if facts.get("reason"):
        rows.append(("reason", escape(facts["reason"])))
    used, received = len(facts["members_used"]), facts["n_members"]
    rows.append(("members used", f"{used} of {received}"))
    rows.append(("effective sample size", _number(facts["effective_sample_size"])))
    if model := facts.get("model"):
        rows.append(("model", _model(model)))
    if lobes := facts.get("lobes"):
        shares = " and ".join(f"{100 * share:.3g} %" for share in lobes)
        rows.append(("separate clouds", f"{len(lobes)}, with {shares} of the samples"))
    before, after = facts["prior_spread"], facts["posterior_spread"]
    rows.append(("spread", f"{_number(before)} before, {_number(after)} after"))
    rows.append(("innovation", _innovation(facts["innovation"])))
    rows.append(("seed", str(facts["seed"])))
    rows.append(("time", f"{1e3 * done.seconds:.1f} ms, {where}"))
    return rows


def _model(model: dict[str, Any]) -> str:
    return (
        f"{_kernels(model)}, scaling {model['scaling']}, "
        f"h_x {_number(model['state_bandwidth'])}, "
        f"h_y {_number(model['measurement_bandwidth'])}"
        f"{', members shrunk' if model['shrink'] else ''}"
    )


def _kernels(model: dict[str, Any]) -> str:
    if model["measurement_kernel"] == "joint":  # whose regression is always the same
        return "joint kernels on states and measurements"
    regression = f"preconditioner {model['preconditioner']}"
    alike = model["measurement_bandwidth"] in ("inf", np.inf)
    return regression if alike else f"{regression}, kernels on measurements"


def _innovation(values: list[float | None]) -> str:
    seen = np.array([value for value in values if isinstance(value, int | float)])
    missing = f", {len(values) - seen.size} missing" if seen.size < len(values) else ""
    if not seen.size:
        return f"nothing observed{missing}"
    worst = float(np.abs(seen).max())
    count = f"{seen.size} measurement{'s' if seen.size > 1 else ''}{missing}"
    return f"at most {worst:.2f} predicted deviations, {count}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
