"""``ccdm check``: what is installed, and whether it works here."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
import scipy.linalg
from rich.markup import escape
from rich.table import Table
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from ccdm_engine import assimilate
from ccdm_engine.version import __version__
from service.cli.output import CommandError, console
from service.cli.serve import read_settings
from service.client import Client, ClientError, RetryPolicy
from service.errors import ClusterUnavailableError
from service.places import place_of
from service.stored.locations import parse
from service.stores.places import without_password

Status = Literal["ok", "warning", "failed"]
MARKS = {
    "ok": "[green]ok[/]",
    "warning": "[yellow]warning[/]",
    "failed": "[red]failed[/]",
}
STATES: dict[str, Status] = {"ready": "ok", "degraded": "warning"}
MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    status: Status
    what: str
    detail: str


def run_checks(*, store: str | None, url: str | None, api_key: str | None) -> int:
    """Run every check, show a table; 0 unless something failed."""
    findings = list(_installation())
    findings += _guarded("analysis", _analysis)
    findings += _guarded("store", lambda: _store(store))
    findings += _guarded("locations", _locations)
    findings += _guarded("compute", _compute)
    if url is not None:
        findings += _guarded("service", lambda: _service(url, api_key))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "what", "detail"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(MARKS[finding.status], finding.what, escape(finding.detail))
    out = console()
    out.print(table)
    failed = sum(finding.status == "failed" for finding in findings)
    warned = sum(finding.status == "warning" for finding in findings)
    out.print(
        f"\n{len(findings)} checks, {failed} failed, {warned} with warnings",
        style="bold red" if failed else "bold",
    )
    return 1 if failed else 0


def _guarded(what: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    # A diagnosis that dies of what it should diagnose helps nobody.
    found: list[Finding] = []
    try:
        found.extend(check())
    except (CommandError, ClientError) as error:
        found.append(Finding("failed", what, str(error)))
    except Exception as error:
        found.append(Finding("failed", what, f"{type(error).__name__}: {error}"))
    return found


def _installation() -> Iterator[Finding]:
    yield Finding("ok", "ccdm", __version__)
    yield Finding(
        "ok", "python", f"{platform.python_version()} ({platform.platform()})"
    )
    for name in ("numpy", "scipy", "fastapi", "uvicorn", "pydantic", "redis", "httpx"):
        yield _package(name, "failed", "is missing; install ccdm again")
    yield _package(
        "matplotlib",
        "warning",
        "is missing; ccdm demo needs it: pip install '.[demo]' in this project's "
        "folder",
    )
    yield _blas()


def _package(name: str, missing: Status, advice: str) -> Finding:
    try:
        return Finding("ok", name, version(name))
    except PackageNotFoundError:
        return Finding(missing, name, advice)


def _blas() -> Finding:
    # SciPy may bring a BLAS of its own, loaded with its linear algebra.
    scipy.linalg.cholesky(np.eye(2))
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return Finding("warning", "blas", "not recognised; cap its threads at one")
    shown = ", ".join(
        f"{pool['internal_api']} {pool['version']}: {pool['num_threads']} thread(s)"
        for pool in pools
    )
    cores = f"{os.cpu_count()} processors"
    if any(pool["num_threads"] > 1 for pool in pools):
        advice = "one is faster for this work: unset OPENBLAS_NUM_THREADS and its like"
        return Finding("warning", "blas", f"{shown}; {cores}; {advice}")
    return Finding("ok", "blas", f"{shown}; {cores}")


def _analysis() -> Iterator[Finding]:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((MEMBERS, 3))
    simulated = states[:, :1] + 0.5 * rng.standard_normal((MEMBERS, 1))
    assimilate(states[:100], simulated[:100], [0.5], seed=0)
    started = time.perf_counter()
    analysis = assimilate(states, simulated, [1.0], seed=0)
    milliseconds = 1e3 * (time.perf_counter() - started)
    # Linear and Gaussian, so the answer is known: mean 0.8 for x, nothing for y and z.
    # Five standard errors of a thousand samples, and of the ensemble itself, is 0.15.
    mean = analysis.samples.mean(axis=0)
    right = bool(np.abs(mean - [0.8, 0.0, 0.0]).max() < 0.2)
    detail = f"{MEMBERS} members, 3 variables: {milliseconds:.0f} ms, "
    detail += "mean as it should be" if right else f"mean {mean}, wanted (0.8, 0, 0)"
    yield Finding("ok" if right else "failed", "analysis", detail)


def _store(url: str | None) -> Iterator[Finding]:
    wanted = url or read_settings().store_url
    health = asyncio.run(_health(wanted))
    shown = f"{without_password(wanted)}: {health.detail}"
    yield Finding("ok" if health.ok else "failed", "store", shown)
    for warning in health.warnings:
        yield Finding("warning", "store", warning)


async def _health(url: str) -> Any:
    from service.stores import open_store

    store = open_store(url)
    await store.open()
    try:
        return await store.health()
    finally:
        await store.close()


def _locations() -> Iterator[Finding]:
    """Folders of stored analyses, as this user sees them."""
    for name, place in parse(read_settings().locations).items():
        trouble = place.trouble()
        told = trouble or ("read and write" if place.writable else "read")
        yield Finding(
            "failed" if trouble else "ok", f"location {name}", f"{place.folder}: {told}"
        )


def _compute() -> Iterator[Finding]:
    """The Dask scheduler that the settings name, if they do, and its workers."""
    place = place_of(read_settings())
    if place.kind != "dask":
        return
    from service.compute.cluster import workers_of

    try:
        threads = workers_of(place)
    except ClusterUnavailableError as error:
        yield Finding("failed", "compute", f"{place.address}: {error.detail}")
        return
    shown = f"{place.address}: {len(threads)} workers, {sum(threads)} threads"
    yield Finding("ok" if threads else "failed", "compute", shown)


def _service(url: str, api_key: str | None) -> Iterator[Finding]:
    with Client(url, api_key=api_key, retry=RetryPolicy(give_up_after=2)) as client:
        started = time.perf_counter()
        ready = client.ready()
        milliseconds = 1e3 * (time.perf_counter() - started)
        state = ready.get("status", "of another kind")
        yield Finding(
            STATES.get(state, "failed"),
            "service",
            f"{url} is {state} ({milliseconds:.0f} ms)",
        )
        for part in ready.get("checks", ()):
            yield from _part(part)
        yield _agreement(client)


def _part(part: dict[str, Any]) -> Iterator[Finding]:
    """One dependency as the service itself sees it."""
    what = f"service: {part['name']}"
    yield Finding("ok" if part["ok"] else "failed", what, part["detail"])
    for warning in part.get("warnings", ()):
        yield Finding("warning", what, warning)


def _agreement(client: Client) -> Finding:
    """Whether the service gives the samples that this installation gives."""
    rng = np.random.default_rng(0)
    states = rng.standard_normal((50, 2))
    simulated = states[:, :1] + rng.standard_normal((50, 1))
    theirs = client.analyse(states, simulated, [0.5], seed=1).samples
    ours = assimilate(states, simulated, [0.5], seed=1).samples
    if np.array_equal(theirs, ours):
        return Finding("ok", "service: analysis", "bit for bit the same as here")
    return Finding(
        "warning", "service: analysis", "other samples than here: another version?"
    )
