"""The pages of reference, made from the code: ``python -m scripts.reference``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.reference import choosing, cli, client, http, options, problems
from service.cli import settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = "python -m scripts.reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": settings.reference,
    "reference/http.md": http.page,
    "reference/problems.md": problems.page,
    "reference/options.md": options.page,
    "reference/cli.md": cli.page,
    "reference/client.md": client.page,
    "choosing.md": choosing.page,
}
