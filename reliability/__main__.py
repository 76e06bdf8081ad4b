"""``python -m reliability``: run what is asked for, or everything, at full length."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

import pytest

from reliability.faults import FAULTS, Unable
from reliability.faults.scene import scene, title
from reliability.ledger import Row
from reliability.storm import LONG, SHORT, Scale
from service.cli.demo.processes import tail


def run_faults(names: list[str], scale: Scale) -> list[Row]:
    """A row for each fault; one that fails has its reason in the row."""
    rows = []
    for name in names or list(FAULTS):
        with tempfile.TemporaryDirectory(prefix="ccdm-reliability-") as folder:
            rows.append(_one_fault(name, Path(folder), scale))
        print(rows[-1], flush=True)
    return rows


def _one_fault(name: str, folder: Path, scale: Scale) -> Row:
    fault = FAULTS[name]
    try:
        with scene(folder, scale) as surroundings:
            return fault(surroundings)
    except Unable as reason:
        return Row(title(fault), "", note=f"not run: {reason}")
    except (Exception, pytest.fail.Exception) as error:
        traceback.print_exc()
        for log in folder.glob("*.log"):
            print(tail(log), file=sys.stderr)
        return Row(title(fault), "", wrong=1, note=f"failed: {error!r}")


if __name__ == "__main__":
    run_faults(sys.argv[2:], SHORT if sys.argv[1] == "short" else LONG)
