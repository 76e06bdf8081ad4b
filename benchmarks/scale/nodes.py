"""What the model says of many machines, and what is full first, or refuses first.

A node is the machine of the measurements: two cores. Service, scheduler, Redis and the
file server have a machine each. Measured are all costs; assumed are network lines,
parts that spread evenly, and that nothing overlaps: seconds add up. A prediction beyond
one machine is no measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.scale.model import EVERY, features
from service.compute.estimates import (
    PARTS_ALIVE,
    estimated_bytes,
    estimated_stored_bytes,
)
from service.settings import Settings

CORES = 2
NETWORK = (
    1.25e9  # bytes a second of a line, 10 Gbit/s: assumed; of the file server, too
)
MACHINE = 24 * 2**30  # memory of a machine, bytes
PATIENCE = 60.0  # seconds that an analysis may take
BLOCK, LOGITS = 8192, 2**22
NODES = (1, 10, 100, 1000)
KERNEL_EVALUATIONS = 9
KERNELS = {"preconditioner": "none", "state_bandwidth": 0.4}

WORKERS, PREPARING, SCHEDULER = (
    "workers' cores",
    "the preparing process",
    "the scheduler",
)
SERVICE, REDIS = "service processes", "one Redis"
Seconds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured, in seconds and bytes.

    Attributes:
        fitted: coefficients by cost, of :mod:`benchmarks.scale.model`.
        lines: by cost, the part of its own and that of a byte: ``scheduler`` and
            ``asking`` for a part; ``cycle``, ``store``, ``line``, ``held`` for a cycle.
        here, dask: until the work begins, in one process and through Dask.
        write: to write a byte of result.
        idle: of Redis, each second for each idle process of the service.
        errors: by kind, the largest factor by which what was held out was missed.
    """

    fitted: Mapping[str, list[float]]
    lines: Mapping[str, list[float]]
    here: float
    dask: float
    write: float
    idle: float
    errors: Mapping[str, float]

    def of(self, cost: str, members: float, dx: float) -> float:
        """What the model says for one size."""
        terms = features(cost, members, dx, KERNEL_EVALUATIONS)
        return float(np.dot(terms, self.fitted[cost]))


def sampled(
    costs: Costs, members: float, dx: float, nodes: int, network: float = NETWORK
) -> Seconds:
    """Seconds by who is busy: an analysis of N members that samples N."""
    parts, array = max(members * members / LOGITS, 1.0), 8 * members * dx
    copies = (CORES * nodes).bit_length()  # from worker to worker, as a tree
    return {
        "starting": costs.dask,
        WORKERS: costs.of("sampling", members, dx) / (CORES * nodes),
        PREPARING: costs.of("sampling: rest", members, dx)
        + _passed(costs, "asking", parts, 3 * array),
        # Starts and latents to the workers, samples back.
        SCHEDULER: _passed(costs, "scheduler", parts, 3 * array),
        "the network": (3 + copies) * array / network,
    }


def blocks(
    costs: Costs, members: float, dx: float, nodes: int, network: float = NETWORK
) -> Seconds:
    """Seconds by who is busy: a localized analysis of files, block by block."""
    parts, array = 2 * dx / BLOCK, 8 * members * dx
    copies = (CORES * nodes).bit_length()
    return {
        "starting": costs.dask,
        WORKERS: costs.of("blocks", members, dx) / (CORES * nodes),
        PREPARING: costs.of("blocks: rest", members, dx)
        + _passed(costs, "asking", parts, array)
        + array * costs.write,
        SCHEDULER: _passed(costs, "scheduler", parts, array),
        # The result through the scheduler; deviations of the measurements, twice.
        "the network": (1 + 2 * copies / EVERY) * array / network,
        "the file server": 3 * array / network,  # read twice, written once
    }


