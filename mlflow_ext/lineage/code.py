"""Which code made this: one digest over a module and all first-party modules it can reach."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path


def code_digest(module: str, packages: Sequence[str]) -> str:
    """Digest the code of *module* and of everything it imports from *packages*.

    Imports inside functions count too. Comments and layout do not: the syntax tree is hashed.

    Args:
        module: Dotted name of the module, importable.
        packages: Top-level names of the first-party packages; other imports are not followed.

    Returns:
        SHA-256, 64 hex digits.

    Source: the closure of the import graph, as ``modulefinder`` computes it, without running code.
    """
    trees = dict(reachable_code(module, packages))
    digest = hashlib.sha256()
    for name in sorted(trees):
        digest.update(f"{name}\0{ast.dump(trees[name])}\0".encode())
    return digest.hexdigest()


def reachable_code(module: str, packages: Sequence[str]) -> Iterator[tuple[str, ast.Module]]:
    """Yield name and syntax tree of *module* and of all it can reach inside *packages*."""
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        file = None if name in seen else _source_file(name)
        seen.add(name)
        if file is not None:
            tree = ast.parse(file.read_bytes())
            yield name, tree
            waiting += [n for n in _imported(tree) if n.split(".")[0] in packages]


def _source_file(module: str) -> Path | None:
    """Return the file of *module*, or None when the name is not a module but a thing inside one."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
