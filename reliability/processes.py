"""The service as ``ccdm serve`` runs it, in a process that can be hurt."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from service.cli.demo.processes import free_port, tail
from tests.support.servers import ROOT

PATIENCE = 60.0
_CCDM = (sys.executable, "-m", "service.cli")


class ServiceProcess:
    """``ccdm serve`` on loopback, at the same address at every start.

    Args:
        folder: where its log goes, and its file unless ``store`` says otherwise.
        store: address of the store.
        settings: by their names in the environment, without ``CCDM_``.
        command: what to run in place of ``ccdm``.
        environment: more variables for the process.
    """

    def __init__(
        self,
        folder: Path,
        store: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        command: tuple[str, ...] = _CCDM,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = store or f"sqlite:///{folder}/sessions.sqlite"
        self.log = folder / f"service-{self.port}.log"
        self._settings = dict(settings or {})
        self._command = command
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running service."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> ServiceProcess:
        try:
            self.start()
        except BaseException:
            # Whoever is interrupted here has nothing yet to end it with.
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        # Without a farewell: nobody is left to be answered, and nothing is to be kept.
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
        own = {f"CCDM_{name}": value for name, value in self._settings.items()}
        arguments = ["serve", "--port", str(self.port), "--store", self.store]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, *arguments],
                cwd=ROOT,
                env={**inherited, **own, **self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers, whatever its store is like."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                httpx.get(f"{self.url}/livez", timeout=5).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"the service does not start:\n{tail(self.log)}")

    def kill(self) -> int:
        """``kill -9``: no farewell; 1 when that is what it ended of."""
        assert self._process is not None
        self._process.kill()
        return int(self._process.wait(PATIENCE) == -signal.SIGKILL)

    def terminate(self) -> float:
        """SIGTERM; seconds until it ended by itself."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        self._process.wait(PATIENCE)
        return time.monotonic() - began

    def pause(self) -> None:
        """Let it stand still."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        os.kill(self.pid, signal.SIGCONT)

    def limit(self, what: int, most: int) -> None:
        """Set a soft limit of the running process, as ``prlimit`` does."""
        _, hard = resource.prlimit(self.pid, what)
        resource.prlimit(self.pid, what, (most, hard))

    def workers(self) -> list[int]:
        """Processes that compute for it."""
        return [pid for pid in family(self.pid) if pid != self.pid]

    def resident_bytes(self) -> dict[int, int]:
        """Memory in use now, by process: the service and its workers."""
        found = {}
        for pid in family(self.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    found[pid] = int(line.split()[1]) * 1024
        return found


def family(root: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        # Either may end while it is looked at.
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return found
