"""Means and extremes of columns are NumPy's own to the last bit, spreads nearly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ccdm_engine import columns


def tables(rows: int, width: int) -> list[npt.NDArray[np.float64]]:
    """In the order of rows, of columns, and a part of a wider one."""
    rng = np.random.default_rng([31, rows, width])
    whole = (
        rng.standard_normal((rows, width + 1))
        * 10.0 ** rng.integers(-9, 9, rows)[:, None]
    )
    part = whole[:, :width]
    return [np.ascontiguousarray(part), np.asfortranarray(part), part]


@pytest.mark.parametrize("rows", [2, 50, 199, 200, 1013])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 9, 16, 17, 40, 1500])
def test_columns_are_reduced_as_numpy_does(rows: int, width: int) -> None:
    for x in tables(rows, width):
        assert np.array_equal(columns.total(x), x.sum(axis=0))
        assert np.array_equal(columns.mean(x), x.mean(axis=0))
        # Squares are added up as they are made, without being rounded before.
        assert np.allclose(columns.variance(x), x.var(axis=0), rtol=1e-13, atol=0)
        unbiased = x.std(axis=0, ddof=1)
        assert np.allclose(columns.deviation(x), unbiased, rtol=1e-13, atol=0)
        low, high = columns.extent(x)
        assert np.array_equal(low, x.min(axis=0))
        assert np.array_equal(high, x.max(axis=0))
