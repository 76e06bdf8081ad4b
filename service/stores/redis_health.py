"""Settings of a Redis server that decide over acknowledged data."""

from __future__ import annotations

from typing import Any

from service.stores.protocol import StoreHealth
from service.stores.redis_link import Client, ask_all


async def health_of(client: Client) -> StoreHealth:
    """Ask the server; ``INFO`` is allowed where ``CONFIG`` often is not."""
    sections = ("server", "memory", "persistence", "replication")
    answers = await ask_all(client, [("INFO", section) for section in sections])
    info: dict[str, Any] = {}
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        info |= answer
    detail = f"redis {info.get('redis_version', 'of unknown version')}"
    if info.get("loading"):
        return StoreHealth(False, f"{detail}: loading its data")
    if info.get("role") == "slave":
        return StoreHealth(False, f"{detail}: this is a read-only replica")
    return StoreHealth(True, detail, tuple(_warnings(info)))


def _warnings(info: dict[str, Any]) -> list[str]:
    warnings = []
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        warnings.append(
            f"Redis has maxmemory-policy {policy!r} and may drop live sessions when "
            "memory is short; set it to noeviction"
        )
    if not info.get("aof_enabled"):
        warnings.append(
            "Redis has appendonly off and forgets cycles since its last snapshot "
            "when it is killed; set appendonly yes"
        )
    elif info.get("aof_last_write_status") != "ok":
        warnings.append("Redis cannot write its append-only file; look at its disk")
    return warnings
