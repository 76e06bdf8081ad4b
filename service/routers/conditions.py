"""Conditional requests (RFC 9110, section 13): who saw what, and is it still so."""

from __future__ import annotations

import re

from fastapi import Request

from service.openapi import header
from service.routers.parameters import bad_parameter
from service.sessions import Session, VersionConflict

IF_NONE_MATCH = header("If-None-Match", "Answer 304 if the ETag is still this one.")
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")


def session_tag(session: Session) -> str:
    """The ETag of a session: its version, and its expiry, which reading moves."""
    return f'"{session.version}-{session.expires_at * 1e6:.0f}"'


def is_fresh(request: Request, tag: str) -> bool:
    """Whether the client already has what it asks for."""
    text = request.headers.get("if-none-match")
    if text is None:
        return False
    if text.strip() == "*":
        return True
    return tag in (item.removeprefix("W/") for item in re.findall(_TAG, text))


def require_match(request: Request, session: Session) -> int | None:
    """The version that a change expects, if it expects one.

    Raises:
        VersionConflict: when If-Match names other versions than the session's. Tags
            are held against the version alone, ``"3"`` or ``"3-..."``: a lifetime
            that was renewed in between is no change that could be overwritten.
        InvalidParametersError: when it is no list of entity tags.
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    if not _TAGS.fullmatch(text):
        raise bad_parameter("/header/if-match", 'wanted an entity tag such as "3"')
    # Weak tags never match here: a change needs to know exactly what it changes.
    named = (tag.strip('"').partition("-")[0] for tag in re.findall(_TAG, text))
    if str(session.version) not in named:
        raise VersionConflict(session.version)
    return session.version
