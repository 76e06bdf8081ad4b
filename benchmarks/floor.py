"""The floor: the matrix products and exponentials of one analysis, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# A tile of logits of this many numbers stays in a second-level cache.
TILE = 2**17


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
    rows = max(16, min(512, TILE // members))
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((rows, dimension + 1), dtype=np.float32)
    queries *= np.float32(0.1)
    keys = rng.standard_normal((dimension + 1, members), dtype=np.float32)
    values = rng.standard_normal((members, dimension + 1), dtype=np.float32)
    logits = np.empty((rows, members), dtype=np.float32)
    tiles = -(-samples // rows)

    def run() -> None:
        for _ in range(evaluations * tiles):
            np.matmul(queries, keys, out=logits)
            np.exp(logits, out=logits)
            logits @ values

    return run
