"""Write all pages that are made from the code."""

from __future__ import annotations

from scripts.reference import DOCS, PAGES

for name, page in PAGES.items():
    text = page()
    path = DOCS / name
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"written: docs/{name}")
