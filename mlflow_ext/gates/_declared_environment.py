"""The environment that a model declares: compared with this one, or built."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

REQUIREMENTS, PYTHON = "requirements.txt", "python_env.yaml"
# What a model was tested with constrains the versions of others; it asks for nothing.
CONSTRAINTS = ("-c", "--constraint")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a model says that it needs."""

    python: str
    """Version, e.g. ``3.11.7``; empty when it is not said."""
    requirements: tuple[str, ...]
    """Lines as pip reads them."""


def read_environment(files: Path) -> Environment | None:
    """Read what a model declares; None when it declares no packages."""
    if not (files / REQUIREMENTS).is_file():
        return None
    lines = (files / REQUIREMENTS).read_text("utf-8").splitlines()
    stripped = (line.partition(" #")[0].strip() for line in lines)
    wanted = (line for line in stripped if line and not line.startswith(("#", *CONSTRAINTS)))
    declared = files / PYTHON
    python = yaml.safe_load(declared.read_text("utf-8")) if declared.is_file() else {}
    return Environment(python=str(python.get("python", "")), requirements=tuple(wanted))


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution; None when it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def find_mismatches(
    environment: Environment,
    python: str = platform.python_version(),
    version_of: Callable[[str], str | None] = installed_version,
) -> Iterator[str]:
    """Say everything in which an environment is not what a model declares.

    Args:
        environment: What it declares.
        python: The version that there is; another patch release of it is the same.
        version_of: Name of a distribution -> the version that is installed, or None.
    """
    if environment.python and _minor(environment.python) != _minor(python):
        yield f"python {python}, not {environment.python}"
    for line in environment.requirements:
        found = _compare(line, version_of)
        if found:
            yield found


def build_environment(files: Path, folder: Path, seconds: float) -> str:
    """Build the declared environment with uv in *folder*; returns what went wrong, or nothing.

    Args:
        files: The files of the model.
        folder: Where it goes; ``bin/python`` in it is its interpreter.
        seconds: The most that each of the two steps may take.
    """
    environment, uv = read_environment(files), find_uv()
    if environment is None or uv is None:
        return f"there is no {REQUIREMENTS}" if uv else "uv is not installed"
    version = ["--python", environment.python] if environment.python else []
    create = [uv, "venv", "--no-project", "--quiet", *version, str(folder)]
    python, wanted = interpreter_of(folder), str(files / REQUIREMENTS)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--requirements", wanted]
    return _run(create, seconds) or _run(install, seconds)


def find_uv() -> str | None:
    """Return the path of uv, be it on the PATH or beside this interpreter; None without it."""
    places = [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
    return shutil.which("uv", path=os.pathsep.join(places))


def interpreter_of(folder: Path) -> Path:
    """Return the interpreter of the environment in *folder*."""
    return folder / "bin" / "python"


def _compare(line: str, version_of: Callable[[str], str | None]) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return f"'{line}' cannot be compared"
    if wanted.marker and not wanted.marker.evaluate():
        return ""
    found = version_of(wanted.name)
    if wanted.url:
        return f"'{line}' cannot be compared"
    if found is None or not wanted.specifier.contains(found, prereleases=True):
        return f"{wanted.name} {found or 'is absent'}, not {wanted.specifier or 'any version'}"
    return ""


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a step; returns what went wrong in a few lines, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"{' '.join(command[:3])} was not done after {seconds:g} s"
    return "" if done.returncode == 0 else " ".join(done.stderr.split())[-500:]
