"""A session begins: its name, its seed, and checks on what was asked for."""

from __future__ import annotations

import math
import secrets
from typing import Any

from service.sessions.coupling import check_coupling
from service.sessions.errors import SessionInputError
from service.sessions.models import Document, Session, SessionSpec
from service.sessions.requests import check_ensemble, fresh_seed
from service.stores.codec import pack_document

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
_NAME_CHARACTERS = 26
_LONGEST_TTL = 100 * 365 * 86_400.0


def new_sid(now: float) -> str:
    """A name that nobody can guess; names of later sessions sort after earlier ones.

    48 bits of milliseconds, then 80 random ones, five to a character.
    """
    milliseconds = int(now * 1000) & (1 << 48) - 1
    number = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    places = range(5 * (_NAME_CHARACTERS - 1), -1, -5)
    return "".join(_ALPHABET[number >> place & 31] for place in places)


def new_token() -> str:
    """A name for one commit."""
    return secrets.token_hex(16)


def new_session(spec: SessionSpec, now: float, keep_analyses: int) -> Session:
    """The session that a spec asks for, in version 1.

    Args:
        spec: what a client asks for.
        now: seconds since 1970.
        keep_analyses: used where the spec does not say.

    Raises:
        SessionInputError: naming the first argument that does not fit.
    """
    check_whole("state_dim", spec.state_dim, 1)
    check_whole("measurement_dim", spec.measurement_dim, 0)
    check_ttl(spec.ttl_seconds)
    keep = keep_analyses if spec.keep_analyses is None else spec.keep_analyses
    check_whole("keep_analyses", keep, 1)
    seed = fresh_seed() if spec.seed is None else spec.seed
    check_whole("seed", seed, 0, below=2**63)
    check_document("options", spec.options)
    for name in ("names", "coordinates", "metadata", "coupling"):
        check_document(name, getattr(spec, name) or {})
    check_coupling(spec.coupling or {})
    ensemble = spec.initial_ensemble
    if ensemble is not None:
        check_ensemble(ensemble, spec.state_dim)
    members = None if ensemble is None else len(ensemble)
    return Session(
        id=new_sid(now),
        state_dim=spec.state_dim,
        measurement_dim=spec.measurement_dim,
        members=members,
        initial_members=members,
        cycle=0,
        version=1,
        options=spec.options,
        seed=seed,
        ttl_seconds=float(spec.ttl_seconds),
        created_at=now,
        updated_at=now,
        expires_at=now + spec.ttl_seconds,
        names=spec.names,
        coordinates=spec.coordinates,
        metadata=spec.metadata,
        keep_analyses=keep,
        oldest_kept=1 if ensemble is None else 0,
        coupling=spec.coupling,
    )


def check_whole(
    name: str, value: object, least: int, *, below: int | None = None
) -> None:
    """Refuse what is not an integer from ``least`` on (and under ``below``)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and value >= least and (below is None or value < below):  # type: ignore[operator]
        return
    limit = "" if below is None else f" and below {below}"
    raise SessionInputError(
        name, got=repr(value), wanted=f"an integer of at least {least}{limit}"
    )


def check_ttl(value: object) -> None:
    """Refuse what is not a lifetime in seconds."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and 0 < value <= _LONGEST_TTL and math.isfinite(value):  # type: ignore[operator,arg-type]
        return
    raise SessionInputError(
        "ttl_seconds",
        got=repr(value),
        wanted=f"a number of seconds above 0 and at most {_LONGEST_TTL:.0f}",
    )


def check_document(name: str, value: Any) -> Document:
    """Refuse what is not a JSON object; the same object comes back."""
    if not isinstance(value, dict):
        raise SessionInputError(
            name, got=type(value).__name__, wanted="an object (name: value)"
        )
    try:
        pack_document(value)
    except (TypeError, ValueError) as error:
        raise SessionInputError(
            name, got=f"a value that JSON does not have ({error})", wanted="JSON values"
        ) from None
    return value
