"""The page of problems, from the table that the service answers by."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.reference import http
from scripts.reference.markdown import MADE, anchor, join, table
from service.client.errors import service_error
from service.problem_types import TYPES, ProblemType

_HEAD = f"""\
# Problems

{MADE}

What the service says when it does not do what it was asked to, and what helps. Each is
answered as `application/problem+json` ([members](http.md#problemdetails)); its `type`
is `/problems/` and the name below, which is the address of its page on your service.
What people meet most is told with examples under [common
mistakes](../howto/common-mistakes.md).
"""


def page() -> str:
    """The page, in Markdown."""
    told = http.document()
    common = set(http.everywhere(told))
    found: dict[str, list[str]] = {}
    for _, operation in http.operations(told):
        for slug in http.problem_slugs(operation):
            found.setdefault(slug, []).append(operation["summary"])
    ordered = sorted(TYPES.values(), key=lambda item: item.status)
    rows = [
        (str(item.status), f"[{item.slug}](#{item.slug})", item.title)
        for item in ordered
    ]
    return join(
        [
            _HEAD,
            table(("Status", "Problem", "says"), rows),
            *(
                part
                for item in ordered
                for part in _problem(
                    item, None if item.slug in common else found.get(item.slug, [])
                )
            ),
        ]
    )


def _problem(item: ProblemType, summaries: list[str] | None) -> Iterator[str]:
    yield f"## {item.slug}"
    yield f"**{item.status} {item.title}.** {item.meaning}"
    yield f"What to do: {item.remedy}"
    if summaries is None:
        where = "every endpoint"
    else:
        links = [f"[{text}](http.md#{anchor(text)})" for text in summaries]
        where = ", ".join(links) or "requests that no endpoint takes"
    raised = type(service_error(item.status, {"type": f"/problems/{item.slug}"}, None))
    told = raised.__name__
    yield f"From: {where}. In Python: [`{told}`](client.md#{told.lower()})."
