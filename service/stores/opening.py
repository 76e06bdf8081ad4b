"""From an address to a store.

::

    sqlite:///relative.sqlite      a file, from the working folder
    sqlite:////absolute.sqlite     a file, from the root
    redis://host:6379/0            also rediss:// and unix://
    redis+sentinel://host:26379,host:26379/name/0
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import platformdirs

from service.stores.clocks import SteadyClock
from service.stores.protocol import Store

_REDIS = {
    "redis": "redis://host:6379/0",
    "rediss": "rediss://host:6379/0",
    "unix": "unix:///path/of/socket",
    "redis+sentinel": "redis+sentinel://host:26379/name/0",
    "rediss+sentinel": "rediss+sentinel://host:26379/name/0",
}


def default_store_url() -> str:
    """A file in the user's own data folder."""
    path = platformdirs.user_data_path("ccdm") / "sessions.sqlite"
    return f"sqlite:///{quote(str(path))}"


def open_store(url: str, *, clock: Callable[[], float] | None = None) -> Store:
    """The store at an address, still to be opened with ``await store.open()``.

    Args:
        url: see above.
        clock: seconds since 1970; one that no jump takes along when not given.

    Raises:
        ValueError: when the address is not that of a store.
    """
    clock = clock or SteadyClock().early
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        from service.stores.sqlite import SqliteStore

        return SqliteStore(_path(url), clock=clock)
    if scheme in _REDIS:
        rest = url.partition(":")[2]
        if not rest.startswith("//"):
            # The client would take it, and go to localhost.
            # Not the address: where it has a password is not to be seen in it.
            raise ValueError(
                f"got {scheme}: and no two slashes after it, wanted an address such "
                f"as {_REDIS[scheme]}"
            )
        # Only those who use Redis need its client to be imported.
        from service.stores.redis import RedisStore

        return RedisStore(url, clock=clock)
    raise ValueError(
        "a store address begins with sqlite:///, redis://, rediss://, unix:// or "
        f"redis+sentinel://, not with {scheme!r}"
    )


def file_of(url: str) -> Path | None:
    """The file that a SQLite address names, from the root; ``None`` for others.

    Raises:
        ValueError: for a SQLite address that names no file.
    """
    return _path(url).absolute() if url.lower().startswith("sqlite:") else None


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)[1:]
    if parts.netloc or not path or path == ":memory:":
        raise ValueError(
            "a SQLite address is sqlite:///relative/file or sqlite:////absolute/file, "
            "and names a file"
        )
    if parts.query or parts.fragment:
        raise ValueError("a SQLite address has no ? or #; write %3F or %23 in a name")
    return Path(path)
