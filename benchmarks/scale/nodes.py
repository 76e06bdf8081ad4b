"""What the model says of many machines, and which of them is the first to be full.

A node is the machine of the measurements: two cores. Measured are the work, what the
scheduler spends on a part, what the preparing process spends on gathering a byte, and
what service and Redis spend on a cycle. Assumed are the network, and that parts spread
evenly; a prediction beyond one machine is no measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.scale.model import features

CORES = 2
NETWORK = 1.25e9  # bytes a second of a node's line, 10 Gbit/s: assumed
PATIENCE = 60.0  # seconds that an analysis may take
BLOCK, LOGITS = 8192, 2**22
NODES = (1, 10, 100, 1000)
KERNEL_EVALUATIONS = 9


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured, in seconds.

    Attributes:
        fitted: coefficients by kind.
        part: scheduler and client, for one part.
        gather: of the preparing process, for one byte of result.
        cycle: service processes, for one small cycle; ``cycle_byte`` for each byte.
        store: Redis, for one small cycle; ``store_byte`` for each byte.
    """

    fitted: Mapping[str, list[float]]
    part: float
    gather: float
    cycle: float
    cycle_byte: float
    store: float
    store_byte: float


def sampled(costs: Costs, members: float, dx: float, nodes: int) -> dict[str, float]:
    """Seconds by who is busy: an analysis of N members that samples N."""
    work = _work(costs, "sampled", members, dx)
    parts = members * members / LOGITS
    common = 8 * members * dx
    return {
        "workers' cores": work / (CORES * nodes),
        "choosing the model, in one process": _work(costs, "chosen", members, dx),
        "the scheduler": parts * costs.part,
        "sending the ensemble": common * max(1, nodes).bit_length() / NETWORK,
        "gathering the samples": common * costs.gather,
    }


def blocks(costs: Costs, members: float, dx: float, nodes: int) -> dict[str, float]:
    """Seconds by who is busy: a localized analysis, block by block."""
    count = 8 * members * dx
    return {
        "workers' cores": _work(costs, "blocks", members, dx) / (CORES * nodes),
        "the scheduler": 2 * dx / BLOCK * costs.part,
        "gathering the samples": count * (costs.gather + 1 / NETWORK),
    }


def sessions(costs: Costs, size: float, nodes: int) -> dict[str, float]:
    """Cycles a second that each could do, for cycles of so many bytes."""
    return {
        "service processes": CORES * nodes / (costs.cycle + size * costs.cycle_byte),
        "one Redis": 1 / (costs.store + size * costs.store_byte),
        "Redis' network line": NETWORK / (3 * size),
    }


def largest(cost: Callable[[float], Mapping[str, float]]) -> tuple[float, str]:
    """The largest size done in time, and what takes longest there."""
    low, high = 1.0, 1e15
    for _ in range(200):
        middle = (low * high) ** 0.5
        low, high = (
            (middle, high) if sum(cost(middle).values()) < PATIENCE else (low, middle)
        )
    spent = cost(low)
    return low, max(spent, key=lambda name: spent[name])


def _work(costs: Costs, kind: str, members: float, dx: float) -> float:
    terms = features(kind, members, dx, KERNEL_EVALUATIONS)
    return sum(
        term * cost for term, cost in zip(terms, costs.fitted[kind], strict=True)
    )
