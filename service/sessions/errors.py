"""What a session may answer instead of a result.

The store's own errors (``SessionNotFound``, ``SessionGone``, ``StoreUnavailable``,
``StoreFull``, ``StoreCorrupt``) pass through as they are.

::

    SessionError
    ├── SessionInputError (ValueError)   an argument does not fit the session
    ├── CycleConflict                    not the next cycle, or another body
    ├── VersionConflict                  the session has changed meanwhile
    ├── CycleNotFound                    the cycle has not happened
    └── AnalysisNotKept                  it has, and its samples are gone
"""

from __future__ import annotations


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
