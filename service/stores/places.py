"""Names of things in stores, unambiguous whatever tenants and sessions are called."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

META = "meta"


def place(tenant: str, sid: str, name: str) -> str:
    """Where a frame belongs: its checksum covers this."""
    return f"{quote(tenant, safe='')}/{quote(sid, safe='')}/{name}"


def part_place(tenant: str, sid: str, name: str) -> str:
    """Where the frame of a part belongs."""
    return place(tenant, sid, f"part/{name}")


def without_password(url: str) -> str:
    """A store's address as it may be shown."""
    parts = urlsplit(url)
    if "password=" in parts.query:
        return without_password(urlunsplit(parts._replace(query="***")))
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))
