"""Order of the tests: the quick ones first, so that a mistake shows early."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move tests marked ``slow`` behind the others, keeping both in their order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
