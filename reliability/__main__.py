"""``python -m reliability [parts]``: run parts, or all, and write what they showed.

Each part writes ``results/<part>.json`` and ``.csv``; the tables of
``docs/reliability.md`` are made of these files.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from reliability import parts, report


def main() -> int:
    """Run what was asked for; 1 when a promise was not kept, or too little tried."""
    arguments = _arguments()
    # So that what was started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = arguments.parts or list(parts.PARTS)
    kept = True
    for name in chosen:
        print(f"-- {name}", flush=True)
        rows = parts.PARTS[name](arguments)
        beside = parts.beside(name, arguments)
        report.write(arguments.results, name, rows, beside=beside, note=arguments.note)
        kept &= all(parts.kept(row) for row in rows) and parts.enough(rows, arguments)
    report.make_page(arguments.results, arguments.page)
    return 0 if kept else 1


def _arguments() -> argparse.Namespace:
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(parts.PARTS))
    parser.add_argument("--minutes", type=float, default=30.0, help="of load")
    parser.add_argument("--clients", type=int, default=64, help="of load")
    parser.add_argument("--cases", type=int, default=20_000, help="of schemathesis")
    parser.add_argument("--rounds", type=int, default=1000, help="of races")
    parser.add_argument("--walks", type=int, default=2000, help="over each store")
    parser.add_argument("--fault", action="append", help="one of them only; repeat")
    parser.add_argument(
        "--store", choices=parts.STORES, help="of races, isolation, walks; else both"
    )
    parser.add_argument("--note", default="", help="put under the tables")
    parser.add_argument("--short", action="store_true", help="as in the tests")
    parser.add_argument("--results", type=Path, default=root / "reliability/results")
    parser.add_argument("--page", type=Path, default=root / "docs/reliability.md")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(parts.PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
