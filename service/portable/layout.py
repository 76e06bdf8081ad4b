"""The names in a session file, and its table of contents.

A zip archive without compression::

    session.json          the session's document
    records.jsonl         one line per record: {"document": {...}, "name": "cycle/1"}
    <blob>.npy            float64 arrays: analysis/<k>, forecast_states/<k>, ...
    manifest.json         format, name, version, expiry; bytes and SHA-256 of the others

Nothing in it depends on when or where it was made: the same session gives the same
bytes from every store.
"""

from __future__ import annotations

import re
from typing import Any

FORMAT = "ccdm-session"
FORMAT_VERSION = 1

MANIFEST = "manifest.json"
SESSION = "session.json"
RECORDS = "records.jsonl"
SUFFIX = ".npy"

_BLOB = re.compile(r"[a-z][a-z_]{0,63}/(0|[1-9][0-9]{0,9})")
_RECORD = re.compile(r"[a-z][a-z_]{0,63}/[0-9a-z_/-]{1,100}")
SID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# More than any session has, and few enough to be looked at one by one.
MOST_ENTRIES = 100_000
LONGEST_DOCUMENT = 64 << 20


def is_blob(name: str) -> bool:
    """Whether a blob may have this name; never a path out of anywhere."""
    return _BLOB.fullmatch(name) is not None


def is_record(name: str) -> bool:
    """Whether a record may have this name."""
    return _RECORD.fullmatch(name) is not None


def contents(
    sid: str,
    version: int,
    expires_at: float,
    arrivals: int,
    entries: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The manifest.

    Args:
        sid: the session's name.
        version: its version.
        expires_at: seconds since 1970.
        arrivals: members that have ever arrived one by one.
        entries: ``{"bytes": ..., "sha256": ...}`` of all other entries.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "session": {
            "id": sid,
            "version": version,
            "expires_at": expires_at,
            "arrivals": arrivals,
        },
        "entries": entries,
    }
