"""What a session should be, after all that was done to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Model:
    """What one session should be."""

    tenant: str
    expires_at: float
    ttl: float
    version: int = 1
    bodies: list[int | tuple[int, ...]] = field(default_factory=list)
    arrived: dict[int, int] = field(default_factory=dict)
    samples: list[bytes] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False

    @property
    def cycle(self) -> int:
        """The last finished cycle."""
        return len(self.bodies)
