"""What a session may answer instead of a result.

The store's own errors (``SessionNotFound``, ``SessionGone``, ``StoreUnavailable``,
``StoreFull``, ``StoreCorrupt``) pass through as they are.

::

    SessionError
    ├── SessionInputError (ValueError)   an argument does not fit the session
    ├── CycleConflict                    not the next cycle, or another body
    ├── VersionConflict                  the session has changed meanwhile
    ├── CycleNotFound                    the cycle has not happened
    ├── AnalysisNotKept                  it has, and its samples are gone
    ├── MembersMissing                   too few members have arrived for a cycle
    ├── MemberConflict                   a member came twice, with another body
    ├── MemberLate                       it came when its cycle was finished
    ├── MemberNotFound                   it has not arrived
    ├── MembersOverfull                  more members, or bytes, than may wait
    ├── DocumentTooLarge                 names, coordinates and so on of too many bytes
    └── ModelsFailed                     models computed too few of the members
"""

from __future__ import annotations

from bisect import bisect_right

# Where members are listed in passing: of a large ensemble the first few tell enough.
MOST_LISTED = 100
# Runs of them that a text names.
_MOST_RUNS = 8


class SessionError(Exception):
    """Root of everything the sessions raise on their own account."""


class SessionInputError(SessionError, ValueError):
    """An argument does not fit, in itself or to this session.

    Attributes:
        argument: its name.
        got: what was received, in words.
        wanted: what would have been accepted.
        remedy: what to do next, if there is more to say.
        index: position of the first offending element, where there is one.
    """

    code = "invalid-input"

    def __init__(
        self,
        argument: str,
        *,
        got: str,
        wanted: str,
        remedy: str = "",
        index: tuple[int, ...] | None = None,
        code: str = "invalid-input",
    ) -> None:
        self.argument = argument
        self.got = got
        self.wanted = wanted
        self.remedy = remedy
        self.index = index
        self.code = code
        where = f"{argument}[{', '.join(map(str, index))}]" if index else argument
        text = f"{where}: got {got}, wanted {wanted}."
        super().__init__(f"{text} {remedy}" if remedy else text)


class CycleConflict(SessionError):
    """A cycle was put that is neither the next one nor a repetition.

    Attributes:
        cycle: the cycle that was put.
        current_cycle: the last finished cycle of the session.
        same_cycle: the cycle is finished, and it had another body.
    """

    def __init__(
        self, cycle: int, current_cycle: int, *, same_cycle: bool = False
    ) -> None:
        self.cycle = cycle
        self.current_cycle = current_cycle
        self.same_cycle = same_cycle
        reason = (
            f"Cycle {cycle} is already finished, and its body was another one"
            if same_cycle
            else f"Cycle {cycle} cannot follow cycle {current_cycle}"
        )
        super().__init__(f"{reason}; the next cycle is {current_cycle + 1}.")


class VersionConflict(SessionError):
    """The session is not in the version that the caller has seen.

    Attributes:
        current_version: the version it is in.
    """

    def __init__(self, current_version: int) -> None:
        self.current_version = current_version
        super().__init__(f"The session is in version {current_version} now.")


class CycleNotFound(SessionError):
    """The session has not had this cycle.

    Attributes:
        cycle: the cycle that was asked for.
        current_cycle: the last finished cycle.
    """

    def __init__(self, cycle: int, current_cycle: int) -> None:
        self.cycle = cycle
        self.current_cycle = current_cycle
        text = f"There is no cycle {cycle}; the last finished one is {current_cycle}."
        if cycle == 0:
            text = "The session was created without an initial ensemble."
        super().__init__(text)


class AnalysisNotKept(SessionError):
    """The cycle is finished, but only newer analyses are kept.

    Attributes:
        cycle: the cycle that was asked for.
        oldest_kept: the oldest cycle whose samples are still there.
    """

    def __init__(self, cycle: int, oldest_kept: int) -> None:
        self.cycle = cycle
        self.oldest_kept = oldest_kept
        super().__init__(
            f"The analysis of cycle {cycle} is no longer kept; "
            f"the oldest one is that of cycle {oldest_kept}."
        )


