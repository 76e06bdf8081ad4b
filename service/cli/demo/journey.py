"""What the demo sets out to do, and what happened on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: cycles, ensemble size, seed, and where to leave the results."""

    cycles: int
    members: int
    seed: int
    out: Path


@dataclass(slots=True)
class Journey:
    """What happened on the way.

    Attributes:
        session: its id.
        cycle: the last one acknowledged.
        killed_after: the last one acknowledged when the service was killed.
        found_after: where the restarted service said that the session stands.
        away: seconds between kill and the first answer after it.
        retries: requests that the simulator had to repeat.
        replayed: cycles whose first reply was lost and that came from the store.
        seconds: for all cycles together, the time away included.
    """

    session: str = ""
    cycle: int = 0
    killed_after: int = 0
    found_after: int = 0
    away: float = 0.0
    retries: int = 0
    replayed: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
