"""Where the parts of an analysis are done: here, in threads, or on a Dask cluster.

``CCDM_COMPUTE`` names the place. Whoever does them, the bytes are the same; what
differs is how long it takes, and how work is stopped:

=====================  =============================================================
``processes``          one analysis, one process, whose threads share the parts where it
                       may have several; stopping kills it (the default)
``threads``            in this process; it stops between two parts
``dask://host:port``   one process prepares and gathers, the workers of the scheduler
                       do the parts; stopping kills the process, whose parts the
                       scheduler then drops
=====================  =============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from service.settings import Settings

SCHEMES = {"dask": "tcp", "dask+tls": "tls"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where parts are done; goes to the process that prepares them.

    Attributes:
        kind: ``"processes"``, ``"threads"`` or ``"dask"``.
        address: of the scheduler, ``tcp://host:port`` or ``tls://host:port``.
        threads: how many share the parts of one analysis.
        certificates: files of authority, certificate and key, for ``tls://``.
    """

    kind: str
    address: str = ""
    threads: int = 1
    certificates: tuple[Path | None, Path | None, Path | None] = (None, None, None)

    @property
    def listens(self) -> tuple[str, int]:
        """Host and port of the scheduler."""
        where = urlsplit(self.address)
        return where.hostname or "", where.port or 0

    @property
    def at_once(self) -> int:
        """Parts of one analysis that are handed to threads and not yet taken back."""
        return 2 * self.threads if self.threads > 1 else 1

    @property
    def is_here(self) -> bool:
        """Whether all is done in the service's own process."""
        return self.kind == "threads"


def place_of(settings: Settings) -> Place:
    """The place that the settings name."""
    chosen = settings.compute
    if "://" not in chosen:
        here = chosen == "threads"
        shared = settings.max_running if here else settings.analysis_threads
        return Place(chosen, threads=shared)
    where = urlsplit(chosen)
    files = settings.dask_ca_file, settings.dask_cert_file, settings.dask_key_file
    return Place("dask", f"{SCHEMES[where.scheme]}://{where.netloc}", 1, files)


def checked(value: str) -> str:
    """The setting, if it names a place.

    Raises:
        ValueError: saying what would.
    """
    if value in ("processes", "threads"):
        return value
    where = urlsplit(value)
    try:
        good = where.scheme in SCHEMES and where.hostname and where.port
    except ValueError:
        good = False
    if not good or where.path or where.query or where.username:
        raise ValueError(
            f"got {value!r}, wanted 'processes', 'threads', 'dask://host:port' or "
            "'dask+tls://host:port'"
        )
    return value