def alone(costs: Costs, kind: str, members: float, dx: float) -> float:
    """Seconds in one process of the service."""
    if kind == "sampled":
        names, write = ("sampling", "sampling: rest"), 0.0
    else:
        names, write = ("blocks", "blocks: rest"), 8 * members * dx * costs.write
    return costs.here + write + sum(costs.of(name, members, dx) for name in names)


def refuses_members(members: float, dx: float, *, raised: bool) -> str | None:
    """Which limit refuses an ensemble, if any; ``raised`` to what a machine has."""
    limits, count = Settings(store_url="unused"), int(members)
    states = np.broadcast_to(0.0, (count, int(dx)))
    needed = estimated_bytes(states, states[:, :1], KERNELS)
    if raised:
        return "memory of the preparing process" if needed > MACHINE else None
    if count > limits.max_members:
        return "limit: CCDM_MAX_MEMBERS"
    if 8 * count * (dx + 1) > limits.max_body_bytes:
        return "limit: CCDM_MAX_BODY_BYTES"
    if needed > limits.max_memory_bytes:
        return "limit: CCDM_MAX_MEMORY_BYTES"
    return None


def refuses_variables(
    costs: Costs, members: float, dx: float, *, raised: bool
) -> str | None:
    """The same for files: what the service reckons with, or has been seen to take."""
    limits, count, size = Settings(store_url="unused"), int(members), int(dx)
    measured = np.broadcast_to(0.0, (count, max(size // EVERY, 1)))
    places = {"localization": {"state_coordinates": np.broadcast_to(0.0, size)}}
    reckoned = estimated_stored_bytes((count, size), measured, places, least=True)
    seen = 2**20 * costs.of("blocks: memory", members, dx)
    seen += 8 * members * BLOCK * PARTS_ALIVE  # results whose turn is near
    needed = max(seen, reckoned)
    if raised:
        return "memory of the preparing process" if needed > MACHINE else None
    if dx / EVERY > limits.max_measurement_dim:
        return "limit: CCDM_MAX_MEASUREMENT_DIM"
    if needed > limits.max_memory_bytes:
        return "limit: CCDM_MAX_MEMORY_BYTES"
    return None


def largest(
    cost: Callable[[float], Seconds],
    refuses: Callable[[float], str | None] = lambda size: None,
    factor: float = 1.0,
) -> tuple[float, str]:
    """The largest size that is done in time and not refused, and what ends it there.

    Args:
        cost: seconds by who is busy.
        refuses: the limit that a size is beyond.
        factor: by which all costs are higher.
    """

    def done(size: float) -> bool:
        return factor * sum(cost(size).values()) < PATIENCE and refuses(size) is None

    low, high = 2.0, 1e10
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if done(middle) else (low, middle)
    spent = cost(low)
    return low, refuses(high * 1.001) or max(spent, key=lambda name: spent[name])


def cycles(costs: Costs, size: float, nodes: int) -> Seconds:
    """Cycles a second that each could do, for ensembles of so many bytes."""
    processes = CORES * nodes
    awake = max(1.0 - processes * costs.idle, 0.0)
    return {
        SERVICE: processes / _each(costs, "cycle", size),
        REDIS: awake / _each(costs, "store", size),
        "Redis' network line": NETWORK / _each(costs, "line", size),
    }


def sessions(costs: Costs, size: float, nodes: int) -> Seconds:
    """Sessions at a cycle a minute that each could hold."""
    found = {name: 60 * rate for name, rate in cycles(costs, size, nodes).items()}
    return {**found, "memory of Redis": MACHINE / _each(costs, "held", size)}


def least(of: Mapping[str, float]) -> tuple[float, str]:
    """The smallest, and whose it is."""
    name = min(of, key=lambda name: of[name])
    return of[name], name


def _each(costs: Costs, cost: str, size: float) -> float:
    own, byte = costs.lines[cost]
    return own + byte * size


def _passed(costs: Costs, cost: str, parts: float, size: float) -> float:
    own, byte = costs.lines[cost]
    return parts * own + size * byte
