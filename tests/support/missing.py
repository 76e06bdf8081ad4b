"""What this machine lacks: tests that need it are skipped, and counted at the end.

With ``TESTS_NEED_ALL=1``, which continuous integration sets where everything could
be installed, they fail instead: else a run in which every example is skipped is green.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

# How reasons of such skips begin; then what is needed, a colon, and how to get it.
NEEDS = "needs "
# And those of pytest.importorskip, unless told otherwise.
IMPORT = "could not import "
# Without the prefix of settings: the service refuses those that it does not know.
SWITCH = "TESTS_NEED_ALL"
# Debian has no package of these, so that their absence is no fault of anybody's.
NOWHERE = (f"{NEEDS}julia:",)


def need_of(reason: str) -> str | None:
    """What a skipped test needed, as pytest words it; ``None``: it was no need."""
    reason = reason.removeprefix("Skipped: ")
    if reason.startswith(IMPORT):
        return NEEDS + reason.removeprefix(IMPORT).partition(":")[0].strip("'")
    return reason if reason.startswith(NEEDS) else None


def not_run(reasons: Iterable[str]) -> list[str]:
    """Lines that count the tests by what they needed, the most first.

    Args:
        reasons: of skipped tests, as pytest words them.
    """
    needs = Counter(need for reason in reasons if (need := need_of(reason)))
    return [
        f"{count} {'test' if count == 1 else 'tests'} did not run: {need}"
        for need, count in needs.most_common()
    ]


def insist(
    report: pytest.TestReport | pytest.CollectReport,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Make a failure of a skip for a need, where all needs are said to be met."""
    if environment.get(SWITCH, "") in ("", "0") or not report.skipped:
        return
    # Where, on which line, why.
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else ""
    need = need_of(reason)
    if need and not need.startswith(NOWHERE):
        report.outcome = "failed"
        report.longrepr = f"{SWITCH} is set, but this test {need}"
