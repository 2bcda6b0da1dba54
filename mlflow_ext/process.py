"""Who is doing this work, and is that process still there?

A killed process cleans nothing up. What it began carries its name, and whoever comes next asks
here whether to leave the work alone or to take it over.
"""

from __future__ import annotations

import getpass
import os
import socket

# The time of creation is boot time plus ticks: it moves when the clock of the machine is corrected.
CLOCK_TOLERANCE = 2.0


def current_process() -> str:
    """Name this process, uniquely even after its id is used again.

    Returns:
        ``HOST:PID:CREATED``, with the time of creation in seconds since the epoch.

    >>> is_alive(current_process())
    True
    """
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def current_actor() -> str:
    """Name the person or account behind this process, ``user@host``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def is_alive(process: str) -> bool | None:
    """Say whether *process* still runs.

    Args:
        process: A name that `current_process` returned, here or elsewhere.

    Returns:
        True or False for a process of this host; None when that cannot be known: another host, a
        process we may not look at, or no such name at all.
    """
    import psutil

    host, *identity = process.rsplit(":", 2)
    if host != socket.gethostname() or len(identity) != 2:
        return None
    pid, created = identity
    try:
        found = psutil.Process(int(pid))
        same = abs(found.create_time() - float(created)) <= CLOCK_TOLERANCE
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        return None
