"""Names of folders, and files in them that clients may name.

The operator registers ``name=folder``, or ``name+write=folder`` where results may be
written. A client gives the name and a path within the folder: never an address, never
a way out of it, by ``..`` or by a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.errors import InvalidParametersError
from service.media.errors import FieldError
from service.stored.beneath import Beneath

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SUFFIXES = (".npy", ".nc", ".h5", ".hdf5")
LONGEST_PATH = 1024
LONGEST_STEP = 255


@dataclass(frozen=True, slots=True)
class Location:
    """A folder by its name.

    Attributes:
        name: what clients call it.
        folder: where it is, absolute.
        writable: whether results may be written there.
    """

    name: str
    folder: Path
    writable: bool

    def trouble(self) -> str:
        """What keeps this process from using it, and what to do; nothing: empty."""
        if not self.folder.is_dir():
            return "is not a folder; make it, or mend CCDM_LOCATIONS"
        rights = os.R_OK | os.X_OK | (os.W_OK if self.writable else 0)
        if os.access(self.folder, rights):
            return ""
        right = "write" if self.writable else "read"
        return f"gives no right to {right}; give it, or mend CCDM_LOCATIONS"


def parse(settings: Iterable[str]) -> dict[str, Location]:
    """Locations as the setting has them.

    Raises:
        ValueError: for one that is not ``name=folder`` or ``name+write=folder``.
    """
    found: dict[str, Location] = {}
    for item in settings:
        name, equals, folder = item.partition("=")
        name, _, right = name.partition("+")
        good = equals and NAME.fullmatch(name) and right in ("", "write")
        if not good or not Path(folder).is_absolute() or name in found:
            raise ValueError(
                f"got {item!r}, wanted name=/folder or name+write=/folder, each name "
                "once, of a-z, 0-9, - and _"
            )
        found[name] = Location(name, Path(folder), right == "write")
    return found


def file_in(
    locations: Mapping[str, Location],
    name: str,
    path: str,
    pointer: str,
    *,
    write: bool = False,
) -> Beneath:
    """The file that a client means.

    Args:
        locations: by name.
        name: of one of them.
        path: within it, with ``/`` between folders.
        pointer: of all that in the request.
        write: whether it is to be written, so that it need not be there.

    Raises:
        InvalidParametersError: for a name that is not known, a path that leads out of
            the folder, or a file that is not there.
    """
    location = locations.get(name)
    if location is None:
        known = ", ".join(sorted(locations)) or "none is registered"
        raise _wrong(pointer + "/location", "unknown", f"got {name!r}, wanted {known}")
    if write and not location.writable:
        raise _wrong(pointer + "/location", "read-only", f"{name!r} is not for results")
    plain = PurePosixPath(path)
    steps = plain.parts
    if (
        not 0 < len(path) <= LONGEST_PATH
        or plain.is_absolute()
        or path.endswith(("/", "/."))
        or "\\" in path
        or not path.isprintable()
        or any(step.startswith(".") for step in steps)
        or any(len(step.encode()) > LONGEST_STEP for step in steps)
        or plain.suffix not in SUFFIXES
    ):
        wanted = "a path within the location, to a file ending in "
        wanted += ", ".join(SUFFIXES)
        raise _wrong(pointer + "/path", "path", f"got {path[:80]!r}, wanted {wanted}")
    found = _followed(location.folder, plain, write)
    if found is None:
        raise _wrong(
            pointer + "/path", "not-found", f"there is no {path[:80]!r} in {name!r}"
        )
    file, is_file = found
    if not is_file:
        raise _wrong(pointer + "/path", "not-found", f"{path[:80]!r} is not a file")
    return file


def _followed(
    folder: Path, plain: PurePosixPath, write: bool
) -> tuple[Beneath, bool] | None:
    """Where a path leads, if within the folder, and whether a file is or can be there.

    Links are followed first, so that none leads out; one that leads to itself, or into
    what the service may not see, leads nowhere.
    """
    try:
        root = folder.resolve()
        file = (root / plain).resolve()
        if not file.is_relative_to(root):
            return None
        if not (file.parent.is_dir() if write else file.exists()):
            return None
        steps = file.relative_to(root).parts
        good = file.is_file() or (write and not file.exists())
        return Beneath(root, steps), good and bool(steps)
    except (OSError, RuntimeError, ValueError):
        return None


def _wrong(pointer: str, code: str, message: str) -> InvalidParametersError:
    return InvalidParametersError(
        f"{pointer}: {message}.", FieldError(pointer, code, message)
    )
