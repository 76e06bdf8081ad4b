"""``ccdm worker``: runs jobs beside the service, from the same store."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from prometheus_client import start_http_server
from rich.markup import escape

from service.app import build_parts
from service.cli.output import USAGE, CommandError, console
from service.cli.serve import read_settings, try_store
from service.jobs.equipment import equip
from service.jobs.models import Job
from service.metrics import Metrics
from service.observability import forward_logs
from service.settings import check_names
from service.stores.places import without_password


def work_forever(
    *,
    store: str | None,
    slots: int,
    alive: Path | None = None,
    metrics_port: int | None = None,
) -> None:
    """Run jobs until told to stop; what runs then is left to another worker.

    Args:
        store: where the jobs are.
        slots: jobs at the same time.
        alive: touched after every look at the queue.
        metrics_port: of ``CCDM_HOST``, where Prometheus reads; without, nowhere.
    """
    if store is not None:
        os.environ["CCDM_STORE_URL"] = store
    try:
        check_names(os.environ)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    settings = read_settings()
    try_store(settings.store_url)
    out = console()
    shown = escape(without_password(settings.store_url))
    out.print(f"Working on the jobs in  {shown}", style="bold")
    out.print(f"Stop                    kill {os.getpid()}")
    sys.stdout.flush()
    asyncio.run(_work(slots, alive, metrics_port))


async def _work(slots: int, alive: Path | None, metrics_port: int | None) -> None:
    state = build_parts(read_settings())

    def say(what: str, job: Job) -> None:
        facts = {"job": job.id, "kind": job.kind, "tenant": job.tenant}
        state.logger.info("job", status=what, **facts)

    def looked() -> None:
        if alive is not None:
            alive.touch()
        held = state.bodies.held_bytes, state.bodies.unsent_bytes
        state.metrics.observe(state.compute.load, *held, False)

    equip(state, slots, say, looked)
    forward_logs(state.logger)
    if metrics_port is not None:
        _show(state.metrics, state.settings.host, metrics_port)
    await state.store.open()
    work = asyncio.create_task(state.workers.work())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        await state.compute.start()
        await asyncio.gather(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
    finally:
        await state.store.close()


def _show(metrics: Metrics, host: str, port: int) -> None:
    """Let Prometheus read; anybody may who can reach the port."""
    try:
        start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        told = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise CommandError(told) from error
