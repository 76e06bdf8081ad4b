"""What can be wrong with a file."""

from __future__ import annotations


class PortableError(Exception):
    """The file is not a whole, undamaged session, or no such file can be made."""
