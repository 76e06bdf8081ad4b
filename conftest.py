"""Order of the tests: the quick ones first; and what did not run, said at the end."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.missing import insist, not_run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move tests marked ``slow`` behind the others, keeping both in their order.

    Where files are shared out to several processes, behind those of their own file.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    """A skip for a need fails where all needs are said to be met."""
    report = yield
    insist(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    """The same of whole files."""
    report = yield
    insist(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that were skipped for want of a browser, a compiler, ..."""
    skipped = terminalreporter.stats.get("skipped", [])
    # Where, on which line, why.
    reasons = [report.longrepr[2] for report in skipped if report.longrepr]
    if lines := not_run(reasons):
        terminalreporter.section("NOT TESTED HERE", yellow=True, bold=True)
        for line in lines:
            terminalreporter.line(line)
