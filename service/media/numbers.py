"""JSON arrays into NumPy arrays, strictly.

NumPy itself would take ``true`` for 1 and ``"1.5"`` for 1.5, and would fail on a short
row without saying which. Here only numbers count as numbers, ``null`` is NaN (which
the engine accepts where it means "not observed" and refuses elsewhere), and every
refusal points at its place.

The work goes in blocks of rows, so that the interpreter can serve others in between.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.errors import InvalidArrayError, invalid_array

Array = npt.NDArray[np.float64]

BLOCK = 32768
_NUMBERS = {int, float, type(None)}
_WORDS = {
    bool: "a boolean",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
    int: "a number",
    float: "a number",
}

A_LIST = "Send a list of numbers in brackets, even of a single one."
ROWS = "Send a list of lists, one inner list for each member, all of numbers."
SAME_ROWS = (
    "Send the same variables in every row; null stands for a number that is missing."
)
UNQUOTED = "Send numbers without quotation marks; null where one is missing."
ONLY = "Send numbers alone; null where one is missing."


def array_from_json(value: Any, pointer: str) -> Array:
    """Numbers, or rows of numbers, as a float64 array of one or two axes.

    Args:
        value: what a JSON parser made of it.
        pointer: where it stands in the request, for errors.

    Raises:
        InvalidArrayError: for anything that is not a rectangle of numbers.
    """
    if type(value) is not list:
        # The vector of one measurement is what is mistaken for a number.
        such = ", as in [1.5]" if type(value) in (int, float) else ""
        message = f"got {_WORDS[type(value)]}, wanted an array of numbers{such}"
        raise invalid_array(pointer, "type", message, A_LIST)
    if not value or type(value[0]) is not list:
        return _vector(value, pointer)
    width = len(value[0])
    result = np.empty((len(value), width))
    step = max(1, BLOCK // max(1, width))
    for start in range(0, len(value), step):
        block = value[start : start + step]
        _require_rows(block, width, start, pointer)
        kinds = set(map(type, chain.from_iterable(block)))
        if not kinds <= _NUMBERS:
            raise _first_wrong_number(block, start, pointer)
        if width:
            result[start : start + len(block)] = np.array(block, dtype=np.float64)
    return result


def _vector(value: list[Any], pointer: str) -> Array:
    if not set(map(type, value)) <= _NUMBERS:
        place = next(i for i, item in enumerate(value) if type(item) not in _NUMBERS)
        raise _not_a_number(f"{pointer}/{place}", value[place])
    return np.array(value, dtype=np.float64)


def _require_rows(block: list[Any], width: int, start: int, pointer: str) -> None:
    if set(map(type, block)) == {list} and set(map(len, block)) == {width}:
        return
    for place, row in enumerate(block, start):
        if type(row) is not list:
            raise invalid_array(
                f"{pointer}/{place}",
                "type",
                f"row {place} is {_WORDS[type(row)]}, wanted an array of numbers",
                ROWS,
            )
        if len(row) != width:
            raise invalid_array(
                f"{pointer}/{place}",
                "ragged",
                f"row {place} has length {len(row)}, wanted {width} as in row 0",
                SAME_ROWS,
            )


def _first_wrong_number(
    block: list[list[Any]], start: int, pointer: str
) -> InvalidArrayError:
    row, column = next(
        (i, j)
        for i, items in enumerate(block)
        for j, item in enumerate(items)
        if type(item) not in _NUMBERS
    )
    return _not_a_number(f"{pointer}/{start + row}/{column}", block[row][column])


def _not_a_number(pointer: str, item: Any) -> InvalidArrayError:
    message = f"got {_WORDS[type(item)]} at {pointer}, wanted a number"
    remedy = UNQUOTED if type(item) is str else ROWS if type(item) is list else ONLY
    return invalid_array(pointer, "type", message, remedy)
