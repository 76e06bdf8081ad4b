"""A Dask scheduler and its workers, each a process of its own, on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


class Cluster:
    """One scheduler; workers come and go.

    Args:
        folder: for logs and what workers spill.
        certificates: options of both commands, for TLS.
    """

    def __init__(self, folder: Path, certificates: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.certificates = certificates
        self.scheme = "tls" if certificates else "tcp"
        self.workers: list[subprocess.Popen[bytes]] = []
        command = ["scheduler", "--port", "0", "--no-dashboard", *certificates]
        command += ["--host", f"{self.scheme}://127.0.0.1"]
        self.scheduler, self._log = self._start(command, "scheduler")
        self.address = self._told(r"Scheduler at: +\w+://([\d.]+:\d+)")

    @property
    def setting(self) -> str:
        """As ``CCDM_COMPUTE`` wants it."""
        return f"dask{'+tls' if self.certificates else ''}://{self.address}"

    def add_worker(self, *options: str, threads: int = 1) -> subprocess.Popen[bytes]:
        """Start one more, and wait until it is known."""
        name = f"worker-{len(self.workers)}"
        command = ["worker", f"{self.scheme}://{self.address}", *self.certificates]
        command += ["--no-nanny", "--nthreads", str(threads), *options]
        command += ["--no-dashboard", "--name", name, "--death-timeout", "60"]
        command += ["--local-directory", str(self.folder)]
        process, log = self._start(command, name)
        self.workers.append(process)
        self._log = log
        self._told(r"Registered to:")
        return process

    def _start(
        self, command: list[str], name: str
    ) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / f"{name}.log"
        module = "distributed.cli.dask_" + command[0]
        with log.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *command[1:]],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
            )
        return process, log

    def _told(self, pattern: str) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = re.search(pattern, self._log.read_text())
            if found:
                return found[1] if found.groups() else found[0]
            time.sleep(0.05)
        raise RuntimeError(self._log.read_text())

    def close(self) -> None:
        """End all of them."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(PATIENCE)


def filled(common: Any, part: tuple[float, int]) -> Any:
    """Work for a worker: so many seconds, a result of so many numbers."""
    seconds, size = part
    time.sleep(seconds)
    return np.full(size, 1.0)


@contextmanager
def running(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A cluster for the length of a block."""
    cluster = Cluster(folder)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()
