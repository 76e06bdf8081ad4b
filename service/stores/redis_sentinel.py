"""Redis behind sentinels, which know the address of its master and may change it.

::

    redis+sentinel://[user:password@]host:26379[,host:26379...]/name/0
    rediss+sentinel://...                                 the same over TLS

The credentials are those of the Redis servers; ``?sentinel_username=`` and
``?sentinel_password=`` are those of the sentinels, where they want any. ``name`` is
what the sentinels call the master, and the number its database (0 when left out).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import redis.asyncio
import redis.asyncio.sentinel

SCHEMES = ("redis+sentinel", "rediss+sentinel")
_PORT = 26379
_ADDRESS = re.compile(
    r"[^:]+://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
# Sentinels answer at once or not at all, and there are others.
_ASK_SECONDS = 0.5


def is_sentinel(url: str) -> bool:
    """Whether an address is one of sentinels."""
    return url.partition(":")[0].lower() in SCHEMES


def sentinel_client(url: str, settings: dict[str, Any]) -> redis.asyncio.Redis:
    """A client that asks the sentinels for the master whenever it connects.

    Args:
        url: as above.
        settings: of connections to Redis.

    Raises:
        ValueError: when the address is not of this form.
    """
    hosts, name, own, theirs = parsed(url)
    if url.lower().startswith("rediss"):
        own["ssl"] = theirs["ssl"] = True
    sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        hosts,
        sentinel_kwargs={
            "socket_connect_timeout": _ASK_SECONDS,
            "socket_timeout": _ASK_SECONDS,
            "retry": settings["retry"],
            "protocol": 2,
            **theirs,
        },
        **settings,
        **own,
    )
    return sentinel.master_for(name)  # type: ignore[no-any-return]


async def close_sentinels(client: redis.asyncio.Redis) -> None:
    """Close the connections to the sentinels of a client, if it has any."""
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    for sentinel in getattr(manager, "sentinels", ()):
        await sentinel.aclose()


def parsed(
    url: str,
) -> tuple[list[tuple[str, int]], str, dict[str, Any], dict[str, Any]]:
    """Sentinels, name of the master, settings of its connections and of theirs."""
    # Many hosts are no authority of RFC 3986: urllib refuses some of them as IPv6.
    found = _ADDRESS.fullmatch(url)
    credentials, _, places = (found["authority"] if found else "").rpartition("@")
    hosts = [_host(place) for place in places.split(",") if place]
    name, _, database = (found["path"] if found else "").strip("/").partition("/")
    if not hosts or not name or not (database or "0").isdigit():
        raise ValueError(
            "a sentinel address is redis+sentinel://host:26379,host:26379/name/0"
        )
    own: dict[str, Any] = {"db": int(database or 0)}
    user, _, password = credentials.partition(":")
    if user:
        own["username"] = unquote(user)
    if password:
        own["password"] = unquote(password)
    theirs: dict[str, Any] = {}
    for key, value in parse_qsl((found and found["query"]) or ""):
        if key not in ("sentinel_username", "sentinel_password"):
            raise ValueError(f"a sentinel address has no setting {key!r}")
        theirs[key.removeprefix("sentinel_")] = value
    return hosts, unquote(name), own, theirs


def _host(place: str) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, str(_PORT)
    if not port.isdigit():
        raise ValueError(f"{place!r} is no host of a sentinel")
    return host.strip("[]"), int(port)
