"""What this machine lacks: tests that need it are skipped, and counted at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# How reasons of such skips begin; then what is needed, a colon, and how to get it.
NEEDS = "needs "


def not_run(reasons: Iterable[str]) -> list[str]:
    """Lines that count the tests by what they needed, the most first.

    Args:
        reasons: of skipped tests, as pytest words them.
    """
    needs = Counter(
        need
        for reason in reasons
        if (need := reason.removeprefix("Skipped: ")).startswith(NEEDS)
    )
    return [
        f"{count} {'test' if count == 1 else 'tests'} did not run: {need}"
        for need, count in needs.most_common()
    ]
