"""Localization: taper sample correlations with distance.

The Gaspari-Cohn function ``rho(r)`` is a fifth-order, compactly supported stand-in
for a Gaussian: with ``z = distance / radius``, support ends at ``z = 2``
(Gaspari and Cohn 1999, equation 4.10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdm_engine.errors import OptionsError
from ccdm_engine.nearby import Neighbours, Surroundings, surroundings

Array = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Localization:
    """Where states and measurements live, and how far a correlation is believed.

    Attributes:
        state_coordinates: ``(dx,)`` or ``(dx, k)``, one place per state variable.
        measurement_coordinates: ``(dy,)`` or ``(dy, k)``, in the same units.
        radius: half-width of the taper in units of the coordinates; correlations
            beyond ``2 * radius`` are dropped.
        period: length of a periodic domain per axis (scalar or ``(k,)``), if any.
    """

    state_coordinates: Array
    measurement_coordinates: Array
    radius: float
    period: float | tuple[float, ...] | None = None

    def __init__(
        self,
        state_coordinates: npt.ArrayLike,
        measurement_coordinates: npt.ArrayLike,
        radius: float,
        period: float | Sequence[float] | None = None,
    ) -> None:
        states = _places("localization.state_coordinates", state_coordinates)
        measured = _places(
            "localization.measurement_coordinates", measurement_coordinates
        )
        if states.shape[1] != measured.shape[1]:
            raise OptionsError(
                "localization.measurement_coordinates",
                got=f"{measured.shape[1]} axes",
                wanted=f"{states.shape[1]} axes, as in state_coordinates",
            )
        radius = _positive("localization.radius", radius)
        object.__setattr__(self, "state_coordinates", states)
        object.__setattr__(self, "measurement_coordinates", measured)
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "period", _period(period, states.shape[1]))

    def to_dict(self) -> dict[str, Any]:
        """The localization as JSON values."""
        period = list(self.period) if isinstance(self.period, tuple) else self.period
        return {
            "state_coordinates": self.state_coordinates.tolist(),
            "measurement_coordinates": self.measurement_coordinates.tolist(),
            "radius": self.radius,
            "period": period,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Localization:
        """The inverse of :meth:`to_dict`.

        Raises:
            OptionsError: when a name is unknown or missing.
        """
        needed = {"state_coordinates", "measurement_coordinates", "radius"}
        if not needed <= set(values) <= needed | {"period"}:
            raise OptionsError(
                "localization",
                got="the names " + ", ".join(sorted(values)),
                wanted="state_coordinates, measurement_coordinates, radius "
                "and optionally period",
            )
        return cls(**values)

    def require_sizes(self, state_dim: int, measurement_dim: int) -> None:
        """Check that there is one place per state and per measurement.

        Raises:
            OptionsError: when there is not.
        """
        for name, places, wanted in (
            ("state_coordinates", self.state_coordinates, state_dim),
            ("measurement_coordinates", self.measurement_coordinates, measurement_dim),
        ):
            if places.shape[0] != wanted:
                raise OptionsError(
                    f"localization.{name}",
                    got=f"{places.shape[0]} places",
                    wanted=f"{wanted}, one per column of the array",
                )

    def taper_xy(
        self, measurements: Columns | None = None, states: Columns | None = None
    ) -> Array:
        """Taper between (the kept) states and measurements, ``(dx, dy)``."""
        return self._taper(
            _kept(self.state_coordinates, states),
            _kept(self.measurement_coordinates, measurements),
        )

    def among(self, states: Array) -> Localization:
        """The same for other state variables, at ``(b, k)``."""
        return Localization(
            states, self.measurement_coordinates, self.radius, self.period
        )

    def of(self, measurements: Columns) -> Localization:
        """The same for these measurements alone, and for no state variable."""
        return Localization(
            self.state_coordinates[:0],
            self.measurement_coordinates[measurements],
            self.radius,
            self.period,
        )

    def near_measurements(self) -> Columns:
        """Measurements that may matter for one of the states at least, ``(m,)``.

        Those within reach of the box around the states: cheap, and none is missed.
        """
        low, high = self.state_coordinates.min(axis=0), self.state_coordinates.max(0)
        gaps = np.abs(self.measurement_coordinates - (low + high) / 2)
        if self.period is not None:
            length = np.asarray(self.period)
            gaps = gaps % length
            gaps = np.minimum(gaps, length - gaps)
        reach = (high - low) / 2 + 2.0 * self.radius
        return np.flatnonzero(np.all(gaps <= reach * (1 + 1e-12), axis=1))

    def taper_yy(self, measurements: Columns | None = None) -> Array:
        """Taper among (the kept) measurements, ``(dy, dy)``, positive semi-definite.

        On a ring of a few radii the Gaspari-Cohn function is not a correlation
        function; its negative eigenvalues are then removed and the diagonal restored,
        so that its product with a sample correlation stays a correlation matrix.
        """
        measured = _kept(self.measurement_coordinates, measurements)
        return _nearest_correlation(self._taper(measured, measured))

    def near_states(self, measurements: Columns, most: int) -> Neighbours:
        """States within the taper of each of the measurements, the nearest ones."""
        places = self.measurement_coordinates[measurements]
        return self._around(self.state_coordinates).near(places, most)

    def measurements_around(self, measurements: Columns) -> Surroundings:
        """Where these measurements are, to be searched for those within the taper."""
        return self._around(self.measurement_coordinates[measurements])

    def _around(self, places: Array) -> Surroundings:
        axes = places.shape[1]
        period = np.broadcast_to(0.0 if self.period is None else self.period, axes)
        return surroundings(places, 2.0 * self.radius, np.asarray(period, np.float64))

    def _taper(self, here: Array, there: Array) -> Array:
        gaps = np.abs(here[:, None, :] - there[None, :, :])
        if self.period is not None:
            length = np.asarray(self.period)
            gaps = gaps % length
            gaps = np.minimum(gaps, length - gaps)
        return gaspari_cohn(np.sqrt(np.sum(gaps**2, axis=-1)) / self.radius)


def gaspari_cohn(z: Array) -> Array:
    """Gaspari-Cohn correlation at ``z = distance / radius``; zero from ``z = 2`` on.

    Args:
        z: distances in units of the radius, any shape, non-negative.

    Returns:
        Values in [0, 1], same shape.
    """
    near = np.minimum(z, 1.0)
    inner = (((-0.25 * near + 0.5) * near + 0.625) * near - 5 / 3) * near**2 + 1
    far = np.clip(z, 1.0, 2.0)
    outer = (
        ((((far / 12 - 0.5) * far + 0.625) * far + 5 / 3) * far - 5) * far
        + 4
        - 2 / (3 * far)
    )
    value = np.where(z <= 1, inner, outer)
    return np.asarray(np.where(z < 2, np.clip(value, 0.0, 1.0), 0.0))


def _nearest_correlation(taper: Array) -> Array:
    if taper.shape[0] == 0:
        return taper
    values, vectors = np.linalg.eigh(taper)
    if values[0] >= -1e-12 * values[-1]:
        return taper
    clipped = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = np.sqrt(np.diag(clipped))
    return np.asarray(clipped / np.outer(scale, scale))


def _kept(places: Array, columns: Columns | None) -> Array:
    return places if columns is None else places[columns]


def _places(name: str, values: npt.ArrayLike) -> Array:
    try:
        places = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise OptionsError(
            name, got="values that are not numbers", wanted="an array of numbers"
        ) from None
    if places.ndim == 1:
        places = places[:, None]
    if places.ndim != 2:
        raise OptionsError(
            name,
            got=f"shape {places.shape}",
            wanted="shape (d,) or (d, k)",
            remedy="Give every place one coordinate, or a list of k of them.",
        )
    if not np.all(np.isfinite(places)):
        raise _no_place(name, places, np.ndim(values) == 1)
    return places


def _no_place(name: str, places: Array, flat: bool) -> OptionsError:
    """The first coordinate that is none."""
    row, axis = (int(i) for i in np.argwhere(~np.isfinite(places))[0])
    return OptionsError(
        name,
        got=str(places[row, axis]),
        wanted="a finite number",
        remedy="Every state and every measurement needs a place: fill in this one.",
        index=(row,) if flat else (row, axis),
    )


def _period(value: Any, axes: int) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    items = list(value) if several else [value]
    if len(items) not in (1, axes):
        raise OptionsError(
            "localization.period",
            got=f"{len(items)} lengths",
            wanted=f"1 or {axes}, one per axis of the coordinates",
        )
    lengths = tuple(_positive("localization.period", item) for item in items)
    return lengths[0] if len(lengths) == 1 else lengths


def _positive(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, (bool, str)) or not 0 < number < math.inf:
        raise OptionsError(
            name, got=repr(value)[:40], wanted="a positive finite number"
        )
    return number
