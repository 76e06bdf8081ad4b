"""``ccdm worker``: runs jobs beside the service, from the same store."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from rich.markup import escape

from service.app import build_parts
from service.cli.output import USAGE, CommandError, console
from service.cli.serve import read_settings, try_store, without_password
from service.jobs.equipment import equip
from service.jobs.models import Job
from service.observability import forward_logs
from service.settings import check_names


def work_forever(*, store: str | None, slots: int, alive: Path | None = None) -> None:
    """Run jobs until told to stop; what runs then is left to another worker.

    Args:
        store: where the jobs are.
        slots: jobs at the same time.
        alive: touched after every look at the queue.
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
    asyncio.run(_work(slots, alive))


def _say(what: str, job: Job) -> None:
    """One line per job that is begun or has ended."""
    now = time.strftime("%H:%M:%S")
    print(f"{now}  {what:<11} {job.id}  {job.kind} of {job.tenant}", flush=True)


async def _work(slots: int, alive: Path | None) -> None:
    state = build_parts(read_settings())
    equip(state, slots, _say, looked=alive.touch if alive else None)
    forward_logs(state.logger)
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
