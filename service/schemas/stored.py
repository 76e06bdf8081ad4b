"""Analyses of arrays in files that the operator's locations hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from service.schemas.base import Incoming, Outgoing, Seed
from service.schemas.options import Options, Periods, Positive


class Reference(Incoming):
    """An array in a file."""

    location: str = Field(description="Name of a location of the service.")
    path: str = Field(
        description="File within it: `.npy`, or NetCDF-4 and HDF5 (`.nc`, `.h5`, "
        "`.hdf5`).",
    )
    variable: str | None = Field(
        None, description="Name of the variable, in NetCDF and HDF5."
    )


# Numbers are read by ``service.media``, not by pydantic.
Numbers = Annotated[
    Reference | list[Any], Field(description="A reference, or the numbers themselves.")
]


class StoredLocalization(Incoming):
    """Where states and measurements live: only what is near is heard."""

    state_coordinates: Numbers
    measurement_coordinates: Numbers
    radius: Positive = Field(
        description="Half-width of the taper; nothing is left beyond twice of it."
    )
    period: Positive | Periods | None = Field(
        None, description="Length of a periodic domain, one or one per axis."
    )


class StoredAnalysisRequest(Incoming):
    """A localized analysis, read and written block by block."""

    forecast_states: Reference
    simulated_measurements: Numbers
    observation: Numbers
    localization: StoredLocalization
    result: Reference
    overwrite: bool = Field(
        False, description="Whether a file that is there may be replaced."
    )
    options: Options | None = None
    seed: Seed | None = None


class StoredAnalysisAnswer(Outgoing):
    """What became of it."""

    result: dict[str, Any] = Field(
        description="The reference, `shape` `[n_samples, dx]`, and `sha256` of the "
        "blocks of 8192 variables one after the other, each row by row as "
        "little-endian doubles."
    )
    inputs: dict[str, dict[str, Any]] = Field(
        {},
        description="By the pointers of their references, the files that were read: "
        "`bytes`, and when they were `modified`, in seconds since 1970.",
    )
    diagnostics: dict[str, Any]
