"""Work through many variables a block at a time, so that no second copy is needed."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(dimension: int, width: int) -> Iterator[slice]:
    """Slices of ``width`` columns or fewer that cover all of them.

    Args:
        dimension: number of columns.
        width: of a block.
    """
    for begin in range(0, dimension, width):
        yield slice(begin, min(begin + width, dimension))
