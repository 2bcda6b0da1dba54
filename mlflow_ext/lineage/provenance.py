"""Which code, machine and environment a run comes from, as tags.

Standard library only: MLflow loads the plugin that calls this in the middle of `import mlflow`.
Nothing here raises: a fact that cannot be had is left out, so a missing tag means *unknown*.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow_ext import __version__

PREFIX = "mlflow_ext."
LOCK_FILES = ("uv.lock", "constraints.txt", "requirements.txt")
GIT_TIMEOUT = 2.0
"""Seconds after which git counts as hanging (a usual answer takes 5 ms)."""
COMMAND_LENGTH = 2000
"""Characters kept of the command: MLflow's databases take at most 8000 for one tag."""

_URI_PASSWORD = re.compile(r"(://[^/:@\s]*):[^/@\s]+@")
_SECRET = re.compile(
    r"(--?[\w-]*(?:password|passwd|secret|token|api-?key)[\w-]*)(=.*)?", re.I | re.S
)
_directories_where_git_hangs: set[Path] = set()


@dataclass(frozen=True, kw_only=True)
class CiSystem:
    """How one CI system tells a job about itself: names of environment variables."""

    name: str
    marker: str
    """Set in every job of this system, and nowhere else."""
    job: str
    """Template of the job's address, over environment variables."""
    branch: str
    """Holds the branch: CI checks out a detached commit."""


CI_SYSTEMS = (
    CiSystem(
        name="GitHub Actions",
        marker="GITHUB_ACTIONS",
        job="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        branch="GITHUB_REF_NAME",
    ),
    CiSystem(name="GitLab", marker="GITLAB_CI", job="{CI_JOB_URL}", branch="CI_COMMIT_REF_NAME"),
    CiSystem(name="Jenkins", marker="JENKINS_URL", job="{BUILD_URL}", branch="GIT_BRANCH"),
    CiSystem(
        name="Buildkite",
        marker="BUILDKITE",
        job="{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}",
        branch="BUILDKITE_BRANCH",
    ),
    CiSystem(
        name="Azure Pipelines",
        marker="TF_BUILD",
        job="{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        branch="BUILD_SOURCEBRANCHNAME",
    ),
)


def provenance() -> dict[str, str]:
    """Say where a run that starts now comes from.

    Returns:
        Tags ``mlflow_ext.version``, ``.commit``, ``.branch``, ``.dirty`` ("true" when a tracked
        file differs from the commit or an untracked one is not ignored), ``.host``, ``.user``,
        ``.python``, ``.command`` (passwords masked), ``.lock_file``, ``.lock_digest`` (SHA-256),
        ``.ci``, ``.ci_job``. What is not known is left out.
    """
    sources: tuple[Callable[[], dict[str, str]], ...] = (_ci, _git, _machine, _user, _lock)
    facts = {"version": __version__, "command": masked_command(sys.orig_argv)}
    for source in sources:
        # OSError: the working directory is gone; KeyError: the user id has no name.
        with suppress(OSError, KeyError):
            facts |= source()
    return {PREFIX + name: value for name, value in facts.items()}


def masked_command(arguments: list[str]) -> str:
    """Write *arguments* as one shell line without the secrets in it.

    >>> masked_command(["run", "--api-token", "s3 cret", "--retries", "3"])
    "run --api-token '***' --retries 3"
    """
    words = [_masked(*pair) for pair in zip(["", *arguments], arguments, strict=False)]
    return shlex.join(words)[:COMMAND_LENGTH]


def _masked(previous: str, word: str) -> str:
    option, secret = _SECRET.fullmatch(word), _SECRET.fullmatch(previous)
    if secret and not secret[2]:
        return "***"
    if option and option[2]:
        return f"{option[1]}=***"
    return mask_passwords(word)


def mask_passwords(text: str) -> str:
    """Mask the password of every URI in *text*.

    >>> mask_passwords("postgresql://me:secret@host/db refused")
    'postgresql://me:***@host/db refused'
    """
    return _URI_PASSWORD.sub(r"\1:***@", text)


def git_state(directory: Path) -> dict[str, str]:
    """Ask git about the working tree around *directory*.

    Returns:
        ``commit``, ``branch``, ``dirty``; each only when git knows it.
    """
    answer = _git_status(directory)
    if answer is None:
        return {}
    headers = dict(line[2:].split(" ", 1) for line in answer if line.startswith("# "))
    known = {
        "commit": headers.get("branch.oid", "(initial)"),
        "branch": headers.get("branch.head", "(detached)"),
        "dirty": "false" if len(headers) == len(answer) else "true",
    }
    # git writes (initial) without a commit and (detached) without a branch.
    return {name: value for name, value in known.items() if not value.startswith("(")}


def _git_status(directory: Path) -> list[str] | None:
    command = ["git", "status", "--porcelain=v2", "--branch"]
    if directory in _directories_where_git_hangs:
        return None
    try:
        answer = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT,
            check=True,
        )
    except subprocess.TimeoutExpired:
        _directories_where_git_hangs.add(directory)
        return None
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.decode(errors="replace").splitlines()


def _git() -> dict[str, str]:
    return git_state(Path.cwd())


def _machine() -> dict[str, str]:
    return {"host": platform.node(), "python": platform.python_version()}


def _user() -> dict[str, str]:
    return {"user": getpass.getuser()}


def _lock() -> dict[str, str]:
    """Find the lock file nearest to the working directory, inside the same repository."""
    here = Path.cwd()
    for directory in (here, *here.parents):
        for file in (directory / name for name in LOCK_FILES):
            if file.is_file():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                return {"lock_file": file.name, "lock_digest": digest}
        if (directory / ".git").exists():
            break
    return {}


def _ci() -> dict[str, str]:
    for system in CI_SYSTEMS:
        if system.marker in os.environ:
            facts = {"ci": system.name, "branch": os.environ.get(system.branch, "")}
            with suppress(KeyError):
                facts["ci_job"] = system.job.format_map(os.environ)
            return {name: value for name, value in facts.items() if value}
    return {}
