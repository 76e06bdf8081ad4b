"""The real service in a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import build_app
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


class Server:
    """One service process; settings are given as the environment has them.

    Args:
        folder: where its store and its log go.
        settings: ``NAME=value`` without the prefix ``CCDM_``.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {"STORE_URL": f"sqlite:///{folder}/sessions.sqlite", **settings}
        self.url = ""
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> Server:
        """Start it, with these options of the command, and wait until it answers."""
        command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
        command += options
        # Nobody stands in front of it who had to be told to turn elsewhere.
        settings = {"DRAIN_SECONDS": "0", **self.settings}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()
        return self

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"the service ended:\n{self.log.read_text()}")
            found = re.search(
                r"Listening on +(http://[\d.]+:\d+)", self.log.read_text()
            )
            if found:
                self.url = found[1]
                httpx.get(f"{self.url}/livez", timeout=PATIENCE).raise_for_status()
                return
            time.sleep(0.05)
        raise RuntimeError(f"the service does not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """kill -9: no farewell, no clean-up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(with_signal)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This one's, but for the settings of the service."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
    own = {f"CCDM_{name}": value for name, value in settings.items()}
    return {**inherited, **own, "PYTHONUNBUFFERED": "1"}


def started_worker(
    stack: ExitStack, folder: Path, settings: Mapping[str, str], *options: str
) -> subprocess.Popen[bytes]:
    """One ``ccdm worker``, killed with the stack at the latest.

    Args:
        stack: ends it.
        folder: where its log goes.
        settings: ``NAME=value`` without the prefix ``CCDM_``.
        options: of the command.
    """
    log = stack.enter_context((folder / "worker.log").open("ab"))
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "worker", *options],
        cwd=ROOT,
        env=_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """A service for the length of a block."""
    server = Server(folder, **settings).start()
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def in_process(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a process or a socket of its own, for what needs none.

    Args:
        folder: where its store goes.
        settings: by their names in Python.
    """
    store_url = f"sqlite:///{folder}/sessions.sqlite"
    app = build_app(Settings(**{"store_url": store_url, **settings}))
    await app.state.store.open()
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000", timeout=PATIENCE
        ) as client:
            yield client
    finally:
        await app.state.store.close()
