"""Sessions and cycles as JSON shows them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from service.sessions import Cycle, Session
from service.sessions.coupling import Member
from service.sessions.errors import MOST_LISTED

_LONG = ("members_used", "members_failed", "innovation", "observation_status")
# Of how members came; they are few as a rule, and people want to see which.
_WHO = ("missing", "failed")


def session_view(session: Session) -> dict[str, Any]:
    """A session without what only the service needs."""
    return {
        "id": session.id,
        "state_dim": session.state_dim,
        "measurement_dim": session.measurement_dim,
        "members": session.members,
        "cycle": session.cycle,
        "version": session.version,
        "options": session.options,
        "seed": session.seed,
        "ttl_seconds": session.ttl_seconds,
        "keep_analyses": session.keep_analyses,
        "oldest_kept": session.oldest_kept,
        "created_at": timestamp(session.created_at),
        "updated_at": timestamp(session.updated_at),
        "expires_at": timestamp(session.expires_at),
        "names": session.names,
        "coordinates": session.coordinates,
        "metadata": session.metadata,
        "coupling": session.coupling,
    }


def cycle_view(cycle: Cycle) -> dict[str, Any]:
    """A finished cycle, samples apart."""
    return {
        "cycle": cycle.cycle,
        "created_at": timestamp(cycle.created_at),
        "seed": cycle.seed,
        "n_samples": cycle.n_samples,
        "options": cycle.options,
        "timings": cycle.timings,
        "diagnostics": cycle.diagnostics,
    }


def brief_cycle_view(cycle: Cycle) -> dict[str, Any]:
    """The same without lists as long as the ensemble or the observation."""
    facts = cycle.diagnostics
    short = {name: facts[name] for name in facts if name not in _LONG}
    if coupling := short.get("coupling"):
        listed = {
            name: coupling[name][:MOST_LISTED] for name in _WHO if name in coupling
        }
        short["coupling"] = coupling | listed
    return cycle_view(cycle) | {"diagnostics": short}


def member_view(member: Member) -> dict[str, Any]:
    """A member that has arrived, its numbers apart."""
    return {
        "member": member.index,
        "failed": member.failed,
        "staged_at": timestamp(member.staged_at),
    }


def state_columns(session: Session, chosen: Iterable[int]) -> list[str]:
    """Names of these state variables, as CSV has them."""
    names = (session.names or {}).get("states")
    return [names[place] if names else f"x{place}" for place in chosen]


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
