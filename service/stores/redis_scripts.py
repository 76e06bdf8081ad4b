"""The server-side scripts: loaded once, sent by their hash, known by their token."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from service.stores.errors import QuotaExceeded, SessionGone, SessionNotFound
from service.stores.protocol import MOST_TOMBSTONES
from service.stores.redis_keys import Keys
from service.stores.redis_link import Client, ask_all


class Answer(StrEnum):
    """What a script says."""

    APPLIED = "applied"
    ALREADY = "already"
    CONFLICT = "conflict"
    MISSING = "missing"
    DELETED = "deleted"
    EXPIRED = "expired"
    LOST = "lost"
    OVER = "over"
    ADDED = "added"
    SAME = "same"
    OTHER = "other"
    MOVED = "moved"
    OVERFULL = "overfull"
    PARTED = "parted"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its hash."""

    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Script:
        """A script of this package, behind what all of them share."""
        folder = files(__package__)
        parts = [
            folder.joinpath(part).read_text("utf-8") for part in ("usage.lua", name)
        ]
        text = "\n".join([f"local MOST_TOMBSTONES = {MOST_TOMBSTONES}", *parts])
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    async def run(
        self,
        client: Client,
        keys: Keys,
        token: str,
        arguments: Sequence[Any],
        *,
        before: Sequence[tuple[Any, ...]] = (),
        beside: tuple[Any, ...] | None = None,
        more_keys: Sequence[str] = (),
    ) -> Answer:
        """Run the script on a session's keys, and other commands around it.

        All goes over in one round trip. The script goes over in full only when the
        server does not know its hash, as after a restart.

        Args:
            client: asks.
            keys: of the session.
            token: proves that the answer belongs to the question.
            arguments: of the script, behind its keys.
            before: commands that bring what the script looks for. Where one was
                refused and the script found nothing, that refusal is the error.
            beside: a command behind it, whose answer is passed over.
            more_keys: of the script.

        Raises:
            QuotaExceeded: when that is the answer.
        """
        named = (*keys.all, *more_keys)
        own = (len(named), *named, *arguments)
        after = [] if beside is None else [beside]
        asked = [*before, ("EVALSHA", self.sha, *own), *after]
        *brought, found = (await ask_all(client, asked))[: len(before) + 1]
        if isinstance(found, NoScriptError):
            found = (await ask_all(client, [("EVAL", self.text, *own), *after]))[0]
        if isinstance(found, Exception) or found[1] == Answer.LOST.value.encode():
            refusals = [answer for answer in brought if isinstance(answer, Exception)]
            found = (refusals or [found])[0]
        if isinstance(found, Exception):
            raise found
        echo, answer = (part.decode() for part in found[:2])
        if echo != token:
            raise RedisError("an answer belongs to another question")
        if answer == Answer.OVER:
            raise QuotaExceeded(found[2].decode(), int(found[3]), int(found[4]))
        return Answer(answer)


def raise_unless_live(sid: str, answer: str) -> None:
    """Say that there is no live session, if that is what a script has answered.

    Raises:
        SessionNotFound, SessionGone: when there is none.
    """
    if answer == Answer.MISSING:
        raise SessionNotFound(sid)
    if answer == Answer.DELETED:
        raise SessionGone(sid, "deleted")
    if answer == Answer.EXPIRED:
        raise SessionGone(sid, "expired")
