"""Samples with names and coordinates, for those who work with xarray (an extra)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from service.client.errors import UsageError
from service.client.wire import Array

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of the axes of samples ``(n_samples, dx)``.

    Attributes:
        dims: names of the two axes.
        states: coordinates of the state variables, by name, each ``(dx,)``.
        attrs: where the samples are from.
    """

    dims: tuple[str, str] = ("member", "state")
    states: Mapping[str, Any] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_session(cls, view: Mapping[str, Any]) -> Self:
        """Names and coordinates that a session was created with.

        Coordinates are ``place`` where each is one number, ``place_0``, ``place_1``,
        ... otherwise.

        Args:
            view: the session as the service shows it.
        """
        names = (view.get("names") or {}).get("states")
        places = (view.get("coordinates") or {}).get("states")
        states: dict[str, Any] = {"state": names} if names else {}
        if places:
            columns = np.asarray(places, dtype=np.float64)
            if columns.ndim == 1:
                states["place"] = columns
            else:
                axes = enumerate(columns.T)
                states |= {f"place_{axis}": column for axis, column in axes}
        return cls(states=states, attrs={"session": view["id"]})

    @classmethod
    def of_array(cls, states: Any) -> Self | None:
        """Those of forecast states that are an ``xarray.DataArray`` themselves."""
        dims = tuple(getattr(states, "dims", ()))
        if len(dims) != 2 or not hasattr(states, "coords"):
            return None
        found = {
            str(name): coordinate.values
            for name, coordinate in states.coords.items()
            if coordinate.dims == dims[1:]
        }
        return cls((str(dims[0]), str(dims[1])), found)

    def array(self, samples: Array, first: int | None = None) -> xarray.DataArray:
        """Samples with these labels, and members numbered from ``first`` if given.

        Raises:
            UsageError: without xarray.
        """
        try:
            import xarray
        except ImportError:
            raise UsageError(
                "xarray is not installed: pip install '.[netcdf]'"
            ) from None
        member, state = self.dims
        coordinates: dict[str, Any] = {
            name: (state, values) for name, values in self.states.items()
        }
        if first is not None:
            coordinates[member] = np.arange(first, first + len(samples))
        return xarray.DataArray(
            samples,
            dims=self.dims,
            coords=coordinates,
            name="analysis_samples",
            attrs=dict(self.attrs),
        )
