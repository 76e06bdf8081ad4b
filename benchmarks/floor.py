"""The floor: the matrix products and exponentials of one analysis, and nothing else.

As many rows as samples, in even tiles that stay in cache, and the exponential that the
engine uses on this machine: where NumPy has wide instructions for ``2^x`` that one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ccdm_engine.mixture import WIDE_EXP2

# A tile of logits of this many numbers stays in a second-level cache.
TILE = 2**17
EXPONENTIAL = np.exp2 if WIDE_EXP2 else np.exp


def tiles(samples: int, members: int) -> list[int]:
    """Rows of each tile: even to one row, together the samples."""
    most = max(16, min(512, TILE // members))
    cuts = np.linspace(0, samples, -(-samples // most) + 1).astype(int)
    return [int(end - begin) for begin, end in pairwise(cuts)]


def products(
    samples: int, members: int, dimension: int, evaluations: int
) -> Callable[[], None]:
    """A call that does so many evaluations' two products and exponentials.

    Args:
        samples: ``n``.
        members: ``M`` that carry weight.
        dimension: of the space that is integrated in, at most ``M``.
        evaluations: of the denoiser.
    """
    rows = tiles(samples, members)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((max(rows), dimension + 1), dtype=np.float32)
    queries *= np.float32(0.1)
    keys = rng.standard_normal((dimension + 1, members), dtype=np.float32)
    values = rng.standard_normal((members, dimension + 1), dtype=np.float32)
    logits = np.empty((max(rows), members), dtype=np.float32)
    sums = np.empty((max(rows), dimension + 1), dtype=np.float32)
    places = [(queries[:n], logits[:n], sums[:n]) for n in rows]
    exponential = EXPONENTIAL

    def run() -> None:
        for _ in range(evaluations):
            for asked, tile, found in places:
                np.matmul(asked, keys, out=tile)
                exponential(tile, out=tile)
                np.matmul(tile, values, out=found)

    return run
