"""A writer that is made to be killed: ``python -m tests.support.crash_writer``.

Each line ``url sid`` on standard input forks a process that puts the next cycles of
that session as fast as it can. Standard output tells ``pid <pid>``, ``ack <k> <sha256
of the samples>`` once a cycle is acknowledged, and ``dead`` when the process has gone.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import os
import sys

from service.sessions import Sessions, StoreUnavailable
from service.stores import open_store
from tests.support.analyses import Array, SmallAnalysis, forecast

MEMBERS = 15_000


def body(k: int) -> tuple[Array, Array, Array]:
    """What is put for cycle ``k``: about 0.6 MB."""
    return forecast(k, members=MEMBERS)


def tell(text: str) -> None:
    """One line, at once and in one piece."""
    os.write(1, f"{text}\n".encode())


async def write(url: str, sid: str) -> None:
    """Put cycle after cycle; when the store is away, the same one again."""
    store = open_store(url)
    await store.open()
    sessions = Sessions(store, SmallAnalysis())
    k = None
    while True:
        try:
            if k is None:
                k = (await sessions.get("t", sid)).cycle + 1
            result = await sessions.put_cycle("t", sid, k, *body(k))
        except StoreUnavailable:
            await asyncio.sleep(0.02)
            continue
        tell(f"ack {k} {hashlib.sha256(result.samples).hexdigest()}")
        k += 1


def main() -> None:
    """Fork a writer for each line."""
    for store in ("sqlite", "redis"):
        # Once, before the forks, instead of in each of them.
        importlib.import_module(f"service.stores.{store}")
    for line in sys.stdin:
        url, sid = line.split()
        pid = os.fork()
        if pid == 0:
            asyncio.run(write(url, sid))
        tell(f"pid {pid}")
        os.waitpid(pid, 0)
        tell("dead")


if __name__ == "__main__":
    main()
