"""A Redis master, its replica and a sentinel that watches them, all real."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.redis import RedisServer, find_redis_server, free_port

NAME = "sessions"
PATIENCE = 30.0


class Watched:
    """The three of them.

    Attributes:
        master, replica: as they began.
        port: of the sentinel.
    """

    def __init__(self, master: RedisServer, replica: RedisServer, port: int) -> None:
        self.master = master
        self.replica = replica
        self.port = port

    @property
    def url(self) -> str:
        """Address of the store; the first sentinel is one that is down."""
        places = f"127.0.0.1:{free_port()},127.0.0.1:{self.port}"
        return f"redis+sentinel://{places}/{NAME}/0"

    def wait_for_replica(self) -> None:
        """Until the replica has all that the master has."""
        end = time.monotonic() + PATIENCE
        with self.master.client() as master, self.replica.client() as replica:
            while time.monotonic() < end:
                there = master.info("replication")["master_repl_offset"]
                here = replica.info("replication")
                if (
                    here.get("master_link_status") == "up"
                    and here["slave_repl_offset"] >= there
                ):
                    return
                time.sleep(0.02)
        pytest.fail("the replica does not follow")


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Start them, and end them."""
    with (
        RedisServer(folder / "master", appendonly="yes") as master,
        RedisServer(folder / "replica", appendonly="yes") as replica,
    ):
        with replica.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        port = free_port()
        process = _sentinel(folder, port, master.port)
        try:
            _wait_until_known(port)
            yield Watched(master, replica, port)
        finally:
            process.kill()
            process.wait(10)


def _sentinel(folder: Path, port: int, master: int) -> subprocess.Popen[bytes]:
    file = folder / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile sentinel.log\n"
        f"sentinel monitor {NAME} 127.0.0.1 {master} 1\n"
        f"sentinel down-after-milliseconds {NAME} 400\n"
        f"sentinel failover-timeout {NAME} 5000\n"
    )
    return subprocess.Popen([find_redis_server(), str(file), "--sentinel"])


def _wait_until_known(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with redis.Redis("127.0.0.1", port, socket_timeout=1, retry=None) as client:
                if client.sentinel_slaves(NAME):
                    return
        except (redis.ConnectionError, redis.TimeoutError):
            pass
        time.sleep(0.05)
    pytest.fail("the sentinel does not see the replica")
