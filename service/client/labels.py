"""Samples with names and coordinates, for those who work with xarray (an extra)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from service.client.results import SessionInfo
from service.client.wire import Array

if TYPE_CHECKING:
    import xarray


def labelled(samples: Array, info: SessionInfo) -> xarray.DataArray:
    """Samples of a session as ``analysis_samples(member, state)``.

    States are labelled with the session's names, and carry its coordinates as
    ``place`` where each is one number, as ``place_0``, ``place_1``, ... otherwise.

    Args:
        samples: ``(N, dx)``, from ``Session.cycle`` or ``Session.analysis``.
        info: of the session they came from, as in ``Session.info``.
    """
    import xarray

    names = (info.view.get("names") or {}).get("states")
    places = (info.view.get("coordinates") or {}).get("states")
    coordinates: dict[str, Any] = {}
    if names:
        coordinates["state"] = names
    if places:
        columns = np.asarray(places, dtype=np.float64)
        if columns.ndim == 1:
            coordinates["place"] = ("state", columns)
        else:
            for axis, column in enumerate(columns.T):
                coordinates[f"place_{axis}"] = ("state", column)
    return xarray.DataArray(
        samples,
        dims=("member", "state"),
        coords=coordinates,
        name="analysis_samples",
        attrs={"session": info.id},
    )
