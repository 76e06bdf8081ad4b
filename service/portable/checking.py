"""Documents of a session file, held against what creation and cycles let through.

What would never have been stored is refused before it is: afterwards every listing and
every answer would stumble over it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from service.errors import ServiceError
from service.media.errors import TooLargeError
from service.portable.errors import PortableError
from service.schemas.base import field_errors
from service.schemas.options import Options
from service.schemas.sessions import SessionParams
from service.sessions.coupling import Member, check_coupling
from service.sessions.errors import SessionError
from service.sessions.models import Array, Cycle, Session
from service.sessions.requests import SEED_BITS
from service.settings import Settings
from service.sizes import (
    MAX_METADATA_DEPTH,
    check_lengths,
    check_options_limits,
    check_options_sizes,
    check_sizes,
    nested_deeper,
)

# Languages whose only number is a double, and SQLite, count so far.
MOST = 2**SEED_BITS - 1
MOST_CYCLES = 10**9
# Beyond what any setting is meant for, and within what every store can count.
LONGEST_TTL_SECONDS = 100 * 366 * 86_400.0
_LATEST_SECONDS = 1e11
# As creation has them, under their names there.
_CHOSEN = (
    *("state_dim", "measurement_dim", "options", "seed", "keep_analyses"),
    *("names", "coordinates", "metadata", "coupling"),
)
# Answers put documents into lists and objects of their own.
_AROUND = 8


def check_session(session: Session) -> None:
    """A session as creation would have made it and cycles would have left it.

    Raises:
        PortableError: naming the first field that does not fit.
    """
    _check_counts(session)
    for name in ("created_at", "updated_at"):
        check_time(name, getattr(session, name))
    ttl = check_time("ttl_seconds", session.ttl_seconds)
    if not 0 < ttl <= LONGEST_TTL_SECONDS:
        wanted = f"above 0 and at most {LONGEST_TTL_SECONDS:.0f}"
        raise PortableError(f"ttl_seconds: got {ttl!r}, wanted {wanted}")
    chosen = {name: getattr(session, name) for name in _CHOSEN}
    if nested_deeper(session.metadata, MAX_METADATA_DEPTH):
        raise PortableError(f"metadata: nested deeper than {MAX_METADATA_DEPTH}")
    try:
        params = SessionParams.model_validate(chosen)
        check_lengths(params)
        check_options_sizes(session.options, session.state_dim, session.measurement_dim)
        check_coupling(session.coupling or {})
    except ValidationError as error:
        raise _invalid("", error, chosen) from None
    except (ServiceError, SessionError) as error:
        told = error.detail if isinstance(error, ServiceError) else str(error)
        raise PortableError(told) from None
    check_writable("session.json", chosen)


def check_limits(session: Session, settings: Settings) -> None:
    """A session no larger than the service here would have let it be.

    Raises:
        PortableError: naming the limit.
    """
    coupled = map((session.coupling or {}).get, ("members", "minimum_members"))
    members = max(n or 0 for n in (session.members, session.initial_members, *coupled))
    try:
        check_sizes(settings, members, session.state_dim, session.measurement_dim)
        check_options_limits(session.options, settings)
    except TooLargeError as error:
        name = f"CCDM_{error.name.upper()}"
        raise PortableError(
            f"{error.detail} Set {name} as the service has it, which may allow more"
        ) from None


def check_cycle(name: str, cycle: Cycle, session: Session) -> None:
    """A cycle's facts, as the service will read and show them.

    Raises:
        PortableError: naming the record and what does not fit.
    """
    number = name.partition("/")[2]
    if type(cycle.cycle) is not int or number != f"{cycle.cycle}":
        raise PortableError(f"{name}: got cycle {_shown(cycle.cycle)}, wanted {number}")
    check_count(f"{name}: cycle", cycle.cycle, 1, session.cycle)
    check_count(f"{name}: seed", cycle.seed, 0, MOST)
    check_count(f"{name}: n_samples", cycle.n_samples, 1, MOST)
    check_time(f"{name}: created_at", cycle.created_at)
    if type(cycle.digest) is not str:
        raise PortableError(f"{name}: digest is no text")
    for what in ("diagnostics", "options", "timings"):
        _check_object(f"{name}: {what}", getattr(cycle, what))
    _check_diagnostics(name, cycle.diagnostics)
    try:
        Options.model_validate(cycle.options)
    except ValidationError as error:
        raise _invalid(f"{name}: options", error, cycle.options) from None
    check_writable(name, cycle.diagnostics, cycle.options, cycle.timings)


def check_members(name: str, expected: int, members: Sequence[Member]) -> None:
    """Who is in a cycle.

    Raises:
        PortableError: naming the record and what does not fit.
    """
    check_count(f"{name}: expected", expected, 1, MOST)
    for member in members:
        check_count(f"{name}: index", member.index, 0, expected - 1)
        check_count(f"{name}: arrival", member.arrival, 0, MOST)
        check_time(f"{name}: staged_at", member.staged_at)


def check_array(name: str, array: Array, session: Session, rows: int | None) -> None:
    """An array of a session: its shape, and numbers where there can be no other.

    Args:
        name: of the blob.
        array: what it holds.
        session: whose it is.
        rows: how many the analysis has, where that is known.

    Raises:
        PortableError: naming what was got and what is wanted.
    """
    kind, _, number = name.partition("/")
    check_count(f"{name}: cycle", int(number), 0, session.cycle)
    dx, dy = session.state_dim, session.measurement_dim
    wanted: dict[str, tuple[int | None, ...]] = {
        "analysis": (rows, dx),
        "forecast_states": (None, dx),
        "simulated_measurements": (None, dy),
        "observation": (dy,),
    }
    sizes = wanted.get(kind, array.shape)
    fits = array.ndim == len(sizes) and all(
        size in (None, have) for have, size in zip(array.shape, sizes, strict=True)
    )
    if not fits:
        shown = str(sizes).replace("None", "N")
        raise PortableError(f"{name}: got shape {array.shape}, wanted {shown}")
    if kind == "analysis" and not np.isfinite(array).all():
        raise PortableError(f"{name}: got NaN or infinity, wanted finite numbers")


def check_count(name: str, value: Any, least: int, most: int) -> int:
    """Refuse what is not a whole number within these limits."""
    if type(value) is int and least <= value <= most:
        return value
    raise PortableError(
        f"{name}: got {_shown(value)}, wanted a whole number from {least} to {most}"
    )


def check_time(name: str, value: Any) -> float:
    """Refuse what is not a number of seconds, of some millennia at most."""
    if type(value) in (int, float) and 0 <= value < _LATEST_SECONDS:
        return float(value)
    raise PortableError(
        f"{name}: got {_shown(value)}, wanted seconds, from 0 to {_LATEST_SECONDS:.0e}"
    )


def check_writable(name: str, *documents: Mapping[str, Any]) -> None:
    """Refuse what no answer could show: too deep, too large a number, half a letter."""
    try:
        around: Any = documents
        for _ in range(_AROUND):
            around = [around]
        orjson.dumps(around)
    except (TypeError, RecursionError) as error:
        raise PortableError(f"{name}: cannot be written as JSON ({error})") from None


def _check_counts(session: Session) -> None:
    cycle = check_count("cycle", session.cycle, 0, MOST_CYCLES - 1)
    check_count("state_dim", session.state_dim, 1, MOST)
    check_count("measurement_dim", session.measurement_dim, 0, MOST)
    # Before the first cycle the oldest analysis is the one that is to come.
    least = int(session.initial_members is None)
    check_count("oldest_kept", session.oldest_kept, least, max(cycle, 1))
    check_count("inputs_from", session.inputs_from, 0, cycle)
    for name in ("members", "initial_members"):
        if getattr(session, name) is not None:
            check_count(name, getattr(session, name), 1, MOST)


def _check_diagnostics(name: str, diagnostics: Mapping[str, Any]) -> None:
    """The few facts that the service itself reads again."""
    warnings = diagnostics.get("warnings") or []
    if type(warnings) is not list or not all(type(item) is dict for item in warnings):
        raise PortableError(
            f"{name}: warnings: got {_shown(warnings)}, wanted a list of objects"
        )
    factor = diagnostics.get("forecast_inflation", 1.0)
    if type(factor) not in (int, float) or not 0 < factor < math.inf:
        raise PortableError(
            f"{name}: forecast_inflation: got {_shown(factor)}, wanted a number above 0"
        )
    if diagnostics.get("manifest") is not None:
        _check_object(f"{name}: manifest", diagnostics["manifest"])


def _check_object(name: str, value: Any) -> None:
    if type(value) is not dict:
        raise PortableError(f"{name}: got {_shown(value)}, wanted an object")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    # A number of millions of digits has no decimal form that anybody waits for.
    if type(value) is int and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:40]


def _invalid(root: str, error: ValidationError, value: Any) -> PortableError:
    found = field_errors(error, value, "")[0]
    place = found.pointer.lstrip("/")
    return PortableError(f"{root}/{place}: {found.message}".lstrip("/"))
