"""Probes."""

from __future__ import annotations

from typing import Literal

from service.schemas.base import Outgoing


class Alive(Outgoing):
    """The process answers."""

    status: Literal["alive"]


class Check(Outgoing):
    """One dependency."""

    name: str
    ok: bool
    detail: str
    warnings: list[str]


class Readiness(Outgoing):
    """Every dependency, and whether all are well; or all but the scheduler."""

    status: Literal["ready", "degraded", "not ready"]
    checks: list[Check]
