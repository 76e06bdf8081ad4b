"""Names of things in stores, unambiguous whatever tenants and sessions are called."""

from __future__ import annotations

from urllib.parse import quote

META = "meta"


def place(tenant: str, sid: str, name: str) -> str:
    """Where a frame belongs: its checksum covers this."""
    return f"{quote(tenant, safe='')}/{quote(sid, safe='')}/{name}"


def part_place(tenant: str, sid: str, name: str) -> str:
    """Where the frame of a part belongs."""
    return place(tenant, sid, f"part/{name}")
