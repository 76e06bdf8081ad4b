"""Faults of the Redis server."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import httpx
import redis

from reliability.faults.scene import Scene
from reliability.faults.seen import refused, told
from reliability.ledger import Row
from reliability.processes import ServiceProcess
from tests.support.redis import RedisServer

PAUSE = 3.0


def redis_killed(scene: Scene) -> Row:
    """Redis killed (SIGKILL) and started again, appendfsync always."""
    server = scene.redis()
    service = scene.service(server.url)
    analyses: list[int] = []

    def disturb() -> int:
        with refused(service.url) as watch:
            server.kill()
            time.sleep(1.0)
            analyses.append(_one_analysis(service))
            server.start()
        return watch.count

    row = scene.run(redis_killed, "redis", [service.url], disturb)
    good = analyses.count(200)
    row.wrong += len(analyses) - good
    return row.noting(f"{good} of {len(analyses)} analyses without a session went on")


def redis_killed_everysec(scene: Scene) -> Row:
    """Redis killed (SIGKILL) and started again, appendfsync everysec."""
    server = scene.redis(appendfsync="everysec")
    service = scene.service(server.url)

    def disturb() -> int:
        before = _run_id(server)
        server.kill()
        server.start()
        return int(_run_id(server) != before)

    row = scene.run(redis_killed_everysec, "redis", [service.url], disturb)
    return row.noting("the process was killed, not the machine: that may cost 1 s")


def redis_paused(scene: Scene) -> Row:
    """Redis stands still for 3 s (SIGSTOP, SIGCONT)."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        with refused(service.url) as watch:
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(PAUSE)
            os.kill(server.pid, signal.SIGCONT)
        return watch.count

    return scene.run(redis_paused, "redis", [service.url], disturb)


def redis_busy(scene: Scene) -> Row:
    """Redis busy with one command for 3 s."""
    server = scene.redis(enable_debug_command="yes")
    service = scene.service(server.url)

    def disturb() -> int:
        with refused(service.url) as watch, server.client() as client:
            client.execute_command("DEBUG", "SLEEP", str(PAUSE))
        return watch.count

    return scene.run(redis_busy, "redis", [service.url], disturb)


def redis_out_of_memory(scene: Scene) -> Row:
    """Redis out of memory (maxmemory 1 byte for 2 s)."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        before = told(server, "OOM")
        server.configure(maxmemory=1)
        time.sleep(2.0)
        server.configure(maxmemory=0)
        return told(server, "OOM") - before

    return scene.run(redis_out_of_memory, "redis", [service.url], disturb)


def redis_may_evict(scene: Scene) -> Row:
    """Redis may evict (allkeys-lru, memory enough): /readyz warns of it."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        server.configure(maxmemory_policy="allkeys-lru", maxmemory=1 << 30)
        # What is said of the store is asked anew every few seconds.
        end = time.monotonic() + 15
        while time.monotonic() < end and "allkeys-lru" not in (text := _ready(service)):
            time.sleep(0.5)
        server.configure(maxmemory_policy="noeviction", maxmemory=0)
        return int("allkeys-lru" in text)

    return scene.run(redis_may_evict, "redis", [service.url], disturb)


def redis_scripts_flushed(scene: Scene) -> Row:
    """Scripts flushed, again and again for 1 s."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        before = told(server, "NOSCRIPT")
        with server.client() as client:
            for _ in range(100):
                client.script_flush()
                time.sleep(0.01)
        return told(server, "NOSCRIPT") - before

    return scene.run(redis_scripts_flushed, "redis", [service.url], disturb)


def redis_clients_killed(scene: Scene) -> Row:
    """All connections of Redis ended by CLIENT KILL, again and again for 1 s."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        ended = 0
        with server.client() as client:
            for _ in range(20):
                ended += client.client_kill_filter(_type="normal", skipme=True)
                time.sleep(0.05)
        return ended

    return scene.run(redis_clients_killed, "redis", [service.url], disturb)


def redis_refuses_connections(scene: Scene) -> Row:
    """Redis takes no more connections (maxclients), those it has are ended."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        with server.client() as client:
            before = client.info("stats")["rejected_connections"]
            client.config_set("maxclients", 1)
            client.client_kill_filter(_type="normal", skipme=True)
            time.sleep(2.0)
            client.config_set("maxclients", 1000)
            return int(client.info("stats")["rejected_connections"] - before)

    return scene.run(redis_refuses_connections, "redis", [service.url], disturb)


def redis_read_only(scene: Scene) -> Row:
    """Redis becomes a replica for 2 s (as in a failover) and takes no writes."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        before = told(server, "READONLY")
        with server.client() as client:
            # Of a server that is not there, so that its own data stay.
            client.replicaof("127.0.0.1", "1")
            time.sleep(2.0)
            client.replicaof("NO", "ONE")
        return told(server, "READONLY") - before

    return scene.run(redis_read_only, "redis", [service.url], disturb)


def redis_disk_full(scene: Scene) -> Row:
    """Redis cannot write its append-only file (file size limit), then can again."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        before = told(server, "MISCONF")
        _limit_files(server)
        time.sleep(1.5)
        # With appendfsync always, Redis ends itself rather than acknowledge.
        ended = _has_ended(server)
        if ended:
            server.kill()
            server.start()
            return 1
        _limit_files(server, lift=True)
        return told(server, "MISCONF") - before

    return scene.run(redis_disk_full, "redis", [service.url], disturb)


def redis_asks_for_a_password(scene: Scene) -> Row:
    """Redis asks for a password that the service does not have, for 2 s."""
    server = scene.redis()
    service = scene.service(server.url)

    def disturb() -> int:
        before = told(server, "NOAUTH")
        with server.client() as client:
            client.config_set("requirepass", "secret")
            with suppress(redis.AuthenticationError):
                client.client_kill_filter(_type="normal", skipme=True)
            time.sleep(2.0)
            client.config_set("requirepass", "")
        return told(server, "NOAUTH") - before

    return scene.run(redis_asks_for_a_password, "redis", [service.url], disturb)


def _limit_files(server: RedisServer, *, lift: bool = False) -> None:
    import resource

    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    files = list((server.folder / "appendonlydir").glob("*.incr.aof"))
    size = max(file.stat().st_size for file in files)
    soft = hard if lift else size + 100
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (soft, hard))


def _has_ended(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except (redis.ConnectionError, redis.TimeoutError):
        return True
    return False


def _run_id(server: RedisServer) -> str:
    """Another for every process."""
    with server.client() as client:
        return str(client.info("server")["run_id"])


def _one_analysis(service: ServiceProcess) -> int:
    body = {
        "forecast_states": [[0.9], [1.4], [2.1]],
        "simulated_measurements": [[1.0], [1.3], [2.2]],
        "observation": [1.5],
    }
    return httpx.post(f"{service.url}/v1/analyses", json=body, timeout=30).status_code


def _ready(service: ServiceProcess) -> str:
    return httpx.get(f"{service.url}/readyz", timeout=30).text


FAULTS = (
    redis_killed,
    redis_killed_everysec,
    redis_paused,
    redis_busy,
    redis_out_of_memory,
    redis_may_evict,
    redis_scripts_flushed,
    redis_clients_killed,
    redis_refuses_connections,
    redis_read_only,
    redis_disk_full,
    redis_asks_for_a_password,
)
