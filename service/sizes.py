"""Sizes that fit: the limits of the service, and one thing the other.

What comes over HTTP and what comes in a session file are held against the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import refused
from service.media.errors import FieldError, TooLargeError
from service.schemas.sessions import SessionParams
from service.settings import Settings

_ERRORS = "Give one standard deviation for all measurements, or one for each of them."
_PLACES = "Give one place for every state and every measurement, in their order."
_MINIMUM = "Give a minimum that the ensemble can reach, or ask the operator for more."
# Writers of JSON have limits of their own, and pages of sessions add levels.
MAX_METADATA_DEPTH = 32


def check_sizes(
    settings: Settings, members: int, state_dim: int, measurement_dim: int
) -> None:
    """Hold an ensemble against the service's limits.

    Raises:
        TooLargeError: naming the limit.
    """
    limits = (
        ("members", members, "max_members", settings.max_members),
        ("state variables", state_dim, "max_state_dim", settings.max_state_dim),
        (
            "measurements",
            measurement_dim,
            "max_measurement_dim",
            settings.max_measurement_dim,
        ),
    )
    for what, size, name, limit in limits:
        if size > limit:
            raise TooLargeError(f"{size} {what}; at most {limit} here.", name, limit)


def check_coupling_sizes(coupling: Mapping[str, Any], settings: Settings) -> None:
    """Hold a declaration of members against the service's limits.

    Raises:
        TooLargeError, ServiceError: naming the limit.
    """
    check_sizes(settings, coupling.get("members") or 0, 0, 0)
    least, limit = coupling.get("minimum_members") or 0, settings.max_members
    if least > limit:
        # No ensemble here is that large: such a session would never cycle.
        told = f"got {least}, wanted at most {limit}, which is max_members here"
        raise refused(
            [FieldError("/coupling/minimum_members", "value", told, _MINIMUM)]
        )


def check_options_limits(options: Mapping[str, Any], settings: Settings) -> None:
    """Hold options that cost memory or time against the service's limits.

    Raises:
        TooLargeError: naming the limit.
    """
    limits = (
        ("n_samples", "max_samples", settings.max_samples),
        ("steps", "max_steps", settings.max_steps),
    )
    for option, name, limit in limits:
        if (options.get(option) or 0) > limit:
            raise TooLargeError(f"{option} may be at most {limit} here.", name, limit)


def check_options_sizes(
    options: Mapping[str, Any], state_dim: int, measurement_dim: int
) -> None:
    """Hold options that have one entry per variable against how many there are.

    Raises:
        InvalidOptionsError: naming all that no analysis of these sizes would take.
    """
    localization = options.get("localization") or {}
    lists = (
        ("measurement_error", options.get("measurement_error"), measurement_dim),
        *(
            (f"localization/{name}", localization.get(name), size)
            for name, size in (
                ("state_coordinates", state_dim),
                ("measurement_coordinates", measurement_dim),
            )
        ),
    )
    wrong = [
        FieldError(
            f"/options/{name}",
            "shape",
            f"got {len(values)}, wanted {size}",
            (_PLACES if "/" in name else _ERRORS),
        )
        for name, values, size in lists
        if isinstance(values, Sequence)
        and len(values) != size
        # One standard deviation is for every measurement.
        and not (name == "measurement_error" and len(values) == 1)
    ]
    if wrong:
        raise refused(wrong)


def check_lengths(params: SessionParams) -> None:
    """Everything that has one entry per variable has as many as there are.

    Raises:
        ServiceError: naming all that has not.
    """
    names, places = params.names, params.coordinates
    dx, dy = params.state_dim, params.measurement_dim
    lists: list[tuple[str, object, int]] = [
        ("/initial_mean", params.initial_mean, dx),
        ("/initial_std", params.initial_std, dx),
        ("/names/states", names and names.states, dx),
        ("/names/measurements", names and names.measurements, dy),
        ("/coordinates/states", places and places.states, dx),
        ("/coordinates/measurements", places and places.measurements, dy),
    ]
    wrong = [
        FieldError(place, "shape", f"got {len(values)} entries, wanted {size}")
        for place, values, size in lists
        if isinstance(values, Sequence) and len(values) != size
    ]
    if wrong:
        raise refused(wrong)


def nested_deeper(value: Any, levels: int) -> bool:
    """Whether there are more objects and arrays within each other than ``levels``."""
    if not isinstance(value, (dict, list)):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(nested_deeper(item, levels - 1) for item in inside)
