"""What files say of their shapes, held against limits before any number is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from service.errors import InvalidInputError
from service.media.errors import FieldError, TooLargeError

if TYPE_CHECKING:
    from service.settings import Settings

STATES = "/forecast_states"
SIMULATED = "/simulated_measurements"
OBSERVATION = "/observation"
STATES_AT = "/localization/state_coordinates"
MEASURED_AT = "/localization/measurement_coordinates"
NUMBER_BYTES = 8


class Shaped(Protocol):
    """An array, here or in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...


class Chunked(Protocol):
    """An array in a file."""

    @property
    def chunk_bytes(self) -> int: ...


def check_shapes(
    states: Shaped, arrays: Mapping[str, Shaped], settings: Settings
) -> None:
    """Refuse shapes that do not fit each other or are too large.

    Args:
        states: ``(N, dx)``, which may be of any size in dx.
        arrays: what is read whole, by the pointers above.
        settings: the limits.

    Raises:
        InvalidInputError: for axes or sizes that do not fit.
        TooLargeError: naming the limit.
    """
    for pointer, shape in (
        (STATES, states.shape),
        (SIMULATED, arrays[SIMULATED].shape),
    ):
        if len(shape) != 2:
            raise _unfit(pointer, shape, "two axes, members by variables")
    members, measurements = arrays[SIMULATED].shape
    for what, size, name in (
        ("members", max(members, states.shape[0]), "max_members"),
        ("measurements", measurements, "max_measurement_dim"),
    ):
        limit = getattr(settings, name)
        if size > limit:
            raise TooLargeError(f"{size} {what}; at most {limit} here.", name, limit)
    if members != states.shape[0]:
        wanted = f"({states.shape[0]}, dy), one row per member"
        raise _unfit(SIMULATED, arrays[SIMULATED].shape, wanted)
    observed = arrays[OBSERVATION].shape
    if math.prod(observed) != measurements:
        raise _unfit(OBSERVATION, observed, f"({measurements},), one per measurement")
    for pointer, count in ((STATES_AT, states.shape[1]), (MEASURED_AT, measurements)):
        shape = arrays[pointer].shape
        if len(shape) not in (1, 2) or shape[0] != count:
            raise _unfit(pointer, shape, f"({count},) or ({count}, axes)")
    _check_bytes(arrays, settings.max_memory_bytes)


def check_chunks(sources: Mapping[str, Chunked], limit: int) -> None:
    """Refuse files of which no small piece can be read.

    Args:
        sources: files by the pointers above.
        limit: bytes of memory.

    Raises:
        TooLargeError: for a chunk beyond it.
    """
    for pointer, source in sources.items():
        if source.chunk_bytes > limit:
            raise TooLargeError(
                f"{pointer}: to unpack one chunk of its variable takes "
                f"{source.chunk_bytes} bytes; at most {limit} here. Write it in "
                "smaller chunks.",
                "max_memory_bytes",
                limit,
            )


def _check_bytes(arrays: Mapping[str, Shaped], limit: int) -> None:
    size = NUMBER_BYTES * sum(math.prod(array.shape) for array in arrays.values())
    if size > limit:
        raise TooLargeError(
            f"Measurements and coordinates are {size} bytes; at most {limit} here. "
            "Parts of the domain in several analyses need less.",
            "max_memory_bytes",
            limit,
        )


def _unfit(pointer: str, shape: tuple[int, ...], wanted: str) -> InvalidInputError:
    message = f"got shape {shape}, wanted {wanted}"
    return InvalidInputError(
        f"{pointer}: {message}.", FieldError(pointer, "shape", message)
    )
