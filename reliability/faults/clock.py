"""Clocks that jump: the service's and Redis's."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from reliability.faults.scene import Scene, Unable
from reliability.ledger import Row
from reliability.processes import ServiceProcess

HOUR = 3600.0
_SHIM = Path(__file__).parents[1] / "shifted.c"


def clock_forward(scene: Scene) -> Row:
    """The service's clock jumps an hour ahead, and back."""
    service, turn = _turning(scene)

    def disturb() -> None:
        for shift in (HOUR, 0.0):
            turn(shift)
            time.sleep(0.5)

    return scene.run(clock_forward, "sqlite", [service.url], disturb)


def clock_backward(scene: Scene) -> Row:
    """The service's clock jumps an hour back, and ahead again."""
    service, turn = _turning(scene)

    def disturb() -> None:
        for shift in (-HOUR, 0.0):
            turn(shift)
            time.sleep(0.5)

    return scene.run(clock_backward, "sqlite", [service.url], disturb)


def clocks_disagree(scene: Scene) -> Row:
    """Two services on one Redis, one of them an hour ahead."""
    store = scene.redis().url
    ahead, turn = _turning(scene, store)
    right = scene.service(store)

    def disturb() -> None:
        turn(HOUR)
        time.sleep(1.0)

    urls = [ahead.url, right.url]
    return scene.run(clocks_disagree, "redis", urls, disturb, check_at=right.url)


def redis_clock_forward(scene: Scene) -> Row:
    """Redis's clock jumps an hour ahead, and back."""
    file = scene.folder / "redis-shift"
    file.write_bytes(bytes(8))
    server = scene.redis()
    server.kill()
    server.environment = {
        "LD_PRELOAD": str(_compiled(scene.folder)),
        "SHIFT_FILE": str(file),
    }
    server.start()
    service = scene.service(server.url)
    seen: list[float] = []

    def disturb() -> None:
        for shift in (int(HOUR), 0):
            with file.open("r+b") as turned:
                turned.write(struct.pack("q", shift))
            time.sleep(0.5)
            with server.client() as client:
                seen.append(client.time()[0] - time.time())

    row = scene.run(redis_clock_forward, "redis", [service.url], disturb)
    if max(seen) < HOUR - 60:
        raise Unable("Redis did not see the other time")
    return row


def _compiled(folder: Path) -> Path:
    """A library that turns the clock of the process it is loaded into."""
    library = folder / "shifted.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_SHIM)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise Unable("there is no C compiler") from None
    return library


def _turning(
    scene: Scene, store: str | None = None
) -> tuple[ServiceProcess, Callable[[float], None]]:
    """A service, and what turns its clock by seconds."""
    file = scene.folder / "shift"
    file.write_text("0")

    def turn(seconds: float) -> None:
        # At once: the service may be reading it.
        fresh = file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(file)

    command = (sys.executable, "-m", "reliability.shifted")
    service = scene.service(
        store, command=command, environment={"SHIFT_FILE": str(file)}
    )
    return service, turn


FAULTS = (clock_forward, clock_backward, clocks_disagree, redis_clock_forward)
