"""What loading a model would import, read from its files without loading them.

A scan finds what stands there in the open. Who wants to hide a call inside a pickle can: only files
of another kind are safe.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth")
PICKLE_STARTS = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
ZLIB_STARTS = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
COMPUTED = "(a name that is computed)"
# Parts of a dotted name with which whoever imports it can do anything. After picklescan's list.
DANGEROUS_MODULES = re.compile(
    "os|posix|nt|sys|subprocess|socket|pty|shutil|ctypes|runpy|importlib|webbrowser|pip|bdb|pdb"
    "|asyncio|multiprocessing"
)
DANGEROUS_BUILTINS = re.compile(
    "eval|exec|execfile|compile|open|getattr|__import__|breakpoint|globals|input|apply"
)
BUILTINS = ("builtins", "__builtin__", "__builtins__")
TEXTS = ("UNICODE", "UNICODE8", "STRING")  # how the names of opcodes end that push a text
REGISTERED = ("EXT1", "EXT2", "EXT4")
KEEPS_STACK = ("PROTO", "FRAME")
STORES = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
FETCHES = ("GET", "BINGET", "LONG_BINGET")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that creates Python objects when it is loaded."""

    path: str
    """Below the folder of the model."""
    format: Literal["pickle", "skops"]
    imports: tuple[str, ...]
    """What it imports, ``module.name``, sorted; of skops, what its own list does not trust."""
    unread: str = ""
    """Why it may import more than that; empty when it was read to its end."""


def scan_artifacts(folder: Path) -> tuple[Artifact, ...]:
    """Scan every file of a model that is a pickle or was written by skops."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return tuple(
        found for file in files for found in _scan_file(file, file.relative_to(folder).as_posix())
    )


def is_dangerous(imported: str) -> bool:
    """Tell whether a name gives whoever imports it power over the machine.

    >>> is_dangerous("posix.system"), is_dangerous("sklearn.pipeline.Pipeline")
    (True, False)
    """
    first, *others = imported.split(".")
    if first in BUILTINS:
        return any(map(DANGEROUS_BUILTINS.fullmatch, others))
    return imported == COMPUTED or any(map(DANGEROUS_MODULES.fullmatch, [first, *others]))


def read_imports(stream: IO[bytes]) -> tuple[set[str], str]:
    """Read what a pickle imports, without executing it.

    Returns:
        The names, and why there may be more: empty when it was read to its end.
    """
    imports: set[str] = set()
    try:
        for name in _imported(stream):
            imports.add(name)
    except Exception as error:  # bytes of whatever origin
        return imports, f"{type(error).__name__}: {error}"
    return imports, ""


def _imported(stream: IO[bytes]) -> Iterator[str]:
    """Follow the names on the stack as far as they are written out, one after the other."""
    last: list[str | None] = [None, None]
    memo: dict[Any, str | None] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield COMPUTED if None in last else f"{last[0]}.{last[1]}"
        elif opcode.name in REGISTERED:
            yield COMPUTED
        if opcode.name in STORES:
            memo[len(memo) if argument is None else argument] = last[1]
        elif opcode.name in FETCHES:
            last = [last[1], memo.get(argument)]
        elif opcode.name not in KEEPS_STACK:
            is_text = isinstance(argument, str) and opcode.name.endswith(TEXTS)
            last = [last[1], argument if is_text else None]


def _scan_file(file: Path, path: str) -> Iterator[Artifact]:
    with file.open("rb") as opened:
        start = opened.read(6)
    is_named = file.suffix.lower() in PICKLE_SUFFIXES
    if zipfile.is_zipfile(file):
        yield from _scan_zip(file, path)
    elif is_named or start.startswith(PICKLE_STARTS):
        imports, unread = _scan_pickle(file, start)
        if is_named or imports or not unread:  # else it only begins like one
            yield Artifact(
                path=path, format="pickle", imports=tuple(sorted(imports)), unread=unread
            )


def _scan_pickle(file: Path, start: bytes) -> tuple[set[str], str]:
    try:
        with _open_plain(file, start) as stream:
            return read_imports(stream)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        return set(), f"{type(error).__name__}: {error}"


def _open_plain(file: Path, start: bytes) -> IO[bytes]:
    """Open a file behind its compression, if it has one."""
    for magic, opener in COMPRESSED.items():
        if start.startswith(magic):
            stream: IO[bytes] = opener(file)
            return stream
    if start.startswith(ZLIB_STARTS):
        return io.BytesIO(zlib.decompress(file.read_bytes()))
    return file.open("rb")


def _scan_zip(file: Path, path: str) -> Iterator[Artifact]:
    """Scan an archive of skops, or the pickles in another one, such as PyTorch's."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if "schema.json" in names:
            yield _scan_skops(file, path)
        for name in names:
            if name.lower().endswith(PICKLE_SUFFIXES):
                with archive.open(name) as stream:
                    imports, unread = read_imports(stream)
                inner = f"{path}/{name}"
                yield Artifact(
                    path=inner, format="pickle", imports=tuple(sorted(imports)), unread=unread
                )


def _scan_skops(file: Path, path: str) -> Artifact:
    from skops.io import get_untrusted_types

    try:
        types, unread = sorted(get_untrusted_types(file=file)), ""
    except Exception as error:  # a file of whatever origin
        types, unread = [], f"{type(error).__name__}: {error}"
    return Artifact(path=path, format="skops", imports=tuple(types), unread=unread)
