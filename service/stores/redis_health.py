"""Settings of a Redis server that decide over acknowledged data."""

from __future__ import annotations

from typing import Any

from service.stores.protocol import StoreHealth
from service.stores.redis_link import Client, ask_all

_OLDEST = [6, 2]


async def health_of(client: Client) -> StoreHealth:
    """Ask the server; ``INFO`` is allowed where ``CONFIG`` often is not."""
    sections = ("server", "memory", "persistence", "replication")
    answers = await ask_all(client, [("INFO", section) for section in sections])
    info: dict[str, Any] = {}
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        info |= answer
    return judged(info, await _appendfsync(client))


def judged(info: dict[str, Any], fsync: str | None) -> StoreHealth:
    """What the fields of ``INFO``, and ``appendfsync`` if known, mean for sessions."""
    detail = f"redis {info.get('redis_version', 'of unknown version')}"
    if info.get("loading"):
        return StoreHealth(False, f"{detail}: loading its data")
    if info.get("role") == "slave":
        return StoreHealth(False, f"{detail}: this is a read-only replica")
    refusal = _refusal(info)
    if refusal is not None:
        return StoreHealth(False, f"{detail}: it refuses writes: {refusal}")
    return StoreHealth(True, detail, tuple(_warnings(info, fsync)))


async def _appendfsync(client: Client) -> str | None:
    """How often its file is written through; ``None`` where that is not told."""
    (answer,) = await ask_all(client, [("CONFIG", "GET", "appendfsync")])
    if isinstance(answer, dict):
        answer = [part for pair in answer.items() for part in pair]
    if not isinstance(answer, list) or len(answer) != 2:
        return None
    value = answer[1]
    return value.decode() if isinstance(value, bytes) else str(value)


def _refusal(info: dict[str, Any]) -> str | None:
    """Why every write is answered MISCONF now, if it is."""
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        return "its append-only file cannot be written; look at its disk"
    return None


def _warnings(info: dict[str, Any], fsync: str | None) -> list[str]:
    warnings = []
    version = str(info.get("redis_version", ""))
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if len(numbers) == 2 and numbers < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        warnings.append(f"Redis is {version}; use {wanted} or later")
    if info.get("maxmemory") == 0:
        warnings.append(
            "Redis has no maxmemory and grows until the system kills it; set one "
            "below the machine's memory"
        )
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
    elif fsync == "no":
        warnings.append(
            "Redis has appendfsync no and may forget half a minute when its machine "
            "fails; set appendfsync everysec or always"
        )
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        warnings.append(
            "Redis could not save its last snapshot, and refuses writes then unless "
            "told otherwise; look at its disk"
        )
    return warnings
