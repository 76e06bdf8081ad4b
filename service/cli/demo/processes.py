"""The two programs of the demo, as processes that are started, killed and watched."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from service.cli.output import CommandError
from service.client import Client, ClientError, RetryPolicy

START_SECONDS = 60.0
_END: dict[str, Any] = {"event": "end of output"}


class Service:
    """``ccdm serve`` on loopback, on the same port and store at every start."""

    def __init__(self, store: str, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = store
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the service."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it; seconds until it answered."""
        started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_CCDM, "serve", "--port", str(self.port), "--store", self.store],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
        self._wait_until_ready()
        return time.monotonic() - started

    def kill(self) -> None:
        """``kill -9``: no goodbye, nothing flushed, nothing closed."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        """Stop it, politely at first."""
        if self._process is not None:
            stop(self._process)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        with Client(self.url, retry=RetryPolicy(give_up_after=0)) as client:
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    if client.ready()["status"] == "ready":
                        return
                except ClientError:
                    pass
                time.sleep(0.05)
        stop(self._process)
        raise CommandError(f"the service did not start:\n{tail(self._log)}")


class Simulator:
    """The simulator, and the lines it writes."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli.demo.simulator", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                text=True,
            )
        assert self._process.stdout is not None
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(
            target=_read, args=(self._process.stdout, self._events), daemon=True
        ).start()

    def events(self, silence: float) -> Iterator[dict[str, Any]]:
        """What it says, until it ends well.

        Raises:
            CommandError: when it fails, or says nothing for ``silence`` seconds.
        """
        while True:
            try:
                event = self._events.get(timeout=silence)
            except queue.Empty:
                raise CommandError(
                    f"the simulator said nothing for {silence:g} s"
                ) from None
            if event is _END:
                break
            yield event
        if self._process.wait(timeout=silence) != 0:
            raise CommandError(f"the simulator failed:\n{tail(self._log)}")

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Stop it if it still runs."""
        stop(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and end it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"


_CCDM = (sys.executable, "-m", "service.cli")


def _environment() -> dict[str, str]:
    # The service of the demo is the demo's: settings of the person's own service,
    # API keys and limits, do not reach it.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CCDM_")}
    return inherited | {"PYTHONUNBUFFERED": "1"}


def _read(lines: IO[str], events: queue.Queue[dict[str, Any]]) -> None:
    for line in lines:
        try:
            events.put(json.loads(line))
        except ValueError:
            continue
    events.put(_END)
