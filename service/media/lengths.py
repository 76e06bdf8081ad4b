"""How long a document is as JSON, and whether that is short enough to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from service.media.errors import TooLargeError

# Parameters that an ensemble is drawn from: arrays, with a limit of their own.
_ARRAYS = ("initial_mean", "initial_std")


def least_length(value: Any, enough: int) -> int:
    """Bytes that a value takes as JSON at least; not counted beyond ``enough``."""
    total, waiting = 0, [value]
    while waiting and total <= enough:
        item = waiting.pop()
        if isinstance(item, (list, dict)):
            # Each entry has a comma and one character more.
            if 2 * len(item) > enough:
                return total + 2 * len(item)
            total += 2
            if isinstance(item, dict):
                total += sum(len(name) + 3 for name in item)
                item = item.values()
            waiting.extend(item)
        else:
            total += len(item) + 3 if isinstance(item, str) else 2
    return total


def check_length(params: Mapping[str, Any], most: int) -> None:
    """Refuse parameters that are too long to be kept; arrays are not counted.

    Raises:
        TooLargeError: naming the limit.
    """
    kept = {name: value for name, value in params.items() if name not in _ARRAYS}
    length = least_length(kept, most)
    # A number has two bytes at least, and 25 at most.
    if most // 16 < length <= most:
        length = len(orjson.dumps(kept))
    if length > most:
        raise TooLargeError(
            f"Got {length} bytes or more of JSON besides arrays, wanted {most} at "
            "most: names, coordinates, options and the like are kept and read again "
            "with every cycle. Send fewer of them.",
            "max_session_document_bytes",
            most,
        )
