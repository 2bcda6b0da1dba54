"""Which code made this: one digest over a module and all first-party modules it can reach."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
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
    digest = hashlib.sha256()
    for name, tree_digest in sorted(reachable_code(module, packages)):
        digest.update(f"{name}\0{tree_digest}\0".encode())
    return digest.hexdigest()


def reachable_code(module: str, packages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield *module* and all it can reach inside *packages*: name, digest of its syntax tree."""
    waiting, seen = [module], set[str]()
    while waiting:
        name = waiting.pop()
        file = None if name in seen else _source_file(name)
        seen.add(name)
        if file is not None:
            tree_digest, imported = _parse(file.read_bytes())
            yield name, tree_digest
            waiting += [n for n in imported if n.split(".")[0] in packages]


@cache
def _parse(source: bytes) -> tuple[str, tuple[str, ...]]:
    """Digest the syntax tree of *source*, and name what it imports; the steps share most of it."""
    tree = ast.parse(source)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(_imported(tree))


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
