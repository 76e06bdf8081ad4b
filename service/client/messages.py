"""Requests and replies as plain values, so that nothing here does any input or output.

A call is a generator that yields requests and is sent their replies::

    def analyse(...) -> Steps[AnalysisResult]:
        reply = yield Request("POST", "/v1/analyses", ...)
        return analysis_result(reply)

:class:`~service.client.Client` and :class:`~service.client.AsyncClient` drive the same
generators; they differ in how they wait and in nothing else.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to be sent any number of times.

    Attributes:
        method, path, query, headers, body: as HTTP has them; ``path`` starts at the
            service's own root.
        repeatable: whether sending it twice does no harm. Reads are, analyses are
            (they keep nothing), the PUT of a cycle is (the service recognises the
            body); the creation of a session is not.
        delay: seconds to wait before it is sent.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeatable: bool = True
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Steps = Generator[Request, Reply, T]
