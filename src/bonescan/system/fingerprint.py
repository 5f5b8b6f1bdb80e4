"""Hashes of code and values, to tell whether a stored result is still up to date."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any


def source_digest(files: Iterable[Path], root: Path) -> str:
    """A hash of what Python files do: of their syntax trees, without docstrings, comments and layout.

    files: in any order. root: the folder that their names are relative to. 16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        meaning = _meaning(path.read_text(encoding="utf-8"))
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + meaning.encode())
    return digest.hexdigest()[:16]


def values_digest(values: Any) -> str:
    """A hash of JSON values, whatever the order of their keys. 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@cache  # many digests are of the same modules
def _meaning(source: str) -> str:
    """A module's syntax tree without its docstrings: words and layout do not change what it does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return ast.dump(tree)
