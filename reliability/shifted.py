"""``ccdm`` with a wall clock that can be turned: ``time.time`` plus a file's number.

::

    python -m reliability.shifted serve ...      with SHIFT_FILE in the environment

The service reads the time of day from nowhere else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def _turned(clock: Callable[[], float], file: Path) -> Callable[[], float]:
    def now() -> float:
        return clock() + float(file.read_text() or 0)

    return now


if __name__ == "__main__":
    time.time = _turned(time.time, Path(os.environ["SHIFT_FILE"]))
    # Only now, as the stores take the clock when they are loaded.
    from service.cli import main

    main()
