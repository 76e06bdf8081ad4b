"""Every fault that is tried, by name.

A fault is a function from a :class:`Scene` to a :class:`~reliability.ledger.Row`; the
first line of its docstring is what the table calls it.
"""

from __future__ import annotations

from reliability.faults import clients, clock, network, redis, service, sqlite
from reliability.faults.scene import Fault, Scene, Unable

FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for module in (service, sqlite, redis, network, clients, clock)
    for fault in module.FAULTS
}

__all__ = ["FAULTS", "Fault", "Scene", "Unable"]