class MembersMissing(SessionError):
    """A cycle cannot go on with the members that have arrived; nothing was changed.

    Attributes:
        cycle: the cycle that was put.
        arrived, usable, expected: how many have arrived, how many of these have not
            failed, and how many there should be (0 when that is not known).
        missing: indices of those that have not arrived.
        retry_after: seconds after which another try makes sense.
    """

    def __init__(
        self,
        cycle: int,
        *,
        arrived: int,
        usable: int,
        expected: int,
        missing: tuple[int, ...],
        reason: str,
        retry_after: float,
    ) -> None:
        self.cycle = cycle
        self.arrived = arrived
        self.usable = usable
        self.expected = expected
        self.missing = missing
        self.retry_after = retry_after
        of = f" of {expected}" if expected else ""
        failed = f", {arrived - usable} of them failed" if arrived > usable else ""
        named = f" Missing: {_in_words(missing)}." if arrived and missing else ""
        super().__init__(
            f"For cycle {cycle}, {arrived}{of} members have arrived{failed}; {reason}."
            f"{named}"
        )


class MemberConflict(SessionError):
    """The member has arrived before, and it was another one.

    Attributes:
        cycle, member: which.
    """

    def __init__(self, cycle: int, member: int) -> None:
        self.cycle = cycle
        self.member = member
        super().__init__(
            f"Member {member} of cycle {cycle} has arrived before, and its body was "
            "another one. The first one stays; DELETE it first to replace it."
        )


class MemberLate(SessionError):
    """The member's cycle is finished, and this member is not in it.

    Attributes:
        cycle, member: which.
        current_cycle: the last finished cycle.
    """

    def __init__(
        self, cycle: int, member: int, current_cycle: int, *, dropped: bool = False
    ) -> None:
        self.cycle = cycle
        self.member = member
        self.current_cycle = current_cycle
        text = (
            f"Cycle {cycle} is finished without member {member}; the session "
            f"stands at cycle {current_cycle}. Forecast from its analysis and send "
            f"the member for cycle {current_cycle + 1}."
        )
        if dropped:
            text = f"Cycle {cycle} is finished; its members stay as they are."
        super().__init__(text)


class MemberNotFound(SessionError):
    """The member has not arrived.

    Attributes:
        cycle, member: which.
    """

    def __init__(self, cycle: int, member: int) -> None:
        self.cycle = cycle
        self.member = member
        super().__init__(f"Member {member} of cycle {cycle} has not arrived.")


class MembersOverfull(SessionError):
    """More members, or bytes of them, than may wait in one session.

    Attributes:
        name: the limit.
        limit: its value.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        super().__init__(f"The members of one cycle may take {limit} at most ({name}).")


class DocumentTooLarge(SessionError):
    """What a session keeps besides its arrays would be too long.

    Attributes:
        name: the limit.
        limit: its value.
    """

    name = "max_session_document_bytes"

    def __init__(self, size: int, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"Got names, coordinates, options and the like of {size} bytes of JSON, "
            f"wanted {limit} at most: they are read and written anew with every cycle. "
            "Leave out what the service need not keep."
        )


class ModelsFailed(SessionError):
    """Models that the service drives failed for some members; nothing was changed.

    Attributes:
        failures: why, by member; of many, the first.
    """

    def __init__(self, members: int, failed: int, failures: dict[int, str]) -> None:
        self.failures = failures
        member, reason = next(iter(failures.items()))
        super().__init__(
            f"{failed} of {members} members could not be computed; member {member}: "
            f"{reason}."
        )


def _in_words(rows: tuple[int, ...]) -> str:
    """Rows in increasing order, as "1, 3 to 5, 9"; of many runs the first few."""
    runs: list[str] = []
    told = 0
    while told < len(rows) and len(runs) < _MOST_RUNS:
        # In a run, rows are as far apart as their places.
        places, off = range(len(rows)), rows[told] - told
        end = bisect_right(places, off, lo=told, key=lambda i: rows[i] - i)
        first, last = rows[told], rows[end - 1]
        runs.append(str(first) if first == last else f"{first} to {last}")
        told = end
    more = f" and {len(rows) - told:,} more" if told < len(rows) else ""
    return ", ".join(runs) + more
