"""The identity of the environment in which a gate ran."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata


def environment_digest() -> str:
    """Return the SHA-256, hex, of the Python version and of every installed package with its own.

    >>> environment_digest() == environment_digest()
    True
    """
    installed = {f"{found.name}=={found.version}".lower() for found in metadata.distributions()}
    lines = [f"python=={platform.python_version()}", *sorted(installed)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
