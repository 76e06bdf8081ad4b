"""Faults of the service's own processes."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from reliability.faults.scene import Scene, Unable, title
from reliability.faults.seen import silent
from reliability.ledger import DIMS, OPTIONS, Account, Row, audit
from reliability.processes import PATIENCE, ServiceProcess
from reliability.storm import storm
from service.client import Client, ClientError, RetryPolicy, Session

# Enough for a worker to start with, and less than OpenBLAS takes for its first product.
SHORT_BYTES = 16 << 20
SHORT_SECONDS = 4.0
# Numbers and members of sessions whose cycles are under way when the service is to end.
_OWN, _LONG = 10_000, 1500


def service_killed(scene: Scene) -> Row:
    """Service killed (SIGKILL) under load and started again."""
    service = scene.service()

    def disturb() -> int:
        gone = service.kill()
        service.start()
        return gone

    return scene.run(service_killed, "sqlite", [service.url], disturb)


def service_killed_on_redis(scene: Scene) -> Row:
    """Service killed (SIGKILL) under load and started again, on Redis."""
    service = scene.service(scene.redis().url)

    def disturb() -> int:
        gone = service.kill()
        service.start()
        return gone

    return scene.run(service_killed_on_redis, "redis", [service.url], disturb)


def service_killed_while_it_starts(scene: Scene) -> Row:
    """Service killed three times while it is starting."""
    service = scene.service()

    def disturb() -> int:
        gone = service.kill()
        for delay in (0.3, 0.6, 1.0):
            service.start(wait=False)
            time.sleep(delay)
            gone += service.kill()
        service.start()
        return gone

    return scene.run(service_killed_while_it_starts, "sqlite", [service.url], disturb)


def service_paused(scene: Scene) -> Row:
    """Service stands still for 2 s (SIGSTOP, SIGCONT); clients give up after 1 s."""
    service = scene.service()

    def disturb() -> int:
        with silent(service.url) as watch:
            service.pause()
            time.sleep(2.0)
            service.go_on()
        return watch.count

    return scene.run(service_paused, "sqlite", [service.url], disturb, timeout=1.0)


def service_drained(scene: Scene) -> Row:
    """SIGTERM under load: running cycles end well, then it is started again."""
    service = scene.service()
    took: list[float] = []
    accounts: list[Account] = []
    broken: list[str] = []

    def disturb() -> int:
        running = [Account(_OWN + len(accounts) + n, _LONG) for n in range(4)]
        accounts.extend(running)
        with ExitStack() as stack, ThreadPoolExecutor(len(running)) as pool:
            sessions = [_opened(stack, service.url, account) for account in running]
            cycles = [
                pool.submit(session.cycle, *account.forecast(1), number=1)
                for session, account in zip(sessions, running, strict=True)
            ]
            time.sleep(0.1)
            under_way = [not cycle.done() for cycle in cycles]
            took.append(service.terminate())
            for account, cycle in zip(running, cycles, strict=True):
                try:
                    account.acknowledged[1] = cycle.result().samples.tobytes()
                except ClientError as error:
                    broken.append(str(error))
        service.start()
        return sum(under_way)

    row = scene.run(service_drained, "sqlite", [service.url], disturb)
    row = audit(row, accounts, service.url)
    row.wrong += len(broken)
    row.sessions += scene.scale.clients
    told = f"{len(broken)} cycles under way broken off, " if broken else ""
    return row.noting(f"{told}ended in {max(took):.1f} s at most")


def _opened(stack: ExitStack, url: str, account: Account) -> Session:
    """A session of a client that asks once."""
    client = stack.enter_context(Client(url, retry=RetryPolicy(give_up_after=0)))
    session = client.create_session(**DIMS, options=OPTIONS, seed=account.number)
    account.session_id, account.seed, account.asked = session.id, account.number, 1
    account.calls = 1
    return session


def worker_killed(scene: Scene) -> Row:
    """Worker processes killed (SIGKILL) while they compute."""
    service = scene.service()

    def disturb() -> int:
        gone = 0
        for _ in range(5):
            killed = set(service.workers())
            _kill(killed)
            time.sleep(0.1)
            gone += len(killed - set(service.workers()))
        return gone

    return scene.run(
        worker_killed, "sqlite", [service.url], disturb, scale=scene.large()
    )


def worker_out_of_memory(scene: Scene) -> Row:
    """Worker processes, killed and new, get no memory for four seconds at least."""
    service = scene.service()
    most = _ready_bytes(service) + SHORT_BYTES

    def disturb() -> int:
        # What a worker has had before it can have again: only new ones can be short.
        before = set(service.workers())
        _kill(before)
        short: set[int] = set()
        began, ended = time.monotonic(), 0
        # On a busy machine a new one may not be ready for its first product by then.
        while (spent := time.monotonic() - began) < SHORT_SECONDS or (
            not ended and spent < 5 * SHORT_SECONDS
        ):
            for pid in set(service.workers()) - before - short:
                short.add(pid)
                with suppress(ProcessLookupError):
                    # Hard, too: it would widen a soft limit to what it is allowed.
                    resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
            time.sleep(0.01)
            ended = len(short - set(service.workers()))
        _kill(short)
        return ended

    return scene.run(
        worker_out_of_memory, "sqlite", [service.url], disturb, scale=scene.large()
    )


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _ready_bytes(service: ServiceProcess) -> int:
    """What a worker that is ready has of memory, before it has done anything."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for pid in service.workers():
            with suppress(OSError):
                soft, _ = resource.prlimit(pid, resource.RLIMIT_DATA)
                status = Path(f"/proc/{pid}/status").read_text()
                if soft != resource.RLIM_INFINITY:
                    return 1024 * int(status.split("VmData:")[1].split()[0])
        time.sleep(0.05)
    raise Unable("no worker has set itself a limit of memory")


def two_services_one_file(scene: Scene) -> Row:
    """Two services on one file, killed in turn."""
    first, second = scene.service(), scene.service()

    def disturb() -> int:
        gone = 0
        for service in (first, second):
            gone += service.kill()
            service.start()
        return gone

    return scene.run(
        two_services_one_file,
        "sqlite",
        [first.url, second.url],
        disturb,
        check_at=second.url,
    )


def two_services_one_redis(scene: Scene) -> Row:
    """Two services on one Redis, killed in turn."""
    store = scene.redis().url
    first, second = scene.service(store), scene.service(store)

    def disturb() -> int:
        gone = 0
        for service in (first, second):
            gone += service.kill()
            service.start()
        return gone

    urls = [first.url, second.url]
    row = Row(title(two_services_one_redis), "redis")
    return storm(row, urls, scene.scale, disturb, check_at=second.url)


FAULTS = (
    service_killed,
    service_killed_on_redis,
    service_killed_while_it_starts,
    service_paused,
    service_drained,
    worker_killed,
    worker_out_of_memory,
    two_services_one_file,
    two_services_one_redis,
)
