"""Clocks that jump: the service's and Redis's."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from reliability.faults.scene import Scene, Unable
from reliability.faults.seen import ahead
from reliability.ledger import Row
from reliability.processes import ServiceProcess

HOUR = 3600.0
# Much less than an hour: sessions expire where a clock is believed.
SETTINGS = {"SESSION_TTL_SECONDS": "600"}
SHIFTED = (sys.executable, "-m", "reliability.shifted")
_SHIM = Path(__file__).parents[1] / "shifted.c"


def clock_forward(scene: Scene) -> Row:
    """The service's clock jumps an hour ahead, and back."""
    service, turn = _turning(scene)

    def disturb() -> int:
        struck = turn(HOUR)
        time.sleep(0.5)
        turn(0.0)
        time.sleep(0.5)
        return struck

    return scene.run(clock_forward, "sqlite", [service.url], disturb)


def clock_backward(scene: Scene) -> Row:
    """The service's clock jumps an hour back, and ahead again."""
    service, turn = _turning(scene)

    def disturb() -> int:
        struck = turn(-HOUR)
        time.sleep(0.5)
        turn(0.0)
        time.sleep(0.5)
        return struck

    return scene.run(clock_backward, "sqlite", [service.url], disturb)


def clocks_disagree(scene: Scene) -> Row:
    """Two services on one Redis and its sessions, one of them an hour ahead."""
    store = scene.redis().url
    wrong, turn = _turning(scene, store)
    right = scene.service(store, settings=SETTINGS)

    def disturb() -> int:
        struck = turn(HOUR)
        time.sleep(1.0)
        return struck

    urls = [wrong.url, right.url]
    return scene.run(
        *(clocks_disagree, "redis", urls, disturb),
        check_at=right.url,
        roaming=True,
    )


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
    service = scene.service(server.url, settings=SETTINGS)

    def disturb() -> int:
        seen: list[float] = []
        for shift in (int(HOUR), 0):
            with file.open("r+b") as turned:
                turned.write(struct.pack("q", shift))
            time.sleep(0.5)
            with server.client() as client:
                seen.append(client.time()[0] - time.time())
        return int(seen[0] > HOUR - 60)

    return scene.run(redis_clock_forward, "redis", [service.url], disturb)


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
) -> tuple[ServiceProcess, Callable[[float], int]]:
    """A service, and what turns its clock by seconds; 1 once it tells that time."""
    file = scene.folder / "shift"
    file.write_text("0")

    def turn(seconds: float) -> int:
        # At once: the service may be reading it.
        fresh = file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(file)
        # The date of its answers is made anew every second.
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if abs(ahead(service.url) - seconds) < 60:
                return 1
            time.sleep(0.1)
        return 0

    service = scene.service(
        store,
        settings=SETTINGS,
        command=SHIFTED,
        environment={"SHIFT_FILE": str(file)},
    )
    return service, turn


FAULTS = (clock_forward, clock_backward, clocks_disagree, redis_clock_forward)
