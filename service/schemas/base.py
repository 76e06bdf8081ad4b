"""What all models share: strictness on the way in, array descriptions, pointers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Annotated, Any

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from service.media.errors import FieldError

MAX_SEED = 2**63 - 1
MAX_POINTER = 120

Seed = Annotated[
    int,
    Field(
        ge=0,
        le=MAX_SEED,
        description="Same arrays, options and seed: the same samples, bit for bit.",
    ),
]

# Of models that the operator registers, and that cycles ask for.
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Incoming(BaseModel):
    """A part of a request: exact types, no unknown members."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Outgoing(BaseModel):
    """A part of an answer, for documentation and for clients that want models."""

    model_config = ConfigDict(extra="allow", frozen=True)


def array_schema(
    description: str, *, rows: bool, missing: bool = False
) -> WithJsonSchema:
    """An array in the documentation; ``service.media`` reads it."""
    item: dict[str, Any] = {"type": ["number", "null"] if missing else "number"}
    if rows:
        item = {"type": "array", "items": item}
    return WithJsonSchema({"type": "array", "items": item, "description": description})


# A person reads the first few; comparing thousands with each other takes long.
MOST = 50


def field_errors(
    error: ValidationError, value: Any, root: str, known: Collection[str] = ()
) -> list[FieldError]:
    """Pydantic's findings with pointers, without the input.

    A union reports every branch that did not fit: these are told together, since to
    the caller they are one place with several things that would do.

    Args:
        error: what pydantic raised.
        value: what it was given, to tell places from names of branches.
        root: pointer of that value in the request.
        known: names among which one that is unknown may have been meant.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    remedies: dict[str, str] = {}
    for item in islice(error.errors(include_url=False), MOST):
        place = root + _pointer(item["loc"], value)
        messages = found.setdefault(place, (_code(item["type"]), []))[1]
        message = plain(item["msg"])
        if item["type"] == "extra_forbidden":
            meant = _meant(str(item["loc"][-1]), known)
            message += f"; perhaps {meant} was meant" if meant else ""
            remedies[place] = _rename(meant)
        elif not messages and message.startswith(_WANTED):
            message = f"got {shown(item['input'])}, {message}"
        if messages and message.startswith(_WANTED):
            message = message.removeprefix(_WANTED)
        if message not in messages:
            messages.append(message)
    return [
        FieldError(
            *(place, code, ", or ".join(messages)),
            remedies.get(place, "") or _remedy(place, item_code=code),
        )
        for place, (code, messages) in found.items()
        # One wrong element makes its whole array wrong; the element says more.
        if not any(other.startswith(place + "/") for other in found)
    ]


def pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(
        "/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps
    )


def _pointer(location: Iterable[str | int], value: Any) -> str:
    steps: list[str | int] = []
    for step in location:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            # The name of a union's branch: it is no place in the request.
            continue
        steps.append(step)
    return pointer(*steps)[:MAX_POINTER]


_WANTED = "wanted "
_LONGEST_SHOWN = 40


def shown(value: Any) -> str:
    """What came, where it is short; arrays are never echoed."""
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 63:
        digits = str(value)
        cut = len(digits) > _LONGEST_SHOWN
        return digits[:_LONGEST_SHOWN] + "..." if cut else digits
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        value = value[:_LONGEST_SHOWN] + "..."
    return orjson.dumps(value, default=str).decode()


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name[:_LONGEST_SHOWN], known, n=1)
    return close[0] if close else ""


def _rename(meant: str) -> str:
    """What to do about a name that is not known."""
    instead = f"Call it {meant}, or leave it out" if meant else "Leave it out"
    return f"{instead}: unknown names are refused, so that no slip passes for a choice."


def _remedy(place: str, item_code: str) -> str:
    """What to do about an option; of the rest not all have defaults."""
    _, options, name = place.partition("/options/")
    if not options or item_code == "missing":
        return ""
    name = name.split("/")[0]
    return f"Send what was wanted, or leave {name} out: every option has a default."


def told(item: Mapping[str, Any]) -> str:
    """One of pydantic's findings outside a body, with what came."""
    message = plain(item["msg"])
    if not message.startswith(_WANTED):
        return message
    return f"got {shown(item['input'])}, {message}"


def plain(message: str) -> str:
    """Pydantic's words in JSON's, as the end of a sentence."""
    message = message.removeprefix("Value error, ")
    message = re.sub(r", unable to (parse|interpret) .*", "", message)
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", message)
    message = message.replace("a valid list", "an array")
    message = message.replace("Extra inputs are not permitted", "there is no such name")
    message = message.replace("Input should be ", _WANTED)
    return message[:1].lower() + message[1:]


def _code(kind: str) -> str:
    return {"extra_forbidden": "unknown", "missing": "missing"}.get(kind, "value")
