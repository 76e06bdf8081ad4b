"""The exception tree of the engine.

::

    CcdmError
    ├── InputError (ValueError)        something is wrong with an array
    │   ├── ShapeError                 wrong number of axes, or sizes that disagree
    │   ├── DtypeError                 not real numbers
    │   ├── NonFiniteError             NaN or infinity where a number is needed
    │   └── TooFewMembersError         fewer than two usable ensemble members
    ├── OptionsError (ValueError)      an option has a value it cannot have
    └── NumericalError (ArithmeticError)   the computation itself broke down

Every error says which argument, what was got, what was wanted and what to do next.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CcdmError(Exception):
    """Root of everything the engine raises on purpose.

    Args:
        argument: name of the offending argument or option.
        got: what was received, in words or as a short value.
        wanted: what would have been accepted.
        remedy: what to do next.
        index: position of the first offending element, where there is one.
    """

    code: ClassVar[str] = "ccdm-error"
    # What to do where nobody says it, with the name of the argument.
    fallback: ClassVar[str] = ""

    def __init__(
        self,
        argument: str,
        *,
        got: str,
        wanted: str,
        remedy: str = "",
        index: tuple[int, ...] | None = None,
    ) -> None:
        remedy = remedy or self.fallback.format(argument.partition(".")[0])
        self.argument = argument
        self.got = got
        self.wanted = wanted
        self.remedy = remedy
        self.index = index
        where = f"{argument}[{', '.join(map(str, index))}]" if index else argument
        text = f"{where}: got {got}, wanted {wanted}."
        super().__init__(f"{text} {remedy}" if remedy else text)

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling, and errors
        # cross process boundaries when an analysis runs in a worker.
        return _rebuild, (
            type(self),
            self.argument,
            self.got,
            self.wanted,
            self.remedy,
            self.index,
        )


def _rebuild(
    kind: type[CcdmError],
    argument: str,
    got: str,
    wanted: str,
    remedy: str,
    index: tuple[int, ...] | None,
) -> CcdmError:
    return kind(argument, got=got, wanted=wanted, remedy=remedy, index=index)


class InputError(CcdmError, ValueError):
    """Something is wrong with one of the arrays."""

    code = "invalid-input"


class ShapeError(InputError):
    """An array has the wrong number of axes, or sizes disagree."""

    code = "shape"


class DtypeError(InputError):
    """An array does not hold real numbers."""

    code = "dtype"


class NonFiniteError(InputError):
    """An array holds NaN or infinity where a number is needed."""

    code = "non-finite"


class TooFewMembersError(InputError):
    """Fewer than two usable ensemble members are left."""

    code = "too-few-members"


class OptionsError(CcdmError, ValueError):
    """An option has a value it cannot have."""

    code = "options"
    fallback = "Give what was wanted, or leave {} out: every option has a default."


class NumericalError(CcdmError, ArithmeticError):
    """The computation itself broke down on valid input."""

    code = "numerical"
