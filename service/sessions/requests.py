"""Identity and randomness of one cycle request.

``digest`` is SHA-256 over the *decoded* content, so that the same arrays sent as JSON
and as npy are the same request. ``cycle_seed`` depends on the session's seed and the
cycle's number alone: a replayed session repeats itself bit for bit.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from service.sessions.errors import SessionInputError
from service.sessions.models import Array, Document
from service.stores.codec import pack_document

# Seeds are shown to people and read by languages whose only number is a double.
SEED_BITS = 53
_OF_STATES = ("forecast_states", "forecast_state", "initial_ensemble")


def fresh_seed() -> int:
    """A seed nobody could guess."""
    return secrets.randbits(SEED_BITS)


def cycle_seed(session_seed: int, cycle: int) -> int:
    """The seed of one cycle, independent between cycles and between sessions."""
    sequence = np.random.SeedSequence(session_seed, spawn_key=(cycle,))
    return int(sequence.generate_state(1, np.uint64)[0]) >> (64 - SEED_BITS)


def digest(
    forecast_states: Array,
    simulated_measurements: Array,
    observation: Array,
    options: Document,
) -> str:
    """SHA-256 of a cycle request, in hexadecimal.

    Args:
        forecast_states: ``(N, dx)``.
        simulated_measurements: ``(N, dy)``.
        observation: ``(dy,)``; NaN is a missing entry.
        options: this cycle's own options.
    """
    content = hashlib.sha256(b"ccdm-cycle-1")
    for array in (forecast_states, simulated_measurements, observation):
        content.update(repr(array.shape).encode())
        content.update(_canonical(array).data.cast("B") if array.size else b"")
    content.update(pack_document(options))
    return content.hexdigest()


def member_mark(forecast_state: Array, simulated_measurement: Array) -> str:
    """What tells a member's content, ``(dx,)`` and ``(dy,)``, from any other."""
    content = hashlib.sha256(b"ccdm-member-1")
    for array in (forecast_state, simulated_measurement):
        content.update(repr(array.shape).encode())
        content.update(_canonical(array).data.cast("B") if array.size else b"")
    return content.hexdigest()[:32]


def gathered_mark(observation: Array, options: Document, coupling: Document) -> str:
    """SHA-256 of a cycle request that brings no members, in hexadecimal.

    Args:
        observation: ``(dy,)``; NaN is a missing entry.
        options: this cycle's own options.
        coupling: this cycle's own declaration.
    """
    content = hashlib.sha256(b"ccdm-gathered-cycle-1")
    content.update(repr(observation.shape).encode())
    content.update(_canonical(observation).data.cast("B") if observation.size else b"")
    content.update(pack_document({"options": options, "coupling": coupling}))
    return content.hexdigest()


def _canonical(array: Array) -> Array:
    plain = np.ascontiguousarray(array, dtype="<f8")
    missing = np.isnan(plain)
    # NaN comes in many bit patterns and means one thing.
    return np.where(missing, np.nan, plain) if missing.any() else plain


def check_arrays(
    forecast_states: Array,
    simulated_measurements: Array,
    observation: Array,
    *,
    state_dim: int,
    measurement_dim: int,
) -> None:
    """Hold a cycle's arrays against the session's dimensions.

    Raises:
        SessionInputError: naming the first array that does not fit.
    """
    _check_shape("forecast_states", forecast_states, (None, state_dim))
    members = len(forecast_states)
    wanted = (members, measurement_dim)
    _check_shape("simulated_measurements", simulated_measurements, wanted)
    _check_shape("observation", observation, (measurement_dim,))


def check_vector(name: str, array: Array, size: int) -> Array:
    """One member's numbers as ``(size,)``; a single row or column will do.

    Raises:
        SessionInputError: for another shape.
    """
    flat = as_vector(array)
    _check_shape(name, flat, (size,))
    return flat


def as_vector(array: Array) -> Array:
    """A single row or column as what it holds; anything else as it is."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def check_ensemble(ensemble: Array, state_dim: int) -> None:
    """Hold an initial ensemble against the session's dimensions.

    Raises:
        SessionInputError: for a wrong shape, no members, or non-finite numbers.
    """
    _check_shape("initial_ensemble", ensemble, (None, state_dim))
    if len(ensemble) == 0:
        raise SessionInputError(
            "initial_ensemble",
            got="no members",
            wanted="at least one",
            remedy="Send one row per member, or leave it out.",
            code="shape",
        )
    finite = np.isfinite(ensemble)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise SessionInputError(
            "initial_ensemble",
            got=str(ensemble[place]),
            wanted="finite numbers",
            remedy="Leave out members that failed: an initial ensemble has none.",
            index=place,
            code="non-finite",
        )


def _check_shape(name: str, array: Array, wanted: tuple[int | None, ...]) -> None:
    same_axes = array.ndim == len(wanted)
    if same_axes and all(
        want is None or have == want
        for have, want in zip(array.shape, wanted, strict=True)
    ):
        return
    sizes = ", ".join("N" if size is None else str(size) for size in wanted)
    comma = "," if len(wanted) == 1 else ""
    raise SessionInputError(
        name,
        got=f"shape {array.shape}",
        wanted=f"shape ({sizes}{comma})",
        remedy=_reshaped(name, array, wanted),
        code="shape",
    )


def _reshaped(name: str, array: Array, wanted: tuple[int | None, ...]) -> str:
    """What to do about another shape."""
    size = wanted[-1]
    if len(wanted) == 2 and array.ndim == 1:
        return "Send a row for every member, even of one number: [[1.0], [1.3]]."
    if len(wanted) == 2 and array.ndim == 2 and array.shape[0] == size:
        return "Send one member a row, not a column: transpose it."
    if name == "simulated_measurements" and array.shape[-1] == size:
        return "Send one simulated measurement for every row of forecast_states."
    which = "state_dim" if name in _OF_STATES else "measurement_dim"
    return (
        f"The session was created with {which} {size}: send that many, or create a "
        "session for another size."
    )
