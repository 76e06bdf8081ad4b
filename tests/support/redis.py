"""A real redis-server on a free loopback port, in a folder of its own.

Without one the tests fail: a fake would not show what this project has to prove.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_START_SECONDS = 15.0
_ROOT = Path(__file__).resolve().parents[2]


class RedisServer:
    """One server process; settings are those of ``redis.conf``.

    Use it as a context manager, or the fixtures below.

    Attributes:
        environment: more variables for the next start.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = 0
        self.environment: dict[str, str] = {}
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, or start again on the same port and folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(5):
            port = self.port or free_port()
            self._process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            self.kill()
        log = (self.folder / "redis.log").read_text(errors="replace")
        pytest.fail(f"redis-server did not start:\n{log[-2000:]}")

    def kill(self) -> None:
        """``kill -9``: no goodbye, no snapshot."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=10)

    def client(self) -> redis.Redis:
        """A plain client, for looking behind the store's back."""
        return self.client_of(self.url)

    @staticmethod
    def client_of(url: str) -> redis.Redis:
        """A plain client for an address."""
        return redis.Redis.from_url(url, socket_timeout=10)

    def configure(self, **settings: Any) -> None:
        """``CONFIG SET`` each setting; ``_`` stands for ``-``."""
        with self.client() as client:
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)

    def command_calls(self) -> dict[str, int]:
        """Calls per command since the start, as the server counts them."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): int(entry["calls"])
            for name, entry in stats.items()
        }

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "logfile": "redis.log",
            "save": "",
            "maxmemory-policy": "noeviction",
            "maxmemory": "8gb",
            **{name.replace("_", "-"): text for name, text in self._settings.items()},
        }
        arguments = [part for item in settings.items() for part in item]
        arguments[::2] = [f"--{name}" for name in settings]
        return subprocess.Popen(
            [find_redis_server(), *arguments], env={**os.environ, **self.environment}
        )

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                with self._knock(port) as client:
                    if client.info("server")["process_id"] == self._process.pid:
                        return True
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.02)
        return False

    @staticmethod
    def _knock(port: int) -> redis.Redis:
        # By number: "localhost" may be looked up as ::1, where nobody listens.
        once = Retry(NoBackoff(), 0)
        return redis.Redis("127.0.0.1", port, socket_timeout=1, retry=once)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_redis_server() -> str:
    """The server's binary, from the PATH or where ``make test`` puts one."""
    found = shutil.which("redis-server")
    if found is None:
        cached = _ROOT / ".cache" / "redis" / "bin" / "redis-server"
        found = str(cached) if cached.exists() else None
    if found is None:
        pytest.fail("there is no redis-server; scripts/redis_server.sh gets one")
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that leave it as they found it."""
    with RedisServer(tmp_path_factory.mktemp("redis"), appendonly="yes") as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may reconfigure, stop and kill."""
    with RedisServer(tmp_path / "redis", appendonly="yes") as server:
        yield server
