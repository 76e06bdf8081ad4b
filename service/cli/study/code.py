"""Which engine made a run: what decides whether a run on file is made again."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

import ccdm_engine


@cache
def engine_code() -> str:
    """Digest of the engine's code: of its syntax trees without docstrings.

    A change of the engine makes its figures anew, a change of its comments does not.
    """
    root = Path(ccdm_engine.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(
                node, (ast.Module, ast.ClassDef, ast.FunctionDef)
            ) and ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
        whole.update(path.relative_to(root).as_posix().encode())
        whole.update(ast.dump(tree).encode())
    return whole.hexdigest()[:10]
