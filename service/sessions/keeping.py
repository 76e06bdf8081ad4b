"""What is stored with a cycle, and what has to make room for it.

A session keeps the samples of its last analyses, and the service may keep the arrays
that the last cycles were made of, so that they can be made again. Forecasts take as
much room as analyses: a cycle whose inputs are kept writes about twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.sessions.documents import analysis_blob, input_blobs
from service.sessions.models import Array, Cycle, Session
from service.stores.codec import pack_array
from service.stores.offloop import off_loop
from service.stores.protocol import Quota


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much is kept.

    Attributes:
        inputs: of how many of the last cycles the inputs are kept.
        quota: what one tenant may keep in all.
    """

    inputs: int = 0
    quota: Quota | None = None


NOTHING_MORE = Keeping()


def advanced(session: Session, cycle: Cycle, keeping: Keeping) -> Session:
    """The session after a cycle, with the oldest of what it then keeps."""
    number = cycle.cycle
    oldest_inputs = 0
    if keeping.inputs:
        oldest_inputs = max(session.inputs_from or number, number - keeping.inputs + 1)
    return replace(
        session,
        cycle=number,
        members=cycle.n_samples,
        oldest_kept=max(session.oldest_kept, number - session.keep_analyses + 1),
        inputs_from=oldest_inputs,
        updated_at=cycle.created_at,
    )


def dropped(before: Session, after: Session) -> list[str]:
    """Names of blobs that make room for a cycle."""
    names = [analysis_blob(k) for k in range(before.oldest_kept, after.oldest_kept)]
    if before.inputs_from:
        for k in range(before.inputs_from, after.inputs_from or after.cycle):
            names += input_blobs(k)
    return names


async def stored(
    after: Session, arrays: tuple[Array, Array, Array], samples: Array
) -> dict[str, bytes]:
    """Blobs of a cycle: its samples and, where they are kept, its inputs."""
    kept = {analysis_blob(after.cycle): samples}
    if after.inputs_from:
        kept |= zip(input_blobs(after.cycle), arrays, strict=True)
    size = sum(array.nbytes for array in kept.values())
    return await off_loop(
        size, lambda: {name: pack_array(array) for name, array in kept.items()}
    )
