"""What to do about what is wrong at one place, where nobody has said it there.

Whoever refuses something says best what helps; see ``FieldError.remedy``. What follows
here is for the rest, by the code of the error, so that no answer leaves a person with
"mend it" alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.media.errors import FieldError

_BY_CODE = {
    "type": "Send a value of the kind that was wanted.",
    "value": "Send a value of those that were wanted, or leave it out where it has a "
    "default; /docs lists them.",
    "missing": "Send it: it has no default.",
    "unknown": "Correct the name or leave it out: unknown names are refused, so that a "
    "slip cannot pass for a choice.",
    "duplicate": "Send it once.",
    "shape": "Send an array of the shape that was wanted: members are rows, variables "
    "or measurements are columns.",
    "ragged": "Send the same variables in every row.",
    "non-finite": "Send finite numbers alone.",
    "dtype": "Send real numbers: float64, float32 or integers.",
    "npy": "Write it with numpy.save(file, array).",
    "npy-header": "Write it with numpy.save(file, array).",
    "npy-size": "Send the file whole, as numpy.save wrote it.",
    "json": "Send one JSON object as RFC 8259 has it; a JSON library writes it.",
    "too-few-members": "Send an ensemble; a hundred members are a good beginning.",
    "options": "Take a value of those that were wanted, or leave the option out: every "
    "option has a default.",
    "file": "Write the file again, whole, as npy, NetCDF-4 or HDF5 of real numbers.",
    "path": "Name a file within the location, with / between folders.",
    "not-found": "Check the path: it starts within the folder of the location.",
    "exists": 'Name another path, or set "overwrite": true to replace the file.',
    "in-place": "Name a path that is none of the arrays'.",
    "not-written": "Name another path, or have the operator run ccdm check.",
    "invalid-input": "Send what was wanted; /docs has the schema.",
    "read-only": "Name a location that the operator has registered for results "
    "(name+write=/folder).",
}
# More than this no person reads at once.
_MOST = 3


def advised(errors: Sequence[FieldError]) -> list[FieldError]:
    """The same errors, each with a remedy where one is known."""
    return [
        item if item.remedy else item._replace(remedy=_BY_CODE.get(item.code, ""))
        for item in errors
    ]


def together(errors: Sequence[FieldError], otherwise: str) -> str:
    """The remedies of all places as one; else that of the kind of problem."""
    told = list(dict.fromkeys(item.remedy for item in errors if item.remedy))
    return " ".join(told[:_MOST]) or otherwise
