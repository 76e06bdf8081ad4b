"""How far a piece of work has come, told by whoever does it to whoever asked for it.

Work that goes on in blocks calls :func:`report` after each; where nobody listens, that
does nothing. A job listens, and shows it in its status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, str], None]
_listener: ContextVar[Listener | None] = ContextVar("progress", default=None)


def report(share: float, message: str = "") -> None:
    """Say that this share of the work, between 0 and 1, is done."""
    listener = _listener.get()
    if listener is not None:
        listener(min(max(share, 0.0), 1.0), message)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear the reports of what is done in this block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
