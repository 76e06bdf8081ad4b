"""What was asked for, beside the document of its job where it is long.

Whoever looks at a job, lists it or tells its progress moves its document; coordinates
of a million states are of use to nobody but who runs it.
"""

from __future__ import annotations

import anyio.to_thread

from service.jobs.models import Document, Job, input_blob
from service.stores.codec import pack_document

ASKED = "asked"
# Longer ones lie beside; an earlier version reads what does not.
LONG_BYTES = 1 << 14
# What tells whose cycle it is.
_STAYS = ("session", "cycle")


async def set_apart(asked: Document) -> tuple[Document, dict[str, bytes]]:
    """What stays in the document, and the blob beside it, if there is one."""
    whole = await anyio.to_thread.run_sync(pack_document, asked)
    if len(whole) <= LONG_BYTES:
        return asked, {}
    return {name: asked[name] for name in _STAYS if name in asked}, {ASKED: whole}


def came_with(job: Job) -> list[str]:
    """Names of all blobs that are of no use once a job has ended."""
    return [*map(input_blob, job.arrays), *([ASKED] if job.apart else ())]
